"""How large a network is: parameters and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from edgekd import lazy

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """`parameters` (all, moving averages included), those that are `trainable`, and `macs` of one image."""

    parameters: int
    trainable: int
    macs: int


def describe(model: tf_keras.Model) -> Description:
    """Parameters and multiply-accumulates per image of `model`, for its own input size.

    Counted are convolutions (output positions × kernel × input channels per group × output channels),
    depthwise and separable convolutions, and dense layers; biases, normalization and activations are not.
    """
    return Description(
        parameters=count_parameters(model),
        trainable=sum(_size(weight) for weight in model.trainable_weights),
        macs=_macs(model),
    )


def count_parameters(model: tf_keras.Model) -> int:
    """All parameters of `model`: trained ones, and the moving averages of batch normalization."""
    return int(model.count_params())


def _macs(model: tf_keras.Model) -> int:
    total = 0
    for layer in model.layers:
        if isinstance(layer, lazy.keras().Model):
            total += _macs(layer)
        else:
            count = _COUNTERS.get(type(layer).__name__)
            total += count(layer) if count else 0
    return total


def _positions(layer: Any) -> int:
    return prod(int(side) for side in layer.output_shape[1:-1])


def _size(kernel: Any) -> int:
    return prod(int(side) for side in kernel.shape)


def _convolution(layer: Any) -> int:
    return _positions(layer) * _size(layer.kernel)


def _depthwise(layer: Any) -> int:
    return _positions(layer) * _size(layer.depthwise_kernel)


def _separable(layer: Any) -> int:
    return _depthwise(layer) + _positions(layer) * _size(layer.pointwise_kernel)


_COUNTERS: Mapping[str, Callable[[Any], int]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _convolution,
}
