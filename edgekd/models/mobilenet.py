"""The MobileNet students: networks whose every layer survives 8-bit quantization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd import lazy

if TYPE_CHECKING:
    import tf_keras


def mobilenet_v2(*, px: int, width: float, weights: str | None) -> tf_keras.Model:
    """The convolutional part of MobileNetV2 (Sandler et al. 2018), any `width` multiplier.

    `weights` is None or "imagenet", which Keras publishes for widths 0.35, 0.5, 0.75, 1, 1.3 and 1.4.
    """
    return lazy.keras().applications.MobileNetV2(
        include_top=False, weights=weights, alpha=width, input_shape=(px, px, 3)
    )


def mobilenet_v3_small_minimalistic(*, px: int, width: float, weights: str | None) -> tf_keras.Model:
    """The convolutional part of MobileNetV3-Small (Howard et al. 2019) without hard-swish and squeeze-excite.

    `weights` is None or "imagenet", which Keras publishes for width 1.
    """
    return lazy.keras().applications.MobileNetV3Small(
        include_top=False,
        weights=weights,
        alpha=width,
        minimalistic=True,
        include_preprocessing=False,
        input_shape=(px, px, 3),
    )
