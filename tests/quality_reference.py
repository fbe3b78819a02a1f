"""A slow second writing of `edgekd.quality/1`: plain integers, one pixel at a time.

It is what the Kotlin and JavaScript versions look like.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


def measure(pixels: NDArray[np.uint8], colours: str) -> dict[str, float]:
    """`edgekd.imaging.quality.measure`, slowly."""
    rows = [[tuple(map(int, pixel)) for pixel in row] for row in pixels]
    px = len(rows)
    luma = [[(77 * r + 150 * g + 29 * b + 128) >> 8 for r, g, b in row] for row in rows]
    n = (px - 8) ** 2
    energies = {d: [_energy(luma, d * down, d * right) for down, right in DIRECTIONS] for d in (1, 2, 4)}
    flat = [pixel for row in rows for pixel in row]
    return {
        "sharpness": min(100 * a / (b + n) for a, b in zip(energies[2], energies[4], strict=True)),
        "grain": max(100 * a / (b + n) for a, b in zip(energies[1], energies[2], strict=True)),
        "brightness": float(sorted(y for row in luma for y in row)[px * px // 2]),
        "clipped": 100 * sum(255 in pixel for pixel in flat) / (px * px),
        "contrast": _contrast(rows),
        "roughness": math.sqrt(sum(energies[4]) / (4 * n)),
        "redness": (sum(r for r, _, _ in flat) - sum(b for _, _, b in flat)) / (px * px),
        "skin": 100 * sum(_known(pixel, colours) for pixel in flat) / (px * px),
    }


def _energy(luma: list[list[int]], down: int, right: int) -> int:
    inner = range(4, len(luma) - 4)
    return sum(
        (2 * luma[y][x] - luma[y - down][x - right] - luma[y + down][x + right]) ** 2
        for y in inner
        for x in inner
    )


def _contrast(rows: list[list[tuple[int, ...]]]) -> float:
    k = len(rows) // 16
    start = (len(rows) - 16 * k) // 2
    sums = [
        sum(rows[start + k * i + y][start + k * j + x][1] for y in range(k) for x in range(k))
        for i in range(3, 13)
        for j in range(3, 13)
    ]
    return (max(sums) - min(sums)) / (k * k)


def _known(pixel: tuple[int, ...], colours: str) -> int:
    r, g, b = pixel
    number = 32 * (((r - g) >> 4) + 16) + ((g - b) >> 4) + 16
    return int(colours[number // 4], 16) >> (3 - number % 4) & 1
