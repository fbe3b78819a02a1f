"""The one narrow door to TensorFlow Model Optimization: quantization-aware copies of a student.

Two things differ from the library's defaults. The input range is fixed so that a raw RGB byte is an exact
value of the quantized input (scale 1/127.5, zero point 128): no pixel is rounded, nor is a patient vector,
whose range is 0 to 1 (scale 1/255, zero point 0). Depthwise kernels are
quantized per channel, as TFLite stores them; per tensor, the default, a pretrained MobileNetV2 of width 1
loses its features (correlation of the logits with float 0.2 instead of 0.99, before any training).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.errors import ModelError
from edgekd.models.catalogue import CORE, STUDENTS, leaves, with_scaling
from edgekd.models.catalogue import core as core_of
from edgekd.models.inputs import feed
from edgekd.models.scaling import Scaling
from edgekd.models.weights import first_line
from edgekd.patient_input import TENSOR

if TYPE_CHECKING:
    import tf_keras

tf = lazy.tensorflow()
keras = lazy.keras()
tfmot = lazy.tfmot().quantization.keras
_registry = lazy.optional(
    "tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_registry",
    package="tensorflow-model-optimization",
    extra="train",
)

INPUT_MIN, INPUT_MAX = -128 / 127.5, 127 / 127.5
# |offset| / (scale_in · max|kernel| / 127) must stay below 2^31, and scale_in is at least 1/255 for any
# range of 1 or more: max|kernel| ≥ |offset| · 127 · 255 / 2^31.
_LEAST_KERNEL = 127 * 255 / 2**31
_INSTEAD = f"choose a network made for 8 bits: {', '.join(STUDENTS)}"


class DepthwiseKernelQuantizer(tfmot.quantizers.Quantizer):  # type: ignore[misc,name-defined]
    """Symmetric 8-bit rounding of a depthwise kernel [h, w, c, m], one scale per output channel.

    Forward: q(k) = s · round(k / s) with s = max|k| / 127 over the channel's taps. Gradient: dq/dk = 1.
    Without state, and in plain operations: the converter folds them into the kernel and, finding no range
    of ours, stores it on the same grid (a fake-quantization op of one axis less does not convert).
    """

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """No variables: the range is always that of the kernel itself."""
        del tensor_shape, name, layer
        return {}

    def __call__(self, inputs: Any, training: Any, weights: Any, **kwargs: Any) -> Any:
        """`inputs` on its 8-bit grid."""
        del training, weights, kwargs
        step = tf.reduce_max(tf.abs(inputs), axis=(0, 1), keepdims=True) / 127.0
        rounded = tf.round(tf.math.divide_no_nan(inputs, step)) * step
        return inputs + tf.stop_gradient(rounded - inputs)

    def get_config(self) -> dict[str, Any]:
        """Nothing: there is one way to do it."""
        return {}


class DepthwiseQuantizeConfig(_registry.Default8BitConvQuantizeConfig):  # type: ignore[misc,name-defined]
    """The library's configuration of a depthwise convolution, with one scale per channel."""

    def __init__(self, weight_attrs: Any, activation_attrs: Any, quantize_output: bool) -> None:
        super().__init__(weight_attrs, activation_attrs, quantize_output)
        self.weight_quantizer = DepthwiseKernelQuantizer()


def quantization_aware(
    core: tf_keras.Model,
    batches: Sequence[NDArray[np.uint8]],
    features: Sequence[NDArray[np.float32]] = (),
) -> tf_keras.Model:
    """A copy of `core` that rounds like its future int8 file, as a model on raw pixels (`Scaling.BYTE`).

    `batches` are representative images (uint8 [n, px, px, 3], one or more batches), `features` their patient
    vectors where `core` takes them (float32 [n, f] for each batch): the ranges of the
    activations start as the means of the batch minima and maxima in `core`, where the library would start
    at ±6 and move by a thousandth per step. While training (`training=True`) kernels follow their own
    range and activation ranges move on; with `training=False` nothing moves.

    Raises:
        ModelError: `core` holds a layer that cannot be quantized.
    """
    inner = _with_fixed_input(_quantize(without_dead_kernels(core)))
    known = features or [np.zeros((len(batch), 0), np.float32) for batch in batches]
    fed = [
        feed(core, (batch.astype(np.float32) - 128.0) / 127.5, vectors)
        for batch, vectors in zip(batches, known, strict=True)
    ]
    _settle_kernel_ranges(inner, fed[0])
    _set_activation_ranges(inner, core, fed)
    return with_scaling(inner, Scaling.BYTE)


def freeze_batch_norm(model: tf_keras.Model) -> None:
    """Let the quantized `model` train on the moving averages of its batch normalization, and keep them.

    Training then sees the very network that is exported. Scale and offset rest with the averages; kernels,
    ranges and the head learn. Call it before the first training step.
    """
    _set_batch_norm_trainable(model, False)


def save_quantized(model: tf_keras.Model, path: Path) -> None:
    """Write a quantization-aware `model` to `path` (`.h5`: as `.keras` it would not load again).

    Frozen batch normalization is saved unfrozen: freezing belongs to the training loop.
    """
    inner = core_of(model)
    frozen = [layer.name for layer in _batch_norms(inner) if not layer.trainable]
    _set_batch_norm_trainable(inner, True)  # the order of the weights in the file depends on it
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*HDF5 file", category=UserWarning)
            inner.save(path, save_format="h5", include_optimizer=False)
    finally:
        for layer in _batch_norms(inner):
            layer.trainable = layer.name not in frozen


def load_quantized(path: Path) -> tf_keras.Model:
    """The quantization-aware model of `save_quantized`, on raw pixels, weights and ranges exactly as saved.

    Raises:
        ModelError: the file is missing or holds no such model.
    """
    if not path.is_file():
        raise ModelError(f"quantized model {path} does not exist, expected the .h5 file of the qat station")
    try:
        with quantized_layers():
            inner = keras.models.load_model(path, compile=False)
    except Exception as error:  # HDF5, JSON and layer errors all surface here
        raise ModelError(f"{path} is not a quantized model that loads: {first_line(error)}") from error
    if inner.name != CORE or not any(_is_wrapper(layer) for layer in inner.layers):
        raise ModelError(f"{path} holds model {inner.name!r}, expected the .h5 file of the qat station")
    return with_scaling(inner, Scaling.BYTE)


def without_dead_kernels(core: tf_keras.Model) -> tf_keras.Model:
    """A copy of `core` in which no convolution has an output channel that is (nearly) nothing but its offset.

    Such channels are common in pretrained networks and break silently: the int8 file stores the offset in
    int32 steps of scale_in · max|kernel| / 127, which overflow for a vanishing kernel.
    """
    copy = keras.models.clone_model(core)
    copy.set_weights(core.get_weights())
    for norm in _batch_norms(copy):
        before = norm.inbound_nodes[0].inbound_layers
        if isinstance(before, keras.layers.DepthwiseConv2D):
            _revive(before.depthwise_kernel, norm, depthwise=True)
        elif isinstance(before, keras.layers.Conv2D):
            _revive(before.kernel, norm, depthwise=False)
    return copy


def _revive(kernel: Any, norm: Any, *, depthwise: bool) -> None:
    """Give dead channels one small tap and a normalization of factor 1; the offset they add stays."""
    taps = kernel.numpy()
    by_channel = (taps.transpose(0, 1, 3, 2) if depthwise else taps).copy()  # [h, w, in or m, out]
    gamma, beta, mean, variance = (array.astype(np.float64) for array in norm.get_weights())
    deviation = np.sqrt(variance + norm.epsilon)
    offset = beta - mean * gamma / deviation
    least = _LEAST_KERNEL * np.abs(offset)
    dead = np.abs(by_channel).max(axis=(0, 1, 2)) * np.abs(gamma / deviation) < least
    by_channel[..., dead] = 0
    by_channel[taps.shape[0] // 2, taps.shape[1] // 2, 0, dead] = 2 * least[dead]
    kernel.assign(by_channel.transpose(0, 1, 3, 2) if depthwise else by_channel)
    norm.gamma.assign(np.where(dead, deviation, gamma))
    norm.beta.assign(np.where(dead, offset + mean, beta))


def _quantize(core: tf_keras.Model) -> tf_keras.Model:
    _check_layers(core)
    try:
        return tfmot.quantize_model(core)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{first_line(error).split('. You can')[0]}; {_INSTEAD}") from error


def _check_layers(core: tf_keras.Model) -> None:
    registry = _registry.Default8BitQuantizeRegistry()
    # A batch normalization is quantized with its convolution, not by itself.
    fine = (keras.layers.InputLayer, keras.layers.BatchNormalization)
    for layer in core.layers:
        if not isinstance(layer, fine) and not registry.supports(layer):
            raise ModelError(f"cannot quantize layer {layer.name!r} ({type(layer).__name__}); {_INSTEAD}")


def _with_fixed_input(model: tf_keras.Model) -> tf_keras.Model:
    """`model` made anew with the fixed input range and per-channel depthwise kernels, its weights copied."""
    config = model.get_config()
    for layer in config["layers"]:
        _adapt(layer)
    with quantized_layers():
        adapted = keras.Model.from_config(config)
    for old, new in zip(model.layers, adapted.layers, strict=True):
        values = {_short_name(weight): weight for weight in old.weights}
        for weight in new.weights:
            weight.assign(values[_short_name(weight)])
    return adapted


def _adapt(layer: dict[str, Any]) -> None:
    config = layer["config"]
    if layer["class_name"] == "QuantizeLayer":
        source = layer["inbound_nodes"][0][0][0]
        ends = (0.0, 1.0) if source == TENSOR else (INPUT_MIN, INPUT_MAX)
        fixed = tfmot.quantizers.FixedQuantizer(8, *ends, narrow_range=False)
        config["quantizer"] = {"class_name": "FixedQuantizer", "config": fixed.get_config()}
    elif config.get("layer", {}).get("class_name") == "DepthwiseConv2D":
        config["quantize_config"]["class_name"] = DepthwiseQuantizeConfig.__name__


def _settle_kernel_ranges(inner: tf_keras.Model, fed: Any) -> None:
    """One forward pass in training mode, which sets each kernel's range, and keeps all else but ranges."""
    _set_batch_norm_trainable(inner, False)
    inner(fed, training=True)
    _set_batch_norm_trainable(inner, True)


def _set_activation_ranges(inner: tf_keras.Model, core: tf_keras.Model, fed: Sequence[Any]) -> None:
    wrappers = [layer for layer in inner.layers if _is_wrapper(layer) and _range_of_output(layer)]
    probe = keras.Model(core.input, [core.get_layer(wrapper.layer.name).output for wrapper in wrappers])
    outputs = [probe(batch, training=False) for batch in fed]
    for number, wrapper in enumerate(wrappers):
        low, high = _range_of_output(wrapper)
        low.assign(min(0.0, np.mean([tf.reduce_min(batch[number]) for batch in outputs])))
        high.assign(max(0.0, np.mean([tf.reduce_max(batch[number]) for batch in outputs])))


def _range_of_output(wrapper: Any) -> list[Any]:
    """The variables (minimum, maximum) of what leaves `wrapper`; empty when it is not rounded there."""
    ends = ("output_min", "output_max", "post_activation_min", "post_activation_max")
    return [weight for weight in wrapper.weights if _short_name(weight) in ends]


def _batch_norms(model: tf_keras.Model) -> list[Any]:
    return [layer for layer in leaves(model) if isinstance(layer, keras.layers.BatchNormalization)]


def _set_batch_norm_trainable(model: tf_keras.Model, trainable: bool) -> None:
    for layer in _batch_norms(model):
        layer.trainable = trainable


def _is_wrapper(layer: Any) -> bool:
    return type(layer).__name__.startswith("QuantizeWrapper")


def _short_name(weight: Any) -> str:
    return str(weight.name).split("/")[-1].split(":")[0]


def quantized_layers() -> Any:
    """A context in which the layers of a quantized model can be made from their configuration."""
    return tfmot.quantize_scope({DepthwiseQuantizeConfig.__name__: DepthwiseQuantizeConfig})
