"""`convert`: a Keras model as the bytes of a .tflite file. The only file that knows TensorFlow's tf.lite.

Every file has a fixed batch of 1 and takes raw uint8 RGB, and where the model takes a patient vector, that as
bytes too; a −1 batch would leave shape arithmetic in the graph and break it into pieces. Outputs are raw
logits: an 8-bit softmax or sigmoid has a fixed step of 1/256, too coarse for the small probabilities that
matter here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.config import Precision
from edgekd.data.patient import STEPS, to_bytes
from edgekd.errors import ModelError, UsageError
from edgekd.models.catalogue import core
from edgekd.models.inputs import n_features
from edgekd.models.quantize import without_dead_kernels
from edgekd.models.scaling import BYTE_SPANS, scaling
from edgekd.patient_input import TENSOR
from edgekd_converters.artefacts import ROUTES

tf = lazy.tensorflow()

Images = NDArray[np.uint8]
Features = NDArray[np.float32]

_BYTES_IN = (Precision.INT8, Precision.INT8_PTQ)


def convert(
    model: Any, precision: Precision, calibration: Images | None = None, features: Features | None = None
) -> bytes:
    """The .tflite file of `model` in `precision`; the same model gives the same bytes.

    `model` takes raw 0..255 RGB; for int8 it is quantization-aware. In fp32, fp16, dynamic and int16x8 files
    the cast and the scaling are part of the graph and the output is float32. In int8 and int8-ptq files the
    uint8 input is quantized so that raw bytes fit it, and the uint8 output has its own scale. `calibration`
    (uint8 RGB [n, px, px, 3]) is what the ranges of int8-ptq and int16x8 are read from, with the patient
    vectors `features` (float32 [n, f]) of the same rows where the model takes them. A patient value v from 0
    to 1 is the byte 255 v in every file.

    Raises:
        UsageError: calibration images or their patient vectors are missing, or there is no such conversion.
        ModelError: a weight is not finite, or TensorFlow cannot convert the model.
    """
    if precision not in _SETTINGS:
        raise UsageError(f"{precision} is not converted from a Keras model: choose {', '.join(_SETTINGS)}")
    _check_finite(model)
    if precision in _BYTES_IN:
        part, span = _behind_scaling(model)
        part = without_dead_kernels(part) if precision is Precision.INT8_PTQ else part
        function, holder = _freeze(part, tf.float32)
    else:
        span = None
        function, holder = _freeze(model, tf.uint8)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
    if ROUTES[precision].calibrated:
        known = _known_features(model, calibration, features, precision)
        converter.representative_dataset = _representative(calibration, known, span, precision)
    _SETTINGS[precision](converter)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Statistics for quantized inputs")  # the graph holds them
            return bytes(converter.convert())
    except Exception as error:  # the converter raises its own and TensorFlow's errors, in no common class
        raise ModelError(
            f"TensorFlow cannot convert {model.name!r} to {precision}: {_reason(error)}"
        ) from error


def _behind_scaling(model: Any) -> tuple[Any, tuple[float, float]]:
    """The part of `model` an all-8-bit file holds, and what bytes 0 and 255 become at its input.

    A scaling that is one straight line for all channels is left to the input's quantization; the network
    trained on p / 127.5 − 1 gets (p − 128) / 127.5, which is what a byte can stand for. Any other scaling
    stays in the graph.
    """
    span = BYTE_SPANS.get(scaling(model))
    return (core(model), span) if span else (model, (0.0, 255.0))


def _known_features(
    model: Any, calibration: Images | None, features: Features | None, precision: Precision
) -> Features | None:
    """The calibration's patient vectors; None for a model of pictures alone."""
    wanted = n_features(model)
    if wanted == 0:
        return None
    count = 0 if calibration is None else len(calibration)
    if features is None or features.shape != (count, wanted):
        raise UsageError(
            f"{precision} needs the {wanted} patient values of each calibration image, got "
            f"{None if features is None else list(features.shape)}"
        )
    return features


def _representative(
    calibration: Images | None,
    features: Features | None,
    span: tuple[float, float] | None,
    precision: Precision,
) -> Callable[[], Iterator[list[Any]]]:
    if calibration is None or not len(calibration):
        raise UsageError(f"{precision} needs calibration images, and none were given")

    pairs = [(image, None) for image in calibration] if features is None else _pairs(calibration, features)

    def samples() -> Iterator[list[Any]]:
        for image, vector in pairs:
            shown = image[np.newaxis] if span is None else _spread(image, span)
            if vector is None:
                yield [shown]
            else:
                yield [shown, to_bytes(vector[np.newaxis]) if span is None else vector[np.newaxis]]

    return samples


def _pairs(calibration: Images, features: Features) -> list[tuple[Images, Any]]:
    """Each picture with its patient vector, and two more for the ends of the patient input's range.

    The two are of people an application may meet: one of whom nothing is known, one of whom one thing is.
    """
    ends = np.zeros((2, features.shape[1]), np.float32)
    ends[1, 0] = 1
    return [*zip(calibration, features, strict=True), (calibration[0], ends[0]), (calibration[0], ends[1])]


def _spread(image: Images, span: tuple[float, float]) -> NDArray[np.float32]:
    """`image` with bytes 0 to 255 spread over `span`, float32 [1, px, px, 3].

    Two corner values are set to the ends, so that the input's range does not depend on the darkest and the
    lightest pixel that was seen.
    """
    low, high = span
    values = image.astype(np.float32)
    values[0, 0], values[0, 1] = 0, 255
    return (values * np.float32((high - low) / 255) + np.float32(low))[np.newaxis]


def _check_finite(model: Any) -> None:
    # A file with NaN in it can crash the interpreter, so none is made.
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise ModelError(
                f"model {model.name!r}: weight {weight.name} holds NaN or infinity, its training diverged; "
                "lower the learning rate and train again"
            )


def _freeze(model: Any, dtype: Any) -> tuple[Any, Any]:
    """`model` as a concrete function without variables, for one image (and patient vector) of `dtype`."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    def logits(image: Any, *vectors: Any) -> Any:
        known = vectors if dtype == tf.float32 else [tf.cast(v, tf.float32) * (1 / STEPS) for v in vectors]
        pixels = tf.cast(image, tf.float32)
        return model([pixels, *known] if known else pixels, training=False)

    holder = tf.function(logits)
    specs = [
        tf.TensorSpec([1, *tensor.shape[1:]], dtype, name=name)
        for tensor, name in zip(model.inputs, ("image", TENSOR), strict=False)
    ]
    return convert_variables_to_constants_v2(holder.get_concrete_function(*specs)), holder


def _plain(converter: Any) -> None:
    del converter


def _half(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # Per-channel dense weights need FULLY_CONNECTED version 12, which runtimes up to 2.14 refuse.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True


def _int8(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.uint8
    # uint8 rather than int8: LiteRT.js and MediaPipe read no int8 tensors.
    converter.inference_output_type = tf.uint8


def _calibrated_int8(converter: Any) -> None:
    _int8(converter)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True


def _int16x8(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,
    ]


_SETTINGS: dict[Precision, Callable[[Any], None]] = {
    Precision.FP32: _plain,
    Precision.FP16: _half,
    Precision.DYNAMIC: _dynamic,
    Precision.INT8: _int8,
    Precision.INT8_PTQ: _calibrated_int8,
    Precision.INT16X8: _int16x8,
}


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return lines[0] if lines else type(error).__name__
