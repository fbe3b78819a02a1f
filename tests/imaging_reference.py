"""A slow second writing of `edgekd.resample/1`: plain integers, no more than 32 bits, one sample at a time.

It is what the Kotlin and JavaScript versions look like; and the pictures of the golden files, made so that
any language can make them again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INT32_MAX = 2**31 - 1


def _int32(value: int) -> int:
    assert -INT32_MAX - 1 <= value <= INT32_MAX, f"{value} does not fit 32 bits"
    return value


def coefficients(size: int, px: int, i: int) -> list[int]:
    """The coefficient of every input 0 … size − 1 for output `i`, with the remainder carried along."""
    reach = 2 * max(size, px)
    weights = [
        max(0, reach - abs(_int32((2 * j + 1) * px) - _int32((2 * i + 1) * size))) for j in range(size)
    ]
    total = _int32(sum(weights))
    remainder, found = total // 2, []
    for weight in weights:
        value = _int32(weight * 65536 + remainder)
        found.append(value // total)
        remainder = value % total
    return found


def _line(samples: list[int], px: int, table: list[list[int]]) -> list[int]:
    return [
        _int32(sum(k * x for k, x in zip(table[i], samples, strict=True)) + 32768) >> 16 for i in range(px)
    ]


def resize(image: NDArray[np.uint8], px: int) -> NDArray[np.uint8]:
    """`edgekd.imaging.resample.resize`, slowly: along each row, rounded, then along each column."""
    height, width, channels = image.shape
    across = [coefficients(width, px, i) for i in range(px)]
    down = [coefficients(height, px, i) for i in range(px)]
    middle = np.empty((height, px, channels), np.uint8)
    out = np.empty((px, px, channels), np.uint8)
    for c in range(channels):
        for y in range(height):
            middle[y, :, c] = _line(image[y, :, c].tolist(), px, across)
        for x in range(px):
            out[:, x, c] = _line(middle[:, x, c].tolist(), px, down)
    return out


def noise(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """state ← (1664525 · state + 1013904223) mod 2³², from `seed`; each state's highest byte, row by row."""
    count = height * width * 3
    powers = np.cumprod(np.full(count, 1664525, np.uint32), dtype=np.uint32)
    geometric = np.cumsum(np.concatenate([np.ones(1, np.uint32), powers[:-1]]), dtype=np.uint32)
    states = powers * np.uint32(seed) + geometric * np.uint32(1013904223)
    return (states >> np.uint32(24)).astype(np.uint8).reshape(height, width, 3)


def ramp(height: int, width: int, _seed: int) -> NDArray[np.uint8]:
    """(3 · row + 5 · column + 85 · channel) mod 256: slopes with sharp edges."""
    y, x, c = np.indices((height, width, 3))
    return ((3 * y + 5 * x + 85 * c) % 256).astype(np.uint8)


def board(height: int, width: int, _seed: int) -> NDArray[np.uint8]:
    """255 where row div 5 + column div 7 + channel is odd, else 0."""
    y, x, c = np.indices((height, width, 3))
    return ((y // 5 + x // 7 + c) % 2 * 255).astype(np.uint8)


PICTURES = {"noise": noise, "ramp": ramp, "board": board}
