"""`Loaded`: what every backend gives: a model in an engine, its inputs filled, ready to be run and timed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ModelError
from edgekd.runtimes.base import (
    Engine,
    Features,
    Runtime,
    check_features,
    check_images,
    to_patient_input,
)
from edgekd.runtimes.litert import Port, image_and_patient
from edgekd.runtimes.tflite_runtime import to_input
from edgekd_bench.memory import Steps
from edgekd_bench.round import Delegation, MemorySteps, TensorFacts
from edgekd_bench.timing import Clock, timed_runs

_SEED = 0
_DELEGATE = "DELEGATE"
T = TypeVar("T")


def _nothing() -> None:
    """What needs no closing."""


@dataclass(frozen=True)
class Opening:
    """What opening took: bytes of `load` and `allocate` (None: unknown) and ms; `steps` goes on counting."""

    steps: Steps
    load: int | None
    allocate: int | None
    ms: float

    def first_run(self) -> MemorySteps | None:
        """All three steps, when the first run has just ended."""
        invoke = self.steps.end()
        if self.load is None or self.allocate is None or invoke is None:
            return None
        return MemorySteps(load=self.load, allocate=self.allocate, invoke=invoke)


def opened(load: Callable[[], T], allocate: Callable[[T], object]) -> tuple[T, Opening]:
    """What `load` gives, after `allocate`, and what each of the two took."""
    steps, began = Steps(), time.perf_counter()
    engine = load()
    loaded = time.perf_counter()
    loading = steps.end()
    again = time.perf_counter()
    allocate(engine)
    took = loaded - began + time.perf_counter() - again
    return engine, Opening(steps, loading, steps.end(), took * 1000)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model in an engine, its inputs filled; `run` computes once and returns when the answer can be read.

    `runtime` gives the same engine with the same kernels, for predicting a split. `clock` times runs where
    the engine lives. `init_ms` is loading and allocating; `opening` divides their memory where the engine is
    opened in steps, else `peak_memory` tells the whole. `first_run` is False when loading ran the model
    already. `versions` names what else computed, drivers and libraries.
    """

    engine: Engine
    input: tuple[TensorFacts, ...]
    run: Callable[[], object]
    delegation: Callable[[], Delegation | None]
    runtime: Callable[[], Runtime]
    close: Callable[[], None] = _nothing
    clock: Clock = timed_runs
    init_ms: float
    peak_memory: Callable[[], int | None]
    opening: Opening | None = None
    first_run: bool = True
    versions: Mapping[str, str] = field(default_factory=dict)


class PortRuntime:
    """The logits of a network with one 8-bit image input and one output vector, through any `compute`.

    A second input may take patient values. `compute` takes the inputs as they are stored, in the order of the
    ports (the image [1, px, px, 3], the patient vector [1, f]), and gives the output as it is stored.
    """

    def __init__(
        self,
        path: Path,
        engine: Engine,
        ports: tuple[Sequence[Port], Sequence[Port]],
        compute: Callable[[Sequence[NDArray[Any]]], NDArray[Any]],
    ) -> None:
        """
        Raises:
            ModelError: it does not take one 8-bit image, or does not answer one vector.
        """
        inputs, outputs = ports
        if len(outputs) != 1:
            raise ModelError(f"{path}: {len(inputs)} inputs and {len(outputs)} outputs, expected one of each")
        self._image, self._patient = image_and_patient(path, inputs)
        self._inputs, self._vector = tuple(inputs), outputs[0]
        shape, dtype = self._image.shape, self._image.dtype
        square = len(shape) == 4 and shape[1] == shape[2] and shape[::3] == (1, 3)
        if not square or dtype not in (np.uint8, np.int8):
            raise ModelError(
                f"{path}: the input is {dtype} {list(shape)}, expected uint8 or int8 [1, px, px, 3]: only "
                "bytes say which values 0 and 255 are"
            )
        if not self._vector.shape or int(np.prod(self._vector.shape)) != self._vector.shape[-1]:
            raise ModelError(f"{path}: the output is {list(self._vector.shape)}, expected [1, k]")
        self._engine, self._compute = engine, compute

    @property
    def engine(self) -> Engine:
        """What computes."""
        return self._engine

    @property
    def input_px(self) -> int:
        """The side of the square input, in pixels."""
        return self._image.shape[1]

    @property
    def n_logits(self) -> int:
        """The number of outputs."""
        return self._vector.shape[-1]

    @property
    def n_features(self) -> int:
        """The length of the patient vector; 0 for a network of pictures alone."""
        return self._patient.shape[-1] if self._patient else 0

    def logits(self, images: NDArray[np.uint8], features: Features | None = None) -> NDArray[np.float32]:
        """Raw outputs [n, k] for RGB `images` [n, input_px, input_px, 3] and `features`, one at a time."""
        check_images(images, self.input_px)
        known = check_features(features, len(images), self.n_features)
        stored = {self._image.index: to_input(images, self._image.dtype.name, (0.0, 255.0))}
        if self._patient:
            stored[self._patient.index] = to_patient_input(known, self._patient.dtype)
        answers = np.empty((len(images), self.n_logits), np.float32)
        for number in range(len(images)):
            fed = [stored[port.index][number : number + 1] for port in self._inputs]
            answers[number] = self._compute(fed).reshape(-1)
        if self._vector.scale == 0:
            return answers
        return np.asarray((answers - self._vector.zero_point) * np.float32(self._vector.scale))

    def close(self) -> None:
        """Nothing: the model belongs to whoever loaded it."""


def facts(ports: Sequence[Port]) -> tuple[TensorFacts, ...]:
    """Shape and dtype of each of `ports`."""
    return tuple(TensorFacts(shape=port.shape, dtype=str(port.dtype)) for port in ports)


def noise(ports: Sequence[Port]) -> list[NDArray[Any]]:
    """What the inputs `ports` are filled with: noise over the range of bytes, −1..1 for floats.

    Other integers may be indices: they are 0.
    """
    generator = np.random.Generator(np.random.PCG64(_SEED))
    return [_content(port, generator) for port in ports]


def _content(port: Port, generator: np.random.Generator) -> NDArray[Any]:
    if port.dtype in (np.uint8, np.int8):
        return generator.integers(0, 256, port.shape, np.uint8).view(port.dtype)
    if np.issubdtype(port.dtype, np.floating):
        return generator.uniform(-1, 1, port.shape).astype(port.dtype)
    return np.zeros(port.shape, port.dtype)


def interpreted(interpreter: Any, inputs: Sequence[Port], outputs: Sequence[Port]) -> Callable[[Any], Any]:
    """A function from the stored inputs, in their order, to the stored output of an interpreter."""

    def compute(stored: Sequence[NDArray[Any]]) -> Any:
        for port, content in zip(inputs, stored, strict=True):
            interpreter.set_tensor(port.index, content)
        interpreter.invoke()
        return interpreter.get_tensor(outputs[0].index)

    return compute


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
