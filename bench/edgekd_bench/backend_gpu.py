"""Backend `gpu`: LiteRT's CompiledModel over Vulkan.

A run is timed until its outputs have been read: the vendor's `run` returns before the work is done. What
worked is observed: the adapter that LiteRT names, and the driver that the process has mapped.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.options import GpuOptions, Options
from numpy.typing import NDArray

from edgekd.errors import DeviceError, ModelError
from edgekd.runtimes.litert import Port, open_interpreter, ports
from edgekd.runtimes.vulkan import mapped_drivers
from edgekd_bench import memory
from edgekd_bench.backend_litert import litert_engine
from edgekd_bench.loaded import Loaded, PortRuntime, facts, noise
from edgekd_bench.round import Delegation
from edgekd_converters.gpu_check import HOW_TO_GET, parse_delegate

KERNELS = "webgpu on vulkan"
_NO_DRIVER = ("No adapters found", "Couldn't load Vulkan")
_NOISE_ABOVE = "└"


@dataclass(frozen=True)
class _Said:
    """What LiteRT wrote about the GPU: the adapter, and the operators it took and left."""

    adapter: str
    on_gpu: int
    on_cpu: int
    refused: tuple[str, ...]


class _Model:
    """A compiled model with its buffers; `ports` tell their order."""

    def __init__(self, path: Path, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
        self._model = CompiledModel.from_file(
            str(path),
            options=Options(
                hardware_accelerators=HardwareAccelerator.GPU | HardwareAccelerator.CPU,
                gpu_options=GpuOptions(benchmark_mode=True),
            ),
        )
        self._names = self._model.get_signature_by_index(0)
        self._inputs = self._model.create_input_buffers(0)
        self._outputs = self._model.create_output_buffers(0)
        self._ports = _by_name(inputs, self._names["inputs"]), _by_name(outputs, self._names["outputs"])

    def feed(self, contents: Sequence[NDArray[Any]]) -> None:
        """Fill the inputs, in the order of the ports given."""
        for port, content in zip(self._ports[0], contents, strict=True):
            self._inputs[port[0]].write(np.ascontiguousarray(content))

    def run(self) -> list[NDArray[Any]]:
        """Compute once; the outputs, read back, as they are stored."""
        self._model.run_by_index(0, self._inputs, self._outputs)
        return [
            self._outputs[place].read(int(np.prod(port.shape)), port.dtype.type)
            for place, port in self._ports[1]
        ]


def open_gpu(path: Path, threads: int) -> Loaded:
    """`path` on the GPU that Vulkan offers first; what it does not take runs on the CPU and is `left_out`.

    The engine's `accelerator` is `gpu: <adapter>`.

    Raises:
        DeviceError: there is no Vulkan driver, or LiteRT ran it all on the CPU without naming an adapter.
        ModelError: the file is missing, is not a .tflite file, or cannot be compiled for the GPU.
    """
    inputs, outputs, nodes = _describe(path)
    resident, began = memory.reset_peak(), time.perf_counter()
    with _captured() as said:
        try:
            model = _Model(path, inputs, outputs)
        except RuntimeError as error:
            raise _refusal(path, error, said()) from error
        model.feed(noise(inputs))
        init_ms = (time.perf_counter() - began) * 1000
        found = _understood(said(), nodes)
    engine = litert_engine(KERNELS, threads, f"gpu: {found.adapter}")

    def compute(stored: Sequence[NDArray[Any]]) -> NDArray[Any]:
        model.feed(list(stored))
        return model.run()[0]

    return Loaded(
        engine=engine,
        input=facts(inputs),
        run=model.run,
        delegation=lambda: _delegation(found),
        runtime=lambda: PortRuntime(path, engine, (inputs, outputs), compute),
        init_ms=init_ms,
        peak_memory=lambda: memory.peak_since(resident),
        versions={"vulkan driver": ", ".join(mapped_drivers()) or "not seen in this process"},
    )


def _describe(path: Path) -> tuple[Sequence[Port], Sequence[Port], int]:
    """Inputs, outputs and the number of operators, from LiteRT's plain interpreter."""
    interpreter = open_interpreter(path, kernels="builtin")
    return *ports(interpreter), len(interpreter._get_ops_details())


def _by_name(known: Sequence[Port], names: Sequence[str]) -> list[tuple[int, Port]]:
    """Where in the signature each port lies; a file without a signature names its tensors."""
    if sorted(names) == sorted(port.name for port in known):
        return [(list(names).index(port.name), port) for port in known]
    return list(enumerate(known))


def _understood(text: str, nodes: int) -> _Said:
    said = parse_delegate(text, nodes)
    if said["adapter"] is None:
        raise DeviceError(_absent(text) or "LiteRT named no GPU adapter: it ran the file on the CPU")
    if not said["on_gpu"]:
        raise DeviceError(f"{said['adapter']} took none of the {nodes} operators: all ran on the CPU")
    refused = tuple(one.operator for one in said["refused"])
    return _Said(said["adapter"], said["on_gpu"], said["on_cpu"], refused)


def _delegation(said: _Said) -> Delegation:
    """LiteRT tells how many operators the GPU took, not in how many pieces, and names each kind refused."""
    left = dict.fromkeys(said.refused, 1)
    others = said.on_cpu - len(left)
    return Delegation(
        nodes=said.on_gpu + said.on_cpu,
        nodes_per_partition=(said.on_gpu,),
        left_out={**left, **({"others beside them": others} if others > 0 else {})},
    )


def _refusal(path: Path, error: RuntimeError, text: str) -> Exception:
    absent = _absent(text)
    if absent:
        return DeviceError(absent)
    lines = [line.strip(f"{_NOISE_ABOVE} ").strip() for line in str(error).splitlines()]
    plain = [line for line in lines if line and not line.startswith("ERROR: [")]
    return ModelError(f"{path}: the GPU refuses this network ({next(iter(plain), 'no reason given')})")


def _absent(text: str) -> str | None:
    return HOW_TO_GET if any(words in text for words in _NO_DRIVER) else None


@contextmanager
def _captured() -> Iterator[Callable[[], str]]:
    """A function giving what native code wrote to stderr so far; it is passed on at the end."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        keep = os.dup(2)
        os.dup2(file.fileno(), 2)

        def said() -> str:
            return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(keep, 2)
            os.write(keep, said().encode())
            os.close(keep)
