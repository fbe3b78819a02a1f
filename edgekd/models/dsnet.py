"""DSNet, the small student of Khan et al. 2022."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd import lazy

if TYPE_CHECKING:
    import tf_keras


def dsnet(*, px: int, width: float, weights: str | None) -> tf_keras.Model:
    """The convolutional part of DSNet: three 3×3 convolutions without padding, two 2×2 max-poolings.

    The paper gives neither kernel size nor padding; these are the ones that make 268,898 parameters at
    224 px with two outputs. `width` multiplies the channels (128, 64, 32); there are no published `weights`.
    """
    del weights
    layers = lazy.keras().layers
    first, second, third = (max(1, round(width * channels)) for channels in (128, 64, 32))
    image = x = lazy.keras().Input((px, px, 3), name="image")
    for number, channels in enumerate((first, second, third), start=1):
        x = layers.Conv2D(channels, 3, name=f"conv{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        if number < 3:
            x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    return lazy.keras().Model(image, x, name="dsnet")
