"""One function per backend: a model file, loaded and fed, ready to be run again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.runtimes.base import Engine, isa
from edgekd.runtimes.litert import Port, open_interpreter, ports
from edgekd_bench.round import Backend, Delegation, TensorFacts

_SEED = 0
_DELEGATE = "DELEGATE"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model in an engine, its inputs filled; `run` computes once and returns when the answer is there."""

    engine: Engine
    input: tuple[TensorFacts, ...]
    run: Callable[[], object]
    delegation: Callable[[], Delegation]


def open_cpu(path: Path, threads: int) -> Loaded:
    """`path` on LiteRT's CPU kernels as an application gets them (XNNPACK where it applies).

    Raises:
        ModelError: the file is missing, is not a .tflite file or cannot be run here.
    """
    interpreter = open_interpreter(path, threads=threads)
    inputs = ports(interpreter)[0]
    generator = np.random.Generator(np.random.PCG64(_SEED))
    for port in inputs:
        interpreter.set_tensor(port.index, _content(port, generator))
    return Loaded(
        engine=Engine(
            name="ai-edge-litert",
            version=version("ai-edge-litert"),
            kernels="xnnpack",
            threads=threads,
            isa=isa(),
        ),
        input=tuple(TensorFacts(shape=port.shape, dtype=str(port.dtype)) for port in inputs),
        run=interpreter.invoke,
        delegation=lambda: delegation(interpreter._get_ops_details()),
    )


OPEN: Mapping[Backend, Callable[[Path, int], Loaded]] = {Backend.CPU: open_cpu}


def _content(port: Port, generator: np.random.Generator) -> Any:
    """Noise over the range of bytes, −1..1 for floats; zeros for other integers, which may be indices."""
    if port.dtype in (np.uint8, np.int8):
        return generator.integers(0, 256, port.shape, np.uint8).view(port.dtype)
    if np.issubdtype(port.dtype, np.floating):
        return generator.uniform(-1, 1, port.shape).astype(port.dtype)
    return np.zeros(port.shape, port.dtype)


def delegation(operators: list[dict[str, Any]]) -> Delegation:
    """How a delegated graph is divided, from LiteRT's list of operators.

    The list holds the file's own operators followed by one `DELEGATE` per piece, which names only the
    tensors at its border: the operators between its outputs and its inputs are the piece.
    """
    own = [operator for operator in operators if operator["op_name"] != _DELEGATE]
    maker = {int(tensor): number for number, operator in enumerate(own) for tensor in operator["outputs"]}
    pieces = [_between(own, maker, piece) for piece in operators if piece["op_name"] == _DELEGATE]
    taken = set().union(*pieces)
    left = Counter(operator["op_name"] for number, operator in enumerate(own) if number not in taken)
    return Delegation(
        nodes=len(own),
        nodes_per_partition=tuple(len(piece) for piece in pieces),
        left_out=dict(sorted(left.items())),
    )


def _between(own: list[dict[str, Any]], maker: dict[int, int], piece: dict[str, Any]) -> set[int]:
    border, found = {int(tensor) for tensor in piece["inputs"]}, set[int]()
    wanted = [int(tensor) for tensor in piece["outputs"]]
    while wanted:
        tensor = wanted.pop()
        number = maker.get(tensor)
        if tensor in border or number is None or number in found:
            continue
        found.add(number)
        wanted.extend(int(source) for source in own[number]["inputs"])
    return found
