"""`CoremlRuntime`: a Core ML package, on macOS run by Core ML, elsewhere evaluated operation by operation."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.errors import DeviceError, ModelError, UnknownNameError
from edgekd.runtimes.base import Engine, Features, check_features, check_images, isa
from edgekd.runtimes.mil.evaluate import Evaluator
from edgekd.runtimes.mil.package import naming, open_package
from edgekd.runtimes.mil.spec import Feature, Program, Specification, read_specification

COREML, FLOAT32, FLOAT16 = "coreml", "float32", "float16"
KERNELS = {
    COREML: "Core ML",
    FLOAT32: "package evaluated in float32, not Apple's kernels",
    FLOAT16: "package evaluated in float32 with its float16 values rounded, not Apple's kernels",
}
"""What can compute a package: Core ML (macOS only), or NumPy from the saved files."""

_COLOURS = ("RGB", "BGR")
_MACOS = "Darwin"

Compute = Callable[[NDArray[Any], Features], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Port:
    """The inputs: the picture's feature, its name in the program, and whether that wants the channels first.

    `patient` names the input of `n_features` patient values; empty: there is none.
    """

    feature: Feature
    name: str
    channels_first: bool
    side: int
    patient: str
    n_features: int


class CoremlRuntime:
    """The logits of an ML Program (.mlpackage) with one image input and one output vector.

    Off macOS the operations of the saved package are computed in NumPy: that shows what was converted and
    saved, and what rounding its weights cost; Apple's kernels round differently, and a phone computes half
    precision packages in half precision (`kernels="float16"` comes near that). An image input takes the raw
    RGB bytes. A float array input does not say what range it wants: `input_range` gives the values that
    0 and 255 become. A second input may take patient values, a float32 array [1, f].
    """

    def __init__(
        self,
        path: Path,
        kernels: str | None = None,
        *,
        input_range: tuple[float, float] | None = None,
    ) -> None:
        """
        Raises:
            UnknownNameError: `kernels` is not one of `KERNELS`.
            DeviceError: Core ML is asked for on another system than macOS.
            ModelError: the package is missing or damaged, is no ML Program, holds an operation that is not
                known here, or its input or output is not that of an image classifier.
        """
        chosen = kernels or (COREML if platform.system() == _MACOS else FLOAT32)
        if chosen not in KERNELS:
            raise UnknownNameError("kernels", chosen, KERNELS)
        package = open_package(path)
        with naming(path):
            specification = read_specification(package.read_model())
            program = _program(specification)
            self._port = _input(specification, program, input_range)
            self._output, self._n_logits = _output(specification, program)
        self._input_range = input_range or (0.0, 255.0)
        self._compute: Compute | None
        if chosen == COREML:
            self._engine, self._compute = _coreml(path, self._port, self._output)
        else:
            evaluator = Evaluator(package, program, half=chosen == FLOAT16)
            self._engine = _evaluation_engine(chosen)
            self._compute = _evaluation(evaluator, self._port, self._output)

    @property
    def engine(self) -> Engine:
        """Core ML, or the evaluation in NumPy."""
        return self._engine

    @property
    def input_px(self) -> int:
        """The side of the square input, in pixels."""
        return self._port.side

    @property
    def n_logits(self) -> int:
        """The number of outputs."""
        return self._n_logits

    @property
    def n_features(self) -> int:
        """The length of the patient vector; 0 for a model of pictures alone."""
        return self._port.n_features

    def logits(self, images: NDArray[np.uint8], features: Features | None = None) -> NDArray[np.float32]:
        """Raw outputs [n, k] for RGB `images` [n, input_px, input_px, 3] and `features`, one at a time.

        Raises:
            ModelError: images or features do not fit, an operation failed, or the runtime is closed.
        """
        check_images(images, self.input_px)
        known = check_features(features, len(images), self.n_features)
        if self._compute is None:
            raise ModelError("this runtime is closed")
        output = np.empty((len(images), self._n_logits), np.float32)
        for number, image in enumerate(images):
            output[number] = self._compute(self._to_input(image), known[number : number + 1])
        return output

    def close(self) -> None:
        """Let go of the weights."""
        self._compute = None

    def _to_input(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """One image [px, px, 3]: bytes in RGB for an image input, else floats as the program orders them."""
        if self._port.feature.kind == "image":
            return image
        low, high = self._input_range
        scaled = image * np.float32((high - low) / 255) + np.float32(low)
        return scaled.transpose(2, 0, 1)[np.newaxis] if self._port.channels_first else scaled[np.newaxis]


def _evaluation(evaluator: Evaluator, port: _Port, output: str) -> Compute:
    blue_first = port.feature.dtype == "BGR"

    def compute(image: NDArray[Any], features: Features) -> NDArray[np.float32]:
        values = image
        if port.feature.kind == "image":
            colours = (image[..., ::-1] if blue_first else image).astype(np.float32)[np.newaxis]
            values = colours.transpose(0, 3, 1, 2) if port.channels_first else colours
        known = {port.patient: features} if port.patient else {}
        return evaluator.run({port.name: values, **known})[output].reshape(-1)

    return compute


def _evaluation_engine(kernels: str) -> Engine:
    return Engine(
        name="edgekd-mil",
        version=version("edgekd"),
        kernels=KERNELS[kernels],
        threads=os.cpu_count() or 1,
        isa=isa(),
    )


def _coreml(path: Path, port: _Port, output: str) -> tuple[Engine, Compute]:
    if platform.system() != _MACOS:
        others = ", ".join(name for name in KERNELS if name != COREML)
        raise DeviceError(f"Core ML runs on macOS only; here the package can be evaluated with {others}")
    coremltools = lazy.optional("coremltools", package="coremltools", extra="coreml")
    pillow = lazy.optional("PIL.Image", package="pillow", extra="coreml")
    model = coremltools.models.MLModel(str(path))

    def compute(image: NDArray[Any], features: Features) -> NDArray[np.float32]:
        known = {port.patient: features} if port.patient else {}
        value = pillow.fromarray(image) if port.feature.kind == "image" else image
        try:
            found = model.predict({port.feature.name: value, **known})[output]
        except (RuntimeError, KeyError, ValueError) as error:
            raise ModelError(f"{path}: Core ML failed on an image ({error!s:.300})") from error
        return np.asarray(found, np.float32).reshape(-1)

    engine = Engine(
        name="coreml",
        version=f"macOS {platform.mac_ver()[0]}",
        kernels=f"{KERNELS[COREML]} through coremltools {coremltools.__version__}",
        threads=os.cpu_count() or 1,
        isa=isa(),
        accelerator="cpu, gpu or neural engine, as Core ML chooses",
    )
    return engine, compute


def _program(specification: Specification) -> Program:
    if specification.program is None:
        raise ModelError(f"holds a model of kind {specification.kind}, expected an ML Program")
    return specification.program


def _input(specification: Specification, program: Program, input_range: tuple[float, float] | None) -> _Port:
    features, typed = specification.inputs, dict(program.inputs)
    patient = _patient(specification, program) if len(features) > 1 else None
    if len(features) != len(typed) or len(features) != (2 if patient else 1):
        raise ModelError(
            f"{len(features)} inputs, expected one image, and at most an array of patient values"
        )
    feature = next(one for one in features if one is not patient)
    name = feature.name if patient else program.inputs[0][0]
    if name not in typed:
        raise ModelError(f"the program does not read the input {name!r:.100}")
    shape = typed[name].shape
    square = [
        (first, sides[0])
        for first, sides in ((True, shape[2:]), (False, shape[1:3]))
        if shape == ((1, 3, *sides) if first else (1, *sides, 3)) and sides[0] == sides[1] > 0
    ]
    if not square:
        raise ModelError(f"the input is {list(shape)}, expected [1, 3, px, px] or [1, px, px, 3]")
    if feature.kind == "image" and feature.dtype not in _COLOURS:
        raise ModelError(f"the input is an image in {feature.dtype}, expected RGB or BGR")
    if feature.kind != "image" and (feature.kind != "array" or input_range is None):
        raise ModelError(
            f"the input is {feature.kind} {feature.dtype}, which does not say what values 0 and 255 become: "
            "state the input range (edgekd's packages take images)"
        )
    known = (patient.name, typed[patient.name].shape[1]) if patient else ("", 0)
    return _Port(feature, name, *square[0], *known)


def _patient(specification: Specification, program: Program) -> Feature | None:
    """The input of patient values: a float32 array [1, f]."""
    shapes = {name: type_.shape for name, type_ in program.inputs}
    arrays = [
        feature
        for feature in specification.inputs
        if (feature.kind, feature.dtype) == ("array", "float32")
        and len(shape := shapes.get(feature.name, ())) == 2
        and shape[0] == 1 <= shape[1]
    ]
    return arrays[0] if len(arrays) == 1 else None


def _output(specification: Specification, program: Program) -> tuple[str, int]:
    if len(specification.outputs) != 1 or specification.outputs[0].kind != "array":
        kinds = ", ".join(feature.kind for feature in specification.outputs)
        raise ModelError(f"the outputs are {kinds or 'none'}, expected one array of logits")
    name = specification.outputs[0].name
    shapes = [
        type_.shape
        for operation in program.operations
        for output, type_ in operation.outputs
        if output == name
    ]
    if name not in program.outputs or not shapes:
        raise ModelError(f"nothing computes the output {name!r:.100}")
    sides = shapes[-1]
    if not sides or min(sides) < 1 or max(sides[:-1], default=1) != 1:
        raise ModelError(f"the output is {list(sides)}, expected [1, k]")
    return name, sides[-1]
