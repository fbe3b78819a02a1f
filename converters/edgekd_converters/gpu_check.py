"""Which operators of a .tflite file fall back from the GPU: by the documented list, and by running it.

A software Vulkan driver (SwiftShader, lavapipe) is as good as a GPU for the question which operators run and
whether they are right, and for nothing else: its records are labelled, and hold no latency.
"""

from __future__ import annotations

import enum
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ModelError
from edgekd.plain import file_digest, write_json
from edgekd.runtimes.vulkan import VARIABLE, driver_environment
from edgekd_converters.compat import agreement
from edgekd_converters.edgetpu_graph import Network, Tensor, read_network
from edgekd_converters.gpu_rules import SOURCE, refusals

SCHEMA = "edgekd.gpu_check/1"
SOFTWARE_NOTE = "software driver: correctness only"
HOW_TO_GET = (
    "no Vulkan driver answers: on a machine with a GPU install its driver and libvulkan1; without one, a "
    "software driver does for correctness (apt-get download chromium-common, dpkg-deb -x it into DIR, set "
    f"{VARIABLE}=DIR/usr/lib/chromium/vk_swiftshader_icd.json)"
)
TIMEOUT_S = 300.0
_IMAGES, _MAX_PX = 2, 4096
_NO_ADAPTER = ("No adapters found", "Couldn't load Vulkan")
_REFUSED = r"Following operations are not supported by GPU delegate:\n(.*?)\n[^\n]*operations will"
_SOFTWARE = ("software", "swiftshader", "lavapipe", "llvmpipe")


class GpuStatus(enum.StrEnum):
    """Whether a GPU ran the file; unavailable: there is no driver."""

    OK = "ok"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, kw_only=True)
class GpuRefusal:
    """So many operators of a kind that stay on the CPU, why, and the Keras `layers` they came from."""

    operator: str
    reason: str
    count: int | None = None
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GpuRun:
    """What a GPU made of the file.

    `on_cpu` operators fell back: those in `refused`, and what the delegate left with them. Outputs are
    compared with LiteRT's on the CPU, the GPU's in float32 (see `compat.agreement`).
    """

    status: GpuStatus
    reason: str | None = None
    adapter: str | None = None
    software: bool | None = None
    note: str | None = None
    on_gpu: int | None = None
    on_cpu: int | None = None
    refused: tuple[GpuRefusal, ...] = ()
    images: int = 0
    max_difference: float | None = None
    max_difference_steps: float | None = None
    mean_difference_steps: float | None = None
    output_spread: float | None = None
    same_decision: float | None = None
    agrees: bool | None = None


@dataclass(frozen=True, kw_only=True)
class GpuCheck:
    """Whether a file runs on a GPU as a whole (schema edgekd.gpu_check/1).

    `listed` are the operators that the delegate's source (`list_source`) does not take; `run` what happened.
    `passed` is null where there was no driver to ask.
    """

    schema: str = SCHEMA
    sha256: str
    operators: int
    list_source: str = SOURCE
    listed: tuple[GpuRefusal, ...]
    run: GpuRun
    passed: bool | None

    @property
    def fails(self) -> str | None:
        """Why it does not run there as a whole and right, in a line; None: it does, or nobody was asked."""
        if self.passed is not False:
            return None
        if self.run.on_cpu:
            return f"{self.run.on_cpu} of {self.operators} operators fall back from the GPU"
        return self.run.reason or "the GPU answers otherwise than the CPU"


def check_gpu(
    path: Path,
    images: NDArray[np.uint8] | None = None,
    *,
    input_range: tuple[float, float] | None = None,
    driver: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> GpuCheck:
    """Which operators of the file `path` fall back from the GPU; the file may come from anywhere.

    `images` are uint8 RGB [n, px, px, 3], noise when not given; `driver` is the description file of a Vulkan
    driver, else `VK_DRIVER_FILES` or what the system has. It runs in a process of its own.

    Raises:
        ModelError: the file is missing, not a .tflite file, or damaged.
    """
    network = read_network(path)
    span = (-1.0, 1.0) if images is None and input_range is None else input_range  # noise has no range
    run = _run(path, network, images, input_range=span, driver=driver, timeout_s=timeout_s)
    return GpuCheck(
        sha256=file_digest(path),
        operators=len(network.nodes),
        listed=_listed(network),
        run=run,
        passed=None if run.status is GpuStatus.UNAVAILABLE else bool(run.agrees) and not run.on_cpu,
    )


def read_listed(path: Path) -> tuple[GpuRefusal, ...]:
    """The operators of the .tflite file `path` that the delegate's source does not take.

    Raises:
        ModelError: the file is missing, not a .tflite file, or damaged.
    """
    return _listed(read_network(path))


def _listed(network: Network) -> tuple[GpuRefusal, ...]:
    found: dict[tuple[str, str], list[str | None]] = {}
    for node in network.nodes:
        for reason in refusals(node):
            found.setdefault((node.operator, reason), []).append(node.layer)
    return tuple(
        GpuRefusal(
            operator=operator,
            reason=reason,
            count=len(layers),
            layers=tuple(dict.fromkeys(layer for layer in layers if layer)),
        )
        for (operator, reason), layers in found.items()
    )


def _run(
    path: Path,
    network: Network,
    images: NDArray[np.uint8] | None,
    *,
    input_range: tuple[float, float] | None,
    driver: Path | None,
    timeout_s: float,
) -> GpuRun:
    with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        folder = Path(name)
        chosen = _noise(network) if images is None else images
        np.save(folder / "images.npy", chosen)
        write_json(folder / "request.json", {"model": str(path.resolve()), "input_range": input_range})
        given = os.environ if driver is None else {**os.environ, VARIABLE: str(driver)}
        command = [sys.executable, "-m", "edgekd_converters.gpu_worker", str(folder)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
                env=driver_environment(folder, given),
            )
        except subprocess.TimeoutExpired:
            return GpuRun(status=GpuStatus.FAILED, reason=f"not done after {timeout_s:g} s")
        return _judge(path, done, folder, len(network.nodes), len(chosen))


def _noise(network: Network) -> NDArray[np.uint8]:
    px = _input(network).shape[1]
    return np.random.Generator(np.random.PCG64(0)).integers(0, 256, (_IMAGES, px, px, 3), np.uint8)


def _input(network: Network) -> Tensor:
    for node in network.nodes:
        for tensor in node.tensors:
            square = len(tensor.shape) == 4 and tensor.shape[1] == tensor.shape[2] and tensor.shape[3] == 3
            if (tensor.number,) == network.inputs and square and 0 < tensor.shape[1] <= _MAX_PX:
                return tensor
    raise ModelError("the file does not take one square RGB image [1, px, px, 3]")


def _judge(
    path: Path, done: subprocess.CompletedProcess[str], folder: Path, nodes: int, images: int
) -> GpuRun:
    said = parse_delegate(done.stderr, nodes)
    if done.returncode < 0:
        return _failed(said, f"LiteRT crashed on this file ({signal.Signals(-done.returncode).name})")
    answer = json.loads(done.stdout) if done.stdout else {"error": _last(done.stderr)}
    if said["adapter"] is None and any(words in done.stderr for words in _NO_ADAPTER):
        return GpuRun(status=GpuStatus.UNAVAILABLE, reason=HOW_TO_GET)
    if "error" in answer:
        return _failed(said, _first(answer["error"].removeprefix(f"{path.resolve()}: ")))
    if said["adapter"] is None:
        return _failed(said, "LiteRT ran the file and named no GPU adapter: it ran on the CPU")
    with np.load(folder / "outputs.npz") as outputs:
        if not (np.isfinite(outputs["gpu"]).all() and np.isfinite(outputs["cpu"]).all()):
            return _failed(said, "its outputs are not finite numbers, there is nothing to compare")
        compared = agreement(outputs["gpu"], outputs["cpu"], float(answer["output_step"]))
    return GpuRun(status=GpuStatus.OK, images=images, **said, **compared)


def _failed(said: dict[str, Any], reason: str) -> GpuRun:
    return GpuRun(status=GpuStatus.FAILED, reason=reason, **said)


def parse_delegate(text: str, nodes: int) -> dict[str, Any]:
    """What LiteRT's GPU accelerator wrote to stderr on a file of `nodes` operators, as fields of `GpuRun`."""
    adapter = re.search(r"Selected adapter: ([^\n]+)", text)
    name = adapter[1].strip() if adapter else None
    software = name is not None and any(word in name.lower() for word in _SOFTWARE)
    on_gpu, on_cpu = _counts(text, nodes if name else None)
    return {
        "adapter": name,
        "software": software if name else None,
        "note": SOFTWARE_NOTE if software else None,
        "on_gpu": on_gpu,
        "on_cpu": on_cpu,
        "refused": _refused(text),
    }


def _counts(text: str, nodes: int | None) -> tuple[int | None, int | None]:
    """It counts only when something falls back."""
    parts = re.search(r"(\d+) operations will run on the GPU, and the remaining (\d+)", text)
    if parts:
        return int(parts[1]), int(parts[2])
    if re.search(r"No operations will run on the GPU", text):
        return 0, nodes
    return nodes, 0 if nodes is not None else None


def _refused(text: str) -> tuple[GpuRefusal, ...]:
    """The lines "OPERATOR: reason" between the head and the count."""
    match = re.search(_REFUSED, text, re.DOTALL)
    lines = match[1].splitlines() if match else []
    pairs = (line.partition(": ") for line in lines if ": " in line)
    return tuple(
        GpuRefusal(operator=operator.strip(), reason=reason.strip()) for operator, _, reason in pairs
    )


def _first(text: str) -> str:
    lines = [line.strip("└ ").strip() for line in text.splitlines() if line.strip()]
    plain = [line for line in lines if not line.startswith("ERROR: [")]
    return next(iter(plain or lines), "no reason given")


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"
