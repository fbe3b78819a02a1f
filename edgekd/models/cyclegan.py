"""The networks of CycleGAN (Zhu et al. 2017, arXiv 1703.10593, section 7.1), which turn one kind of picture
into another without pairs of them.

Layer for layer those of the authors' own program: convolutions with a bias, instance normalization without
scale or offset, first weights from N(0, 0.02²). At width 1 a generator of nine blocks has 11,378,179
parameters, of six 7,837,699, a discriminator 2,764,737.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from edgekd import lazy
from edgekd.errors import ModelError, UsageError
from edgekd.models.weights import first_line
from edgekd.plain import digest

if TYPE_CHECKING:
    import tf_keras

tf = lazy.tensorflow()
keras = lazy.keras()

MIN_PX = 32
"""The discriminator halves the picture three times, and two more layers take a pixel each."""

_FILTERS = 64
_LARGE_PX = 256
_DEVIATION = 0.02
_SLOPE = 0.2


@final
class InstanceNorm(keras.layers.Layer):  # type: ignore[misc,name-defined]
    """Each channel of each picture brought to mean 0 and variance 1 over its own pixels.

    (x − mean) / √(variance + `epsilon`), no trained scale or offset (Ulyanov et al. 2016, arXiv 1607.08022).
    """

    def __init__(self, epsilon: float = 1e-5, **layer: Any) -> None:
        super().__init__(**layer)
        self.epsilon = epsilon

    def call(self, x: Any) -> Any:
        """`x` [n, h, w, c], normalized over h and w."""
        mean, variance = tf.nn.moments(x, axes=[1, 2], keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """What a saved model needs to make the layer again."""
        return {**super().get_config(), "epsilon": self.epsilon}


@final
class ReflectionPad(keras.layers.Layer):  # type: ignore[misc,name-defined]
    """The picture continued by `size` mirrored pixels on every side, the edge itself not repeated."""

    def __init__(self, size: int, **layer: Any) -> None:
        super().__init__(**layer)
        self.size = size

    def call(self, x: Any) -> Any:
        """`x` [n, h, w, c] as [n, h + 2 · size, w + 2 · size, c]."""
        side = [self.size, self.size]
        return tf.pad(x, [[0, 0], side, side, [0, 0]], mode="REFLECT")

    def get_config(self) -> dict[str, Any]:
        """What a saved model needs to make the layer again."""
        return {**super().get_config(), "size": self.size}


_OWN_LAYERS = {"InstanceNorm": InstanceNorm, "ReflectionPad": ReflectionPad}


def residual_blocks(px: int) -> int:
    """How many blocks the paper gives a generator: 6 for pictures of 128 px, 9 from 256 px on."""
    return 9 if px >= _LARGE_PX else 6


def generator(*, px: int, width: float = 1.0, blocks: int = 0, seed: int) -> tf_keras.Model:
    """A network from pictures to pictures, float32 [n, px, px, 3] from −1 to 1 both.

    c7s1-64, d128, d256, `blocks` residual blocks (0: as the paper has it), u128, u64, c7s1-3, tanh; `width`
    multiplies the channels. First weights are drawn from `seed`.

    Raises:
        UsageError: `px` is below `MIN_PX` or no multiple of 4.
    """
    _check_px(px)
    make = _Layers(seed)
    filters = [_channels(_FILTERS * times, width) for times in (1, 2, 4)]
    picture = keras.Input((px, px, 3), name="image")
    x = make.normed(make.conv(make.mirrored(picture, 3), filters[0], 7))
    for count in filters[1:]:
        x = make.normed(make.conv(make.padded(x), count, 3, stride=2))
    for _ in range(blocks or residual_blocks(px)):
        inner = make.normed(make.conv(make.mirrored(x, 1), filters[2], 3))
        inner = make.normed(make.conv(make.mirrored(inner, 1), filters[2], 3), active=False)
        x = keras.layers.Add(name=make.name("add"))([x, inner])
    for count in reversed(filters[:-1]):
        x = make.normed(make.upwards(x, count))
    x = make.conv(make.mirrored(x, 3), 3, 7)
    return keras.Model(picture, keras.layers.Activation("tanh", name="picture")(x), name="generator")


def discriminator(*, px: int, width: float = 1.0, seed: int) -> tf_keras.Model:
    """A network that says of each patch of 70 × 70 pixels how real it looks: float32 [n, k, k, 1].

    C64, C128, C256, C512 with 4 × 4 kernels (the first without normalization), then one answer per place,
    k = px / 8 − 2; 1 means real, 0 made (least squares: no sigmoid).

    Raises:
        UsageError: `px` is below `MIN_PX` or no multiple of 4.
    """
    _check_px(px)
    make = _Layers(seed)
    picture = x = keras.Input((px, px, 3), name="image")
    for number, (times, stride) in enumerate(((1, 2), (2, 2), (4, 2), (8, 1))):
        x = make.conv(make.padded(x), _channels(_FILTERS * times, width), 4, stride=stride)
        x = InstanceNorm(name=make.name("norm"))(x) if number else x
        x = keras.layers.LeakyReLU(_SLOPE, name=make.name("leaky"))(x)
    return keras.Model(picture, make.conv(make.padded(x), 1, 4), name="discriminator")


def load_generator(path: Path) -> tf_keras.Model:
    """The generator that was saved in `path`.

    Raises:
        ModelError: the file is missing or is none.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such generator")
    try:
        return keras.models.load_model(path, compile=False, custom_objects=_OWN_LAYERS)
    except Exception as error:  # Keras raises anything from OSError to TypeError for a damaged file
        raise ModelError(f"{path}: not a generator that can be loaded ({first_line(error)})") from error


@final
class _Layers:
    """Makes layers: names do not depend on other models, first weights come from seeds of their own."""

    def __init__(self, seed: int) -> None:
        self._seeds: Iterator[int] = (int(digest([seed, n])[:7], 16) for n in itertools.count())
        self._numbers = itertools.count(1)

    def name(self, kind: str) -> str:
        return f"{kind}{next(self._numbers)}"

    def mirrored(self, x: Any, size: int) -> Any:
        return ReflectionPad(size, name=self.name("mirror"))(x)

    def padded(self, x: Any) -> Any:
        return keras.layers.ZeroPadding2D(1, name=self.name("pad"))(x)

    def conv(self, x: Any, filters: int, kernel: int, stride: int = 1) -> Any:
        made = keras.layers.Conv2D(
            filters, kernel, stride, kernel_initializer=self._first(), name=self.name("conv")
        )
        return made(x)

    def upwards(self, x: Any, filters: int) -> Any:
        made = keras.layers.Conv2DTranspose(
            filters, 3, 2, padding="same", kernel_initializer=self._first(), name=self.name("up")
        )
        return made(x)

    def normed(self, x: Any, *, active: bool = True) -> Any:
        x = InstanceNorm(name=self.name("norm"))(x)
        return keras.layers.ReLU(name=self.name("relu"))(x) if active else x

    def _first(self) -> Any:
        return keras.initializers.RandomNormal(stddev=_DEVIATION, seed=next(self._seeds))


def _channels(count: int, width: float) -> int:
    return max(1, round(count * width))


def _check_px(px: int) -> None:
    if px < MIN_PX or px % 4:
        raise UsageError(f"pictures of {px} px: a CycleGAN takes {MIN_PX} px or more, a multiple of 4")
