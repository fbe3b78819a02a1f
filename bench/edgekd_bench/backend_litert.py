"""Backends `cpu`, `cpu-builtin` and `cpu-reference`: LiteRT's three sets of kernels on the processor."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from edgekd.runtimes.base import Engine, isa
from edgekd.runtimes.litert import LitertRuntime, open_interpreter, ports
from edgekd_bench.loaded import Loaded, delegation, facts, noise

NAME = "ai-edge-litert"


def open_litert(path: Path, threads: int, kernels: str) -> Loaded:
    """`path` on LiteRT's `kernels`: xnnpack (as applications get them), builtin or reference.

    Raises:
        ModelError: the file is missing, is not a .tflite file or cannot be run here.
    """
    interpreter = open_interpreter(path, threads=threads, kernels=kernels)
    inputs = ports(interpreter)[0]
    for port, content in zip(inputs, noise(inputs), strict=True):
        interpreter.set_tensor(port.index, content)
    return Loaded(
        engine=litert_engine(kernels, threads),
        input=facts(inputs),
        run=interpreter.invoke,
        delegation=lambda: delegation(interpreter._get_ops_details()),
        runtime=lambda: LitertRuntime(path, threads=threads, kernels=kernels),
    )


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
