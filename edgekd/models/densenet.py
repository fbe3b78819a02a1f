"""DenseNet-161 (Huang et al. 2017), which Keras does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekd import lazy

if TYPE_CHECKING:
    import tf_keras

_GROWTH, _FIRST, _BLOCKS = 48, 96, (6, 12, 36, 24)
_BOTTLENECK = 4  # a dense layer narrows to four times the growth first
_EPSILON = 1e-5


def densenet161(*, px: int, weights: str | None) -> tf_keras.Model:
    """The convolutional part of DenseNet-161 as torchvision builds it, for inputs of `px` (32 or more).

    26,472,000 trained parameters (28,681,000 with a head of 1,000 classes) and 219,936 moving averages;
    2,208 features. There are no published `weights` in a format of Keras.
    """
    del weights
    keras = lazy.keras()
    image = keras.Input((px, px, 3), name="image")
    x = keras.layers.ZeroPadding2D(3, name="pad0")(image)
    x = keras.layers.Conv2D(_FIRST, 7, strides=2, use_bias=False, name="conv0")(x)
    x = keras.layers.ZeroPadding2D(1, name="pad1")(_normalized(x, "norm0", "relu0"))
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool0")(x)
    for block, depth in enumerate(_BLOCKS, start=1):
        for layer in range(1, depth + 1):
            x = _dense_layer(x, f"block{block}_layer{layer}")
        if block < len(_BLOCKS):
            x = _transition(x, f"transition{block}")
    return keras.Model(image, _normalized(x, "norm5", "relu5"), name="densenet161")


def _dense_layer(x: Any, name: str) -> Any:
    """`x` with `_GROWTH` more features of its own."""
    layers = lazy.keras().layers
    new = _normalized(x, f"{name}_norm1", f"{name}_relu1")
    new = layers.Conv2D(_BOTTLENECK * _GROWTH, 1, use_bias=False, name=f"{name}_conv1")(new)
    new = _normalized(new, f"{name}_norm2", f"{name}_relu2")
    new = layers.Conv2D(_GROWTH, 3, padding="same", use_bias=False, name=f"{name}_conv2")(new)
    return layers.Concatenate(name=f"{name}_concat")([x, new])


def _transition(x: Any, name: str) -> Any:
    """Half the features at half the side."""
    layers = lazy.keras().layers
    half = int(x.shape[-1]) // 2
    x = _normalized(x, f"{name}_norm", f"{name}_relu")
    x = layers.Conv2D(half, 1, use_bias=False, name=f"{name}_conv")(x)
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x)


def _normalized(x: Any, norm: str, relu: str) -> Any:
    layers = lazy.keras().layers
    return layers.ReLU(name=relu)(layers.BatchNormalization(epsilon=_EPSILON, name=norm)(x))
