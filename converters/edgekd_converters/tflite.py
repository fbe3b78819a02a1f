"""`convert`: a Keras model as the bytes of a .tflite file. The only file that knows TensorFlow's tf.lite.

Every file has a fixed batch of 1 and takes raw uint8 RGB; a −1 batch would leave shape arithmetic in the
graph and break it into pieces. Outputs are raw logits: an 8-bit softmax or sigmoid has a fixed step of
1/256, too coarse for the small probabilities that matter here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from edgekd import lazy
from edgekd.config import Precision
from edgekd.errors import ModelError

tf = lazy.tensorflow()


def convert(model: Any, precision: Precision) -> bytes:
    """The .tflite file of `model` in `precision`; the same model gives the same bytes.

    For fp32, fp16 and dynamic, `model` takes raw 0..255 RGB; the cast and the scaling become part of the
    graph and the output is float32. For int8, `model` is quantization-aware and takes input in [-1, 1]; the
    file's uint8 input has scale 1/127.5, so that raw bytes fit it, and its uint8 output its own scale.

    Raises:
        ModelError: a weight is not finite, or TensorFlow cannot convert the model.
    """
    _check_finite(model)
    whole = precision is Precision.INT8
    function, holder = _freeze(model, tf.float32 if whole else tf.uint8)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
    _SETTINGS[precision](converter)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Statistics for quantized inputs")  # the graph holds them
            return bytes(converter.convert())
    except Exception as error:  # the converter raises its own and TensorFlow's errors, in no common class
        raise ModelError(
            f"TensorFlow cannot convert {model.name!r} to {precision}: {_reason(error)}"
        ) from error


def _check_finite(model: Any) -> None:
    # A file with NaN in it can crash the interpreter, so none is made.
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise ModelError(
                f"model {model.name!r}: weight {weight.name} holds NaN or infinity, its training diverged; "
                "lower the learning rate and train again"
            )


def _freeze(model: Any, dtype: Any) -> tuple[Any, Any]:
    """`model` as a concrete function without variables, for one image of `dtype`."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    _, height, width, channels = model.input_shape

    def logits(image: Any) -> Any:
        return model(tf.cast(image, tf.float32), training=False)

    holder = tf.function(logits)
    image = tf.TensorSpec([1, height, width, channels], dtype, name="image")
    return convert_variables_to_constants_v2(holder.get_concrete_function(image)), holder


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


_SETTINGS: dict[Precision, Callable[[Any], None]] = {
    Precision.FP32: _plain,
    Precision.FP16: _half,
    Precision.DYNAMIC: _dynamic,
    Precision.INT8: _int8,
}


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return lines[0] if lines else type(error).__name__
