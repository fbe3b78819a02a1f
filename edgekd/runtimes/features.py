"""What a network knows of an image before it decides: the input of its last dense layer.

A dense layer is one whose every output reads every value: `Dense` and `FULLY_CONNECTED`, and a convolution on
a map of one pixel. It is looked for from the output backwards, through what only changes the answer's form.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.console import progress
from edgekd.data.parallel import available_cores, in_processes
from edgekd.errors import DataError, ModelError
from edgekd.runtimes.base import Engine, Features, check_features, check_images, to_patient_input
from edgekd.runtimes.keras import KerasRuntime
from edgekd.runtimes.litert import KERNELS, LitertRuntime, image_and_patient, ports
from edgekd.runtimes.probe import probe
from edgekd.runtimes.tflite_runtime import to_input

if TYPE_CHECKING:
    from edgekd.runtimes.predict import Images

MAX_BYTES = 2 << 30
"""The most that the values of all images may take, in memory."""

_BATCH, _PART = 32, 256
_FORM = frozenset({
    *("QUANTIZE", "DEQUANTIZE", "CAST", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
    *("SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "TANH", "RELU", "ADD", "SUB", "MUL", "DIV"),
})  # fmt: skip
_KERAS_FORM = frozenset({"Activation", "Softmax", "ReLU", "Reshape", "Flatten", "Dropout", "Rescaling"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Extracted:
    """`values` float32 [n, d], one row an image: what `layer`, the last dense one, reads."""

    values: NDArray[np.float32]
    layer: str
    engine: Engine


class Extractor(Protocol):
    """A network that tells what its last dense layer reads, for images of side `input_px`."""

    @property
    def input_px(self) -> int:
        """The side of the square input, in pixels."""

    def extract(self, images: Images, features: Features) -> Extracted:
        """The values for all `images` with their patient vectors `features` [n, f] (f = 0: none).

        A few images at a time are in memory.

        Raises:
            ModelError: images or vectors do not fit, the network failed on one, or a value is not finite.
            DataError: the values would take more than `MAX_BYTES`.
        """


class KerasExtractor:
    """What the last dense layer of a Keras model on raw 0..255 RGB reads."""

    def __init__(self, model: Any) -> None:
        """
        Raises:
            ModelError: not an image classifier, or without a dense layer at its end.
        """
        self._runtime = KerasRuntime(model)
        self._front, self._layer = _keras_front(model)
        self._dims = prod(self._front.output_shape[1:])

    @property
    def input_px(self) -> int:
        """The side of the square input, in pixels."""
        return self._runtime.input_px

    def extract(self, images: Images, features: Features) -> Extracted:
        """As `Extractor.extract`; TensorFlow takes all cores for each batch."""
        known = check_features(features, len(images), self._runtime.n_features)
        values = _room(len(images), self._dims)
        with progress("features", len(images), "images") as advance:
            for first in range(0, len(images), _BATCH):
                numbers = np.arange(first, min(first + _BATCH, len(images)))
                batch = images.read(numbers)
                check_images(batch, self.input_px)
                pixels = batch.astype(np.float32)
                fed = [pixels, known[numbers]] if known.shape[1] else pixels
                found = self._front.predict_on_batch(fed)
                values[numbers] = np.asarray(found, np.float32).reshape(len(numbers), -1)
                advance(len(numbers), "")
        return _checked(Extracted(values=values, layer=self._layer, engine=self._runtime.engine))


class TfliteExtractor:
    """What the last dense layer of a .tflite file from anywhere reads, as real values.

    Computed by LiteRT's builtin kernels (XNNPACK keeps no tensors) in processes of their own, one a core,
    that read the images themselves.
    """

    def __init__(self, path: Path, input_range: tuple[float, float] | None = None) -> None:
        """`input_range` is what 0 and 255 become in a float32 input.

        Raises:
            ModelError: the file cannot be loaded or run, is no image classifier, or has no dense layer at its
                end.
        """
        probe(path, kernels="builtin")
        runtime = LitertRuntime(path, kernels="builtin", input_range=input_range)
        self._engine, self._input_px, self._n_features = runtime.engine, runtime.input_px, runtime.n_features
        self._path, self._input_range = path, input_range
        tap = _Tap(path, input_range)
        self._layer, self._dims = tap.layer, tap.dims

    @property
    def input_px(self) -> int:
        """The side of the square input, in pixels."""
        return self._input_px

    def extract(self, images: Images, features: Features) -> Extracted:
        """As `Extractor.extract`."""
        total = len(images)
        known = check_features(features, total, self._n_features)
        values = _room(total, self._dims)
        size = max(1, min(_PART, total // 2))  # two parts at least: a single one would run in this process
        parts = [
            _Part(self._path, self._input_range, images, known[first : first + size], first)
            for first in range(0, total, size)
        ]
        with progress("features", total, "images") as advance:
            for part, found in zip(parts, self._found(parts), strict=True):
                values[part.first : part.first + len(found)] = found
                advance(len(found), "")
        return _checked(Extracted(values=values, layer=self._layer, engine=self._engine))

    def _found(self, parts: Sequence[_Part]) -> Iterator[NDArray[np.float32]]:
        try:
            yield from in_processes(_extract_part, parts, workers=max(2, available_cores()))
        except DataError as error:
            if isinstance(error.__cause__, BrokenProcessPool):
                raise ModelError(f"{self._path}: LiteRT crashed on an image, or memory ran out") from error
            raise


@dataclass(frozen=True)
class _Part:
    """The work of one process at a time: those of `images` from `first` on that `features` has a row for."""

    path: Path
    input_range: tuple[float, float] | None
    images: Images
    features: Features
    first: int


def _extract_part(part: _Part) -> NDArray[np.float32]:
    tap = _opened(part.path, part.input_range)
    values = np.empty((len(part.features), tap.dims), np.float32)
    for place, known in enumerate(part.features):
        values[place] = tap.read(part.images.read(np.array([part.first + place])), known[np.newaxis])
    return values


class _Tap:
    """A .tflite file in an interpreter that keeps every tensor, and the one that is wanted."""

    def __init__(self, path: Path, input_range: tuple[float, float] | None) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors")
            self._interpreter = Interpreter(
                str(path),
                num_threads=1,
                experimental_op_resolver_type=KERNELS["builtin"],
                experimental_preserve_all_tensors=True,
            )
        self._interpreter.allocate_tensors()
        self._path, self._range = path, input_range or (0.0, 255.0)
        self._image, self._patient = image_and_patient(path, ports(self._interpreter)[0])
        self._wanted, self.layer = _dense_input(self._interpreter, path)
        self.dims = prod(int(side) for side in self._wanted["shape"])

    def read(self, image: NDArray[np.uint8], features: Features) -> NDArray[np.float32]:
        """The real values [d] for one image [1, px, px, 3] and its patient vector [1, f]."""
        check_images(image, self._image.shape[1])
        stored = to_input(image, self._image.dtype.name, self._range)
        self._interpreter.set_tensor(self._image.index, stored)
        if self._patient:
            known = to_patient_input(features, self._patient.dtype)
            self._interpreter.set_tensor(self._patient.index, known)
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(f"{self._path}: the network failed on an image ({error})") from error
        values = self._interpreter.get_tensor(self._wanted["index"]).reshape(-1).astype(np.float32)
        scale, zero_point = self._wanted["quantization"]
        return np.asarray(values if scale == 0 else (values - zero_point) * np.float32(scale))


_opened = cache(_Tap)


def _dense_input(interpreter: Any, path: Path) -> tuple[Mapping[str, Any], str]:
    """The details of the tensor that the last dense operator reads, and the name of what it writes."""
    tensors = {int(details["index"]): details for details in interpreter.get_tensor_details()}
    makers = {int(made): one for one in interpreter._get_ops_details() for made in one["outputs"]}
    tensor = int(interpreter.get_output_details()[0]["index"])
    while (operator := makers.get(tensor)) is not None:
        source = int(operator["inputs"][0])
        if _is_dense(operator["op_name"], tensors[source]["shape"]):
            return tensors[source], str(tensors[tensor]["name"])
        if operator["op_name"] not in _FORM:
            raise _no_dense(path, operator["op_name"])
        tensor = next((int(one) for one in operator["inputs"] if int(one) in makers), -1)
    raise _no_dense(path, "its input")


def _is_dense(name: str, shape: Sequence[int]) -> bool:
    return name == "FULLY_CONNECTED" or (name == "CONV_2D" and prod(int(side) for side in shape[1:3]) == 1)


def _no_dense(where: object, found: str) -> ModelError:
    return ModelError(f"{where}: no dense layer at its end but {found}: it has no features to show")


def _keras_front(model: Any) -> tuple[Any, str]:
    """`model` up to what its last dense layer reads, and the name of that layer."""
    for layer in reversed(model.layers):
        kind = getattr(layer, "layer", layer)  # inside of a quantization wrapper
        if isinstance(kind, lazy.keras().Model):
            inner, name = _keras_front(kind)
            return lazy.keras().Model(model.inputs, inner(layer.get_input_at(0))), name
        if _is_keras_dense(kind, layer):
            return lazy.keras().Model(model.inputs, layer.get_input_at(0)), kind.name
        if type(kind).__name__ not in _KERAS_FORM:
            raise _no_dense(f"Keras model {model.name!r}", type(kind).__name__)
    raise _no_dense(f"Keras model {model.name!r}", "its input")


def _is_keras_dense(kind: Any, layer: Any) -> bool:
    layers = lazy.keras().layers
    if isinstance(kind, layers.Dense):
        return True
    return type(kind) is layers.Conv2D and tuple(layer.get_input_at(0).shape[1:3]) == (1, 1)


def _room(count: int, dims: int) -> NDArray[np.float32]:
    if 4 * count * dims > MAX_BYTES:
        raise DataError(
            f"{count} images of {dims} features take {4e-9 * count * dims:.1f} GB, expected at most "
            f"{MAX_BYTES * 1e-9:.1f}: choose fewer images with --split"
        )
    return np.empty((count, dims), np.float32)


def _checked(found: Extracted) -> Extracted:
    broken = np.flatnonzero(~np.isfinite(found.values).all(axis=1))
    if broken.size:
        raise ModelError(
            f"what the last dense layer ({found.layer}) reads is not finite on {broken.size} of "
            f"{len(found.values)} images: the network's weights are broken or its arithmetic overflows"
        )
    return found
