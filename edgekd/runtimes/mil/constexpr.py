"""Compressed constants made dense: 8-bit and block-wise weights, palettes, sparse weights.

Definitions: coremltools' documentation of the `constexpr_*` operations (iOS 16 and iOS 18).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ModelError
from edgekd.runtimes.mil.limits import check_size
from edgekd.runtimes.mil.values import unpack

Arguments = Mapping[str, Any]


def affine_dequantize(args: Arguments) -> NDArray[np.float32]:
    """scale · (data − zero point), one scale for all or one per index of `axis`."""
    data = args["quantized_data"]
    shape = [1] * data.ndim
    shape[int(args["axis"])] = -1
    scale, zero_point = (
        np.asarray(args[name], np.float32).reshape(shape if np.size(args[name]) > 1 else ())
        for name in ("scale", "zero_point")
    )
    return np.asarray((data.astype(np.float32) - zero_point) * scale, np.float32)


def blockwise_shift_scale(args: Arguments) -> NDArray[np.float32]:
    """scale · (data − offset), each side of `scale` a divisor of that of `data`."""
    data = args["data"].astype(np.float32)
    if args.get("offset") is not None:
        data -= _spread(args["offset"], data.shape)
    return np.asarray(data * _spread(args["scale"], data.shape), np.float32)


def lut_to_dense(args: Arguments) -> NDArray[np.float32]:
    """The palette's values at the indices: packed bytes (iOS 16), or one table per group (iOS 18)."""
    lut, indices = args["lut"], args["indices"]
    if "shape" in args:
        shape = [int(side) for side in args["shape"]]
        check_size(shape)
        flat = unpack(indices.tobytes(), int(math.log2(len(lut))), math.prod(shape))
        return np.asarray(lut[flat], np.float32).reshape(shape)
    if lut.shape[-1] != 1:
        raise ModelError("a palette of vectors, expected one of single values")
    groups = [_spread(np.arange(count), indices.shape, axis) for axis, count in enumerate(lut.shape[:-2])]
    return np.asarray(lut[(*groups, indices, 0)], np.float32)


def sparse_to_dense(args: Arguments) -> NDArray[np.float32]:
    """Zeros, with the non-zero values where the bits of `mask` are set."""
    if "shape" not in args:
        raise ModelError("sparse weights of iOS 18, expected those of iOS 16")
    shape = [int(side) for side in args["shape"]]
    check_size(shape)
    dense = np.zeros(math.prod(shape), np.float32)
    dense[unpack(args["mask"].tobytes(), 1, dense.size).astype(bool)] = args["nonzero_data"]
    return dense.reshape(shape)


def _spread(values: Any, shape: tuple[int, ...], axis: int | None = None) -> NDArray[Any]:
    """`values` repeated in blocks to `shape`; a vector along `axis` only."""
    if axis is not None:
        values = values.reshape([-1 if side == axis else 1 for side in range(len(shape))])
    if values.ndim != len(shape) or any(
        not blocks or side % blocks for side, blocks in zip(shape, values.shape, strict=True)
    ):
        raise ModelError(f"{list(values.shape)} blocks do not divide {list(shape)}")
    for side, blocks in enumerate(values.shape):
        values = np.repeat(values, shape[side] // blocks, side) if blocks > 1 else values
    return np.asarray(values)


CONSTEXPR = {
    "constexpr_affine_dequantize": affine_dequantize,
    "constexpr_blockwise_shift_scale": blockwise_shift_scale,
    "constexpr_cast": lambda args: np.asarray(args["source_val"], np.float32),
    "constexpr_lut_to_dense": lut_to_dense,
    "constexpr_sparse_to_dense": sparse_to_dense,
}
"""The operations that only unpack constants, by their name in a program."""
