"""The pieces of inverted-residual networks, in layers that quantization-aware training knows."""

from __future__ import annotations

from typing import Any

from edgekd import lazy

_NARROWEST = 0.9


def channels(wanted: float, *, divisor: int = 8) -> int:
    """`wanted` channels rounded to a multiple of `divisor`, never below nine tenths (Sandler et al. 2018)."""
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < _NARROWEST * wanted else rounded


def convolved(x: Any, filters: int, name: str, *, kernel: int = 1, stride: int = 1) -> Any:
    """A convolution without bias and its batch normalization."""
    layers = lazy.keras().layers
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def depthwise(x: Any, kernel: int, name: str, *, stride: int = 1) -> Any:
    """A depthwise convolution without bias and its batch normalization."""
    layers = lazy.keras().layers
    x = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def relu(x: Any, name: str, *, most: float | None = None) -> Any:
    """x between 0 and `most`."""
    return lazy.keras().layers.ReLU(most, name=name)(x)


def joined(x: Any, shortcut: Any, name: str) -> Any:
    """x + `shortcut` where their shapes agree, else x: an inverted residual has a shortcut when it can."""
    return lazy.keras().layers.Add(name=name)([shortcut, x]) if shortcut.shape == x.shape else x
