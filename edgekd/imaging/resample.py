"""THE definition of crop and resize, `edgekd.resample/1`: whole numbers only, the same bytes everywhere.

**Crop.** The centre square of a picture H × W has the side s = min(H, W) and starts at row ⌊(H − s)/2⌋ and
column ⌊(W − s)/2⌋.

**Resize.** An antialiased triangle filter (what Pillow calls BILINEAR), first along each row (W → px), then
along each column (H → px). Along a line of n samples, resized to m, output i is made of the inputs j with

    reach   S    = 2 · max(n, m)
    weight  w[j] = max(0, S − |(2j + 1) · m − (2i + 1) · n|)        j = 0 … n − 1
    total   T    = Σ w[j]
    running C[j] = w[0] + … + w[j],   C[−1] = 0
    coefficient k[j] = ⌊(C[j] · 2¹⁶ + ⌊T/2⌋) / T⌋ − ⌊(C[j−1] · 2¹⁶ + ⌊T/2⌋) / T⌋

    output  y[i] = (Σ k[j] · x[j] + 2¹⁵) >> 16                      uint8, after each of the two passes

This is the triangle of half width max(n/m, 1) input samples around (2i + 1) · n / 2m, in units of 1/2m of a
sample, cut off at the edges. The coefficients are ≥ 0 and add up to 2¹⁶ exactly, so a constant picture stays
what it is, nothing needs clipping, and n = m changes nothing.

**With 32-bit integers** (Kotlin, JavaScript): carry the remainder instead of multiplying C. Start with
r = ⌊T/2⌋; for each j: v = w[j] · 2¹⁶ + r, k[j] = v / T, r = v mod T. It is the same k[j], and for sides up to
`MAX_SIDE` all of v < 2 · 10⁴ · 2¹⁶ + 2 · 10⁸ and Σ k · x + 2¹⁵ < 2²⁴ stay below 2³¹.

**Here** the sums are float32 matrix products. They are exact in any order of summation, fused or not: every
product and partial sum is a whole number of at most 255 · 2¹⁶ + 2¹⁵ < 2²⁴, and float32 holds all of those.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import UsageError
from edgekd.imaging.opencv import cv2

MAX_SIDE = 10_000
"""The largest side of input or output; up to it 32-bit integers suffice."""

_BITS = 16
_LINES = 4  # outputs per matrix product: few, because neighbours share only part of their inputs
# Products up to this many multiplications stay in the cache, and OpenBLAS starts no threads for them.
_PRODUCT = 1 << 18


def prepare(image: NDArray[np.uint8], px: int) -> NDArray[np.uint8]:
    """The centre square of `image` (uint8 [H, W, 3]) at the size the network takes: uint8 [px, px, 3]."""
    return resize(centre_square(image), px)


def centre_square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest centred square of `image` [H, W, 3], as a view; an odd remainder goes right and below."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def resize(image: NDArray[np.uint8], px: int) -> NDArray[np.uint8]:
    """`image` (uint8 [H, W, 3]) scaled to uint8 [px, px, 3]; a picture that is not square is distorted.

    Raises:
        UsageError: not uint8 [H, W, 3], or a side of input or output outside 1 to `MAX_SIDE`.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UsageError(f"resize: expected uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    sides = (*image.shape[:2], px)
    if not 1 <= min(sides) <= max(sides) <= MAX_SIDE:
        raise UsageError(f"resize: {sides[0]} × {sides[1]} to {px}, every side must be 1 to {MAX_SIDE}")
    columns = _resample_rows(cv2.transpose(image), px)
    return _resample_rows(cv2.transpose(columns), px)


def _resample_rows(image: NDArray[np.generic], px: int) -> NDArray[np.uint8]:
    """`image` [n, m, 3] resized along its first axis to [px, m, 3]."""
    size, other = image.shape[:2]
    lines = image.reshape(size, -1)
    out = np.empty((px, lines.shape[1]), np.uint8)
    for low, (start, stop, weights) in zip(range(0, px, _LINES), _bands(size, px), strict=True):
        step = max(1, _PRODUCT // weights.size)
        for left in range(0, lines.shape[1], step):
            sums = weights @ lines[start:stop, left : left + step].astype(np.float32)
            # Exact as well: a power of two; the conversion to uint8 cuts the fraction off.
            out[low : low + _LINES, left : left + step] = (sums + 2.0 ** (_BITS - 1)) * 2.0**-_BITS
    return out.reshape(px, other, 3)


@lru_cache(maxsize=16)
def _bands(size: int, px: int) -> tuple[tuple[int, int, NDArray[np.float32]], ...]:
    """Per `_LINES` outputs: the inputs [start, stop) they see and their coefficients [outputs, inputs]."""
    return tuple(_band(size, px, low, min(low + _LINES, px)) for low in range(0, px, _LINES))


def _band(size: int, px: int, low: int, high: int) -> tuple[int, int, NDArray[np.float32]]:
    reach = 2 * max(size, px)
    # Wide enough for every input of weight above 0; the ones beyond get the coefficient 0.
    start = max(0, ((2 * low + 1) * size - reach - px) // (2 * px))
    stop = min(size, ((2 * high - 1) * size + reach - px) // (2 * px) + 2)
    centres = (2 * np.arange(low, high, dtype=np.int64)[:, None] + 1) * size
    inputs = (2 * np.arange(start, stop, dtype=np.int64) + 1) * px
    running = np.cumsum(np.maximum(0, reach - np.abs(inputs - centres)), axis=1)
    total = running[:, -1:]
    cumulative = ((running << _BITS) + total // 2) // total
    return start, stop, np.diff(cumulative, axis=1, prepend=0).astype(np.float32)
