"""`LitertRuntime`: a .tflite file on LiteRT's CPU kernels."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgekd.errors import ModelError, UnknownNameError
from edgekd.runtimes.base import Engine, Features, check_features, check_images, isa, to_patient_input

KERNELS = {
    "xnnpack": OpResolverType.AUTO,
    "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}


@dataclass(frozen=True)
class Port:
    """One input or output tensor: its place, shape, dtype and quantization.

    real value = `scale` · (stored − `zero_point`); `scale` is 0 for a float tensor.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int


class LitertRuntime:
    """The logits of a .tflite file with one image input and one output vector, and perhaps a patient vector.

    A uint8 input takes the raw RGB bytes, an int8 input the bytes less 128; an 8-bit output is dequantized
    with its own scale. A float32 input does not say what range it wants: `input_range` gives the values
    that 0 and 255 become. Patient values go in as bytes, 255 times the value. The file is loaded into this
    process: `probe` files of unknown origin first, a malformed one can crash the interpreter.
    """

    def __init__(
        self,
        path: Path,
        threads: int = 1,
        kernels: str = "xnnpack",
        *,
        input_range: tuple[float, float] | None = None,
    ) -> None:
        """
        Raises:
            UnknownNameError: `kernels` is not one of `KERNELS`.
            ModelError: the file is missing or unreadable, holds an operation LiteRT does not know, or its
                input or output is not that of an image classifier.
        """
        self._path = path
        self._interpreter = open_interpreter(path, threads=threads, kernels=kernels)
        self._input, self._patient, self._output = _ports(self._interpreter, path)
        self._input_range = _check_input(path, self._input, input_range)
        self._engine = Engine(
            name="ai-edge-litert",
            version=version("ai-edge-litert"),
            kernels=kernels,
            threads=threads,
            isa=isa(),
        )

    @property
    def engine(self) -> Engine:
        """LiteRT, its version, kernels and threads."""
        return self._engine

    @property
    def input_px(self) -> int:
        """The side of the square input, in pixels."""
        return self._input.shape[1]

    @property
    def n_logits(self) -> int:
        """The number of outputs."""
        return self._output.shape[-1]

    @property
    def n_features(self) -> int:
        """The length of the patient vector; 0 for a model of pictures alone."""
        return self._patient.shape[-1] if self._patient else 0

    @property
    def output_step(self) -> float:
        """The distance of two neighbouring output values (an 8-bit output's scale); 0 for a float one."""
        return self._output.scale

    def logits(self, images: NDArray[np.uint8], features: Features | None = None) -> NDArray[np.float32]:
        """Raw outputs [n, k] for RGB `images` [n, input_px, input_px, 3] and `features`, one at a time."""
        check_images(images, self.input_px)
        known = check_features(features, len(images), self.n_features)
        output = np.empty((len(images), self.n_logits), np.float32)
        for number, image in enumerate(images):
            self.feed(image, known[number])
            self.invoke()
            output[number] = self.read()
        return output

    def feed(self, image: NDArray[np.uint8], features: Features | None = None) -> None:
        """Place one image [input_px, input_px, 3] and its patient vector [n_features] into the inputs."""
        self._interpreter.set_tensor(self._input.index, self._to_input(image)[np.newaxis])
        if self._patient and features is not None:
            stored = to_patient_input(features, self._patient.dtype)
            self._interpreter.set_tensor(self._patient.index, stored[np.newaxis])

    def invoke(self) -> None:
        """Run the network once on what was fed.

        Raises:
            ModelError: an operation failed.
        """
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(f"{self._path}: the network failed on an image ({_line(error)})") from error

    def read(self) -> NDArray[np.float32]:
        """The output of the last run as real values [k]."""
        stored = self._interpreter.get_tensor(self._output.index).reshape(-1).astype(np.float32)
        if self._output.scale == 0:
            return np.asarray(stored)
        return np.asarray((stored - self._output.zero_point) * np.float32(self._output.scale))

    def partitions(self) -> int:
        """The number of pieces of the graph that were handed to a delegate (XNNPACK); 0 without one."""
        return partitions(self._interpreter)

    def close(self) -> None:
        """Give the interpreter's memory back."""
        self._interpreter = None

    def _to_input(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        if self._input.dtype == np.uint8:
            return image
        if self._input.dtype == np.int8:
            return (image ^ 0x80).view(np.int8)
        low, high = self._input_range
        return np.asarray(image * np.float32((high - low) / 255) + np.float32(low), np.float32)


def open_interpreter(path: Path, *, threads: int = 1, kernels: str = "xnnpack") -> Any:
    """LiteRT's interpreter on `path`, its tensors allocated.

    Raises:
        UnknownNameError: `kernels` is not one of `KERNELS`.
        ModelError: the file is missing, is not a .tflite file or needs an operation LiteRT does not know.
    """
    if kernels not in KERNELS:
        raise UnknownNameError("kernels", kernels, KERNELS)
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    with _native_stderr() as said:
        try:
            interpreter = Interpreter(
                str(path), num_threads=threads, experimental_op_resolver_type=KERNELS[kernels]
            )
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            reason = _line(error) or _line(said()) or "it gave no reason, as when memory is short"
            raise ModelError(f"{path}: LiteRT cannot load it ({reason})") from error
    return interpreter


def ports(interpreter: Any) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """The inputs and the outputs of an interpreter."""
    return (
        tuple(_port(details) for details in interpreter.get_input_details()),
        tuple(_port(details) for details in interpreter.get_output_details()),
    )


def partitions(interpreter: Any) -> int:
    """The number of pieces of the graph that a delegate runs."""
    return sum(node["op_name"] == "DELEGATE" for node in interpreter._get_ops_details())


def _port(details: dict[str, Any]) -> Port:
    scale, zero_point = details["quantization"]
    shape = tuple(int(side) for side in details["shape"])
    return Port(
        details["index"], details["name"], shape, np.dtype(details["dtype"]), float(scale), int(zero_point)
    )


def _ports(interpreter: Any, path: Path) -> tuple[Port, Port | None, Port]:
    inputs, outputs = ports(interpreter)
    if len(outputs) != 1:
        raise ModelError(f"{path}: {len(inputs)} inputs and {len(outputs)} outputs, expected one of each")
    (image, patient), vector = image_and_patient(path, inputs), outputs[0]
    square = len(image.shape) == 4 and image.shape[1] == image.shape[2] and image.shape[::3] == (1, 3)
    if not square:
        raise ModelError(f"{path}: the input is {list(image.shape)}, expected [1, px, px, 3]")
    if not vector.shape or int(np.prod(vector.shape)) != vector.shape[-1]:
        raise ModelError(f"{path}: the output is {list(vector.shape)}, expected [1, k]")
    if vector.dtype not in (np.float32, np.uint8, np.int8):
        raise ModelError(f"{path}: the output is {vector.dtype}, expected float32, uint8 or int8")
    return image, patient, vector


def image_and_patient(path: Path, inputs: Sequence[Port]) -> tuple[Port, Port | None]:
    """The image input among `inputs`, and that of patient values where there is one, in whatever order.

    Raises:
        ModelError: they are neither one input nor an image and a patient vector of whole bytes.
    """
    vectors = [port for port in inputs if len(port.shape) == 2]
    if len(inputs) == 1:
        return inputs[0], None
    if len(inputs) != 2 or len(vectors) != 1:
        raise ModelError(
            f"{path}: {len(inputs)} inputs, expected one image and at most one vector of patient values"
        )
    patient = vectors[0]
    steps = (patient.scale, patient.zero_point + (128 if patient.dtype == np.int8 else 0))
    bytes_as_they_are = steps[0] == 0 or (math.isclose(steps[0], 1 / 255, rel_tol=1e-5) and steps[1] == 0)
    if patient.shape[0] != 1 or patient.dtype not in (np.uint8, np.int8) or not bytes_as_they_are:
        raise ModelError(
            f"{path}: the patient input is {patient.dtype} {list(patient.shape)} of scale {patient.scale:g}, "
            "expected uint8 or int8 [1, f] of scale 1/255"
        )
    return next(port for port in inputs if port is not patient), patient


def _check_input(path: Path, image: Port, input_range: tuple[float, float] | None) -> tuple[float, float]:
    if image.dtype not in (np.uint8, np.int8, np.float32):
        raise ModelError(f"{path}: the input is {image.dtype}, expected uint8, int8 or float32")
    if image.dtype != np.float32:
        return 0.0, 255.0
    if input_range is None:
        raise ModelError(
            f"{path}: the input is float32 and the file does not say what 0 and 255 become; state the range "
            "(often -1,1 or 0,1), or export a file with uint8 input"
        )
    return input_range


@contextmanager
def _native_stderr() -> Iterator[Any]:
    """A function giving what native code wrote to stderr meanwhile; none of it reaches the terminal."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        keep = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), 4096, 0).decode(errors="replace")
        finally:
            os.dup2(keep, 2)
            os.close(keep)


def _line(error: object) -> str:
    """The first line of a message."""
    return str(error).strip().split("\n", maxsplit=1)[0]
