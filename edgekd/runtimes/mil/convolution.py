"""Convolution and pooling, on arrays whose logical order is [n, channels, height, width].

In memory the channels come last: a 1×1 convolution is then one matrix product, and a depthwise one a sum of
shifted products over whole rows. NumPy keeps that order through elementwise operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgekd.errors import ModelError
from edgekd.runtimes.mil.limits import Work, check_size

Array = NDArray[np.float32]
Arguments = Mapping[str, Any]
Pads = tuple[tuple[int, int], tuple[int, int]]

_PATCH_ELEMENTS = 1 << 22  # 16 MiB of patches at a time


def conv(args: Arguments, work: Work) -> Array:
    """A 2-D convolution with groups, strides, dilations and every kind of padding."""
    x, weight = args["x"], args["weight"]
    if x.ndim != 4 or weight.ndim != 4:
        raise ModelError(
            f"a convolution of {list(x.shape)} with {list(weight.shape)}, expected two dimensions"
        )
    groups, strides, dilations = int(args.get("groups", 1)), _pair(args, "strides"), _pair(args, "dilations")
    if groups < 1 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ModelError(f"{list(weight.shape)} in {groups} groups does not fit {list(x.shape)}")
    reach = tuple((side - 1) * gap + 1 for side, gap in zip(weight.shape[2:], dilations, strict=True))
    padded = _pad(x, _pads(args, x.shape[2:], reach, strides), 0.0)
    sides = _output_sides(padded, reach, strides)
    check_size((len(x), *sides, weight.shape[0]))
    if weight.shape[1] == 1 and groups > 1:
        work.spend(elements=len(x) * math.prod(sides) * weight.size)
        output = _depthwise(padded, weight, sides, strides, dilations)
    else:
        work.spend(products=len(x) * math.prod(sides) * weight.size)
        parts = [
            _dense(part, kernel, sides, strides, dilations)
            for part, kernel in zip(np.split(padded, groups, axis=3), np.split(weight, groups), strict=True)
        ]
        output = parts[0] if groups == 1 else np.concatenate(parts, axis=3)
    if args.get("bias") is not None:
        output += args["bias"]
    return output.transpose(0, 3, 1, 2)


def max_pool(args: Arguments, work: Work) -> Array:
    """The largest value of each window; padding never wins."""
    return _pool(args, work, np.maximum, -np.inf)[0]


def avg_pool(args: Arguments, work: Work) -> Array:
    """The mean of each window, of its pixels inside the image where padding is to be left out."""
    total, pads, sides = _pool(args, work, np.add, 0.0)
    kernel, strides = _kernel(args), _pair(args, "strides")
    if not args.get("exclude_padding_from_average", False):
        return np.asarray(total / np.float32(math.prod(kernel)))
    ones = _pad(np.ones((1, 1, *args["x"].shape[2:]), np.float32), pads, 0.0)
    counts = _fold(ones, kernel, strides, sides, np.add).transpose(0, 3, 1, 2)
    return np.asarray(total / counts)


def _pool(
    args: Arguments, work: Work, combine: Callable[..., Any], filling: float
) -> tuple[Array, Pads, tuple[int, int]]:
    x, kernel, strides = args["x"], _kernel(args), _pair(args, "strides")
    if x.ndim != 4 or args.get("ceil_mode", False):
        raise ModelError("a pooling in other than two dimensions, or that rounds up")
    pads = _pads(args, x.shape[2:], kernel, strides)
    padded = _pad(x, pads, filling)
    sides = _output_sides(padded, kernel, strides)
    work.spend(elements=len(x) * x.shape[1] * math.prod(sides) * math.prod(kernel))
    return _fold(padded, kernel, strides, sides, combine).transpose(0, 3, 1, 2), pads, sides


def _dense(
    x: Array, weight: Array, sides: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int]
) -> Array:
    """`x` [n, h, w, in] with `weight` [out, in, kh, kw]: matrix products over bands of output rows."""
    n, (height, width), outputs = len(x), sides, len(weight)
    if weight.shape[2:] == (1, 1):
        taken = x[:, :: strides[0], :: strides[1]]
        return np.asarray(
            (taken.reshape(-1, x.shape[3]) @ weight.reshape(outputs, -1).T).reshape(n, *sides, -1)
        )
    kernel = weight.transpose(2, 3, 1, 0).reshape(-1, outputs)
    reach = [(side - 1) * gap + 1 for side, gap in zip(weight.shape[2:], dilations, strict=True)]
    windows = sliding_window_view(x, tuple(reach), axis=(1, 2))[
        :, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]
    ].transpose(0, 1, 2, 4, 5, 3)
    output = np.empty((n, height, width, outputs), np.float32)
    rows = max(1, _PATCH_ELEMENTS // (width * len(kernel)))
    for image in range(n):
        for top in range(0, height, rows):
            patches = windows[image, top : top + rows].reshape(-1, len(kernel))
            output[image, top : top + rows] = (patches @ kernel).reshape(-1, width, outputs)
    return output


def _depthwise(
    x: Array, weight: Array, sides: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int]
) -> Array:
    """`x` [n, h, w, c] with `weight` [c · m, 1, kh, kw]: each channel with its own m kernels."""
    x = np.repeat(x, len(weight) // x.shape[3], axis=3) if len(weight) != x.shape[3] else x
    output = np.zeros((len(x), *sides, len(weight)), np.float32)
    product = np.empty(output.shape[1:], np.float32)
    for row, column in np.ndindex(*weight.shape[2:]):
        # A row of taps as wide as the image lets NumPy run over rows and channels in one loop.
        taps = np.tile(weight[:, 0, row, column], (sides[1], 1))
        shifted = _window(x, row * dilations[0], column * dilations[1], sides, strides)
        for image, total in zip(shifted, output, strict=True):
            np.multiply(image, taps, out=product)
            np.add(total, product, out=total)
    return output


def _fold(
    x: Array,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    sides: tuple[int, int],
    combine: Callable[..., Any],
) -> Array:
    """`x` [n, h, w, c]: the values of each window combined."""
    output: Array | None = None
    for row, column in np.ndindex(*kernel):
        shifted = _window(x, row, column, sides, strides)
        output = shifted.copy() if output is None else combine(output, shifted, out=output)
    if output is None:
        raise ModelError("a pooling window without pixels")
    return output


def _window(x: Array, top: int, left: int, sides: tuple[int, int], strides: tuple[int, int]) -> Array:
    bottom, right = top + (sides[0] - 1) * strides[0] + 1, left + (sides[1] - 1) * strides[1] + 1
    return x[:, top : bottom : strides[0], left : right : strides[1]]


def _output_sides(x: Array, reach: tuple[int, ...], strides: tuple[int, int]) -> tuple[int, int]:
    height, width = (
        (side - span) // step + 1 for side, span, step in zip(x.shape[1:3], reach, strides, strict=True)
    )
    if min(height, width, *reach) < 1:
        raise ModelError(f"a window of {list(reach)} does not fit {list(x.shape[1:3])}")
    return height, width


def _pad(x: Array, pads: Pads, filling: float) -> Array:
    """`x` [n, c, h, w] as [n, h, w, c], with a border."""
    last = x.transpose(0, 2, 3, 1)
    if not any(map(any, pads)):
        return last
    (top, bottom), (left, right) = pads
    n, height, width, channels = last.shape
    shape = (n, height + top + bottom, width + left + right, channels)
    check_size(shape)
    padded = np.full(shape, filling, np.float32)
    padded[:, top : top + height, left : left + width] = last
    return padded


def _pads(args: Arguments, sides: tuple[int, ...], reach: tuple[int, ...], strides: tuple[int, int]) -> Pads:
    kind = args.get("pad_type", "valid")
    if kind == "valid":
        return (0, 0), (0, 0)
    if kind == "custom":
        top, bottom, left, right = (int(pad) for pad in args["pad"])
        if min(top, bottom, left, right) < 0:
            raise ModelError("a negative padding")
        return (top, bottom), (left, right)
    if kind not in ("same", "same_lower"):
        raise ModelError(f"unknown padding {kind!r}")
    pairs = []
    for side, span, step in zip(sides, reach, strides, strict=True):
        total = max(0, (-(-side // step) - 1) * step + span - side)
        less, more = total // 2, total - total // 2
        pairs.append((less, more) if kind == "same" else (more, less))
    return pairs[0], pairs[1]


def _kernel(args: Arguments) -> tuple[int, int]:
    height, width = (int(side) for side in args["kernel_sizes"])
    return height, width


def _pair(args: Arguments, name: str) -> tuple[int, int]:
    first, second = (int(step) for step in args.get(name, (1, 1)))
    if min(first, second) < 1:
        raise ModelError(f"{name} of {first}, {second}")
    return first, second
