"""The MobileNet students: networks whose every layer survives 8-bit quantization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd import lazy
from edgekd.errors import UsageError

if TYPE_CHECKING:
    import tf_keras

_BLOCKS = 17


def mobilenet_v2(*, px: int, width: float, weights: str | None, blocks: int = 0) -> tf_keras.Model:
    """The convolutional part of MobileNetV2 (Sandler et al. 2018), any `width` multiplier.

    `weights` is None or "imagenet", which Keras publishes for widths 0.35, 0.5, 0.75, 1, 1.3 and 1.4.

    With `blocks` it ends after that many of its 17 inverted residual blocks and the 1×1 convolution that
    widens what they give: the first one of the next block, as in the paper's SSDLite, or after all 17 the
    last of the network. The average of a block's own output, which has no activation, would leave a
    classifier few channels and a linear function of each.

    Raises:
        UsageError: there are not so many blocks.
    """
    if not 0 <= blocks <= _BLOCKS:
        raise UsageError(f"mobilenet_v2 has {_BLOCKS} blocks, got blocks={blocks}; choose 1 to {_BLOCKS}")
    whole = lazy.keras().applications.MobileNetV2(
        include_top=False, weights=weights, alpha=width, input_shape=(px, px, 3)
    )
    if blocks in (0, _BLOCKS):
        return whole
    return lazy.keras().Model(whole.input, whole.get_layer(f"block_{blocks}_expand_relu").output)


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
