"""EfficientNet-Lite0 (Tan and Le 2019 without squeeze-and-excitation, ReLU6 in place of swish)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from edgekd import lazy
from edgekd.models.blocks import channels, convolved, depthwise, joined, relu

if TYPE_CHECKING:
    import tf_keras


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM, _HEAD, _MOST = 32, 1280, 6.0


def efficientnet_lite0(*, px: int, width: float, weights: str | None) -> tf_keras.Model:
    """The convolutional part of EfficientNet-Lite0; `width` scales all but stem and head, as published.

    Keras publishes no `weights`.
    """
    del weights
    keras = lazy.keras()
    image = keras.Input((px, px, 3), name="image")
    x = relu(convolved(image, _STEM, "stem", kernel=3, stride=2), "stem_relu", most=_MOST)
    for number, stage in enumerate(_STAGES):
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            x = _inverted(x, stage, stride, channels(stage.filters * width), f"block{number}_{repeat}")
    x = relu(convolved(x, _HEAD, "head"), "head_relu", most=_MOST)
    return keras.Model(image, x, name="efficientnet_lite0")


def _inverted(x: Any, stage: _Stage, stride: int, filters: int, name: str) -> Any:
    shortcut = x
    if stage.expansion > 1:
        x = convolved(x, x.shape[-1] * stage.expansion, f"{name}_expand")
        x = relu(x, f"{name}_expand_relu", most=_MOST)
    x = depthwise(x, stage.kernel, f"{name}_depthwise", stride=stride)
    x = relu(x, f"{name}_depthwise_relu", most=_MOST)
    return joined(convolved(x, filters, f"{name}_project"), shortcut, f"{name}_add")
