"""MobileNetV4-Conv-S (Qin et al. 2024, table 11), in layers that survive 8-bit quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekd import lazy
from edgekd.models.blocks import channels, convolved, depthwise, joined, relu

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True, slots=True)
class _Conv:
    """A convolution, batch normalization and ReLU."""

    kernel: int
    stride: int
    filters: int


@dataclass(frozen=True, slots=True)
class _Inverted:
    """A universal inverted bottleneck: depthwise kernels `start`, `middle` (0: none) around the expansion."""

    start: int
    middle: int
    stride: int
    expansion: int
    filters: int


_BLOCKS: tuple[_Conv | _Inverted, ...] = (
    _Conv(3, 2, 32),
    _Conv(3, 2, 32),
    _Conv(1, 1, 32),
    _Conv(3, 2, 96),
    _Conv(1, 1, 64),
    _Inverted(5, 5, 2, 3, 96),
    *[_Inverted(0, 3, 1, 2, 96)] * 4,
    _Inverted(3, 0, 1, 4, 96),
    _Inverted(3, 3, 2, 6, 128),
    _Inverted(5, 5, 1, 4, 128),
    _Inverted(0, 5, 1, 4, 128),
    _Inverted(0, 5, 1, 3, 128),
    *[_Inverted(0, 3, 1, 4, 128)] * 2,
    _Conv(1, 1, 960),
)
_HEAD = 1280


def mobilenet_v4_conv_small(*, px: int, width: float, weights: str | None) -> tf_keras.Model:
    """MobileNetV4-Conv-S up to its 1280 features [n, 1, 1, 1280], any `width` multiplier.

    The last convolution follows the pooling, as published; `width` below 1 leaves it at 1280. Keras publishes
    no `weights`.
    """
    del weights
    keras = lazy.keras()
    image = x = keras.Input((px, px, 3), name="image")
    for number, block in enumerate(_BLOCKS):
        x = _add(x, block, width, f"block{number}")
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    head = channels(_HEAD * max(1.0, width))
    x = relu(convolved(x, head, "head"), "head_relu")
    return keras.Model(image, x, name="mobilenet_v4_conv_small")


def _add(x: Any, block: _Conv | _Inverted, width: float, name: str) -> Any:
    filters = channels(block.filters * width)
    if isinstance(block, _Conv):
        x = convolved(x, filters, f"{name}_conv", kernel=block.kernel, stride=block.stride)
        return relu(x, f"{name}_relu")
    return _inverted(x, block, filters, name)


def _inverted(x: Any, block: _Inverted, filters: int, name: str) -> Any:
    shortcut = x
    if block.start:
        stride = 1 if block.middle else block.stride
        x = depthwise(x, block.start, f"{name}_start", stride=stride)
    x = convolved(x, channels(shortcut.shape[-1] * block.expansion), f"{name}_expand")
    x = relu(x, f"{name}_expand_relu")
    if block.middle:
        x = depthwise(x, block.middle, f"{name}_middle", stride=block.stride)
        x = relu(x, f"{name}_middle_relu")
    return joined(convolved(x, filters, f"{name}_project"), shortcut, f"{name}_add")
