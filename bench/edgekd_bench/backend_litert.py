"""Backends `cpu`, `cpu-builtin` and `cpu-reference`: LiteRT's three sets of kernels on the processor."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from edgekd.runtimes.base import Engine, isa
from edgekd.runtimes.litert import KERNELS, LitertRuntime, open_interpreter, ports
from edgekd_bench.loaded import Loaded, Opening, delegation, facts, noise, opened

NAME = "ai-edge-litert"


def open_litert(path: Path, threads: int, kernels: str) -> Loaded:
    """`path` on LiteRT's `kernels`: xnnpack (as applications get them), builtin or reference.

    Raises:
        ModelError: the file is missing, is not a .tflite file or cannot be run here.
    """
    interpreter, opening = _open(path, threads, kernels)
    inputs = ports(interpreter)[0]
    for port, content in zip(inputs, noise(inputs), strict=True):
        interpreter.set_tensor(port.index, content)
    return Loaded(
        engine=litert_engine(kernels, threads),
        input=facts(inputs),
        run=interpreter.invoke,
        delegation=lambda: delegation(interpreter._get_ops_details()),
        runtime=lambda: LitertRuntime(path, threads=threads, kernels=kernels),
        init_ms=opening.ms,
        peak_memory=opening.steps.highest,
        opening=opening,
    )


def _open(path: Path, threads: int, kernels: str) -> tuple[Any, Opening]:
    try:
        return opened(
            lambda: Interpreter(
                str(path), num_threads=threads, experimental_op_resolver_type=KERNELS[kernels]
            ),
            lambda interpreter: interpreter.allocate_tensors(),
        )
    except (RuntimeError, ValueError):
        open_interpreter(path, threads=threads, kernels=kernels)  # refuses it too, and says why in one line
        raise


def litert_engine(kernels: str, threads: int, accelerator: str = "cpu") -> Engine:
    """LiteRT of this environment."""
    return Engine(
        name=NAME,
        version=version(NAME),
        kernels=kernels,
        threads=threads,
        isa=isa(),
        accelerator=accelerator,
    )
