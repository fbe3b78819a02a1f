"""THE definition of what is measured of a photo, `edgekd.quality/1`: whole numbers, the same everywhere.

Of the picture the network is shown, uint8 RGB [px, px, 3] (after hair removal, crop and resize):

    luma        Y = (77 R + 150 G + 29 B + 128) >> 8
    line        D(u, d)[p] = 2 Y[p] − Y[p − d·u] − Y[p + d·u],   u = (0,1), (1,0), (1,1), (1,−1) (row, column)
    energy      E(u, d) = Σ D(u, d)[p]²   over all p that are at least 4 from every edge; n is their number

    sharpness   100 · min over u of E(u, 2) / (E(u, 4) + n)
                fine structure against coarse: a blur, in whatever direction, takes the fine one first
    grain       100 · max over u of E(u, 1) / (E(u, 2) + n)
                noise is as strong in the finest structure as in the next, a picture is not
    roughness   √((Σ over u of E(u, 4)) / 4n)                       grey levels
    brightness  the smallest v with more than ⌊px² / 2⌋ pixels of Y ≤ v
    clipped     100 · (pixels with a channel of 255) / px²
    contrast    (largest − smallest of the block sums) / k²         grey levels of G, where melanin shows most
                blocks of k = ⌊px / 16⌋ pixels, 16 × 16 of them from ⌊(px − 16k) / 2⌋ on, the middle 10 × 10
    redness     (Σ R − Σ B) / px²                                   grey levels
    skin        100 · (pixels of a known colour) / px²

The colour number of a pixel is 32 · (((R − G) >> 4) + 16) + ((G − B) >> 4) + 16, with shifts that round
down; which of them are known stands in the card (`PhotoQuality.colours`).

All sums are whole and below 2⁵³ (at most 4 · 10⁸ · 1020² for the largest side), so each figure is one or two
roundings of float64 away from integers: a division, a product by 100 before it, and for roughness a square
root. Any language with IEEE doubles gets the same bits: `100 * E2 / (E4 + n)` in this order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import UsageError
from edgekd.imaging.opencv import cv2
from edgekd.photo_quality import Photo, PhotoQuality, look

Pixels = NDArray[np.uint8]

SMALLEST = 32
"""The smallest side that is measured, in pixels: below it there is too little to see."""

_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
_MARGIN = 4
_BLOCKS, _EDGE = 16, 3


class View:
    """A picture, uint8 RGB [px, px, 3], and what was computed of it so far: measures share their sums.

    Raises:
        UsageError: another shape or type, or px below `SMALLEST`.
    """

    def __init__(self, pixels: Pixels) -> None:
        self.side = len(pixels)
        if pixels.dtype != np.uint8 or pixels.shape != (self.side, self.side, 3) or self.side < SMALLEST:
            raise UsageError(
                f"photo quality: expected uint8 [px, px, 3] of at least {SMALLEST} px, got {pixels.dtype} "
                f"{list(pixels.shape)}"
            )
        self.planes = cast("Sequence[Pixels]", cv2.split(pixels))
        self.area = self.side**2
        self.positions = (self.side - 2 * _MARGIN) ** 2
        self._energies: dict[int, Sequence[int]] = {}

    @cached_property
    def luma(self) -> NDArray[np.int16]:
        """Y, int16 [px, px]."""
        red, green, blue = (plane.astype(np.uint16) for plane in self.planes)
        # At most 256 · 255 + 128 < 2¹⁶.
        return ((77 * red + 150 * green + 29 * blue + 128) >> 8).astype(np.int16)

    @property
    def colours(self) -> NDArray[np.int16]:
        """The number of each pixel's colour, 0 to `COLOURS` − 1, int16 [px, px]."""
        red, green, blue = (plane.astype(np.int16) for plane in self.planes)
        return (((red - green) >> 4) + 16) * 32 + ((green - blue) >> 4) + 16

    def energies(self, distance: int) -> Sequence[int]:
        """E(u, `distance`) for each direction u."""
        if distance not in self._energies:
            inner = slice(_MARGIN, self.side - _MARGIN)
            twice = 2 * self.luma[inner, inner]
            self._energies[distance] = [
                _energy(self.luma, twice, distance * rows, distance * columns)
                for rows, columns in _DIRECTIONS
            ]
        return self._energies[distance]

    def ratios(self, distance: int) -> list[float]:
        """100 · E(u, `distance`) / (E(u, 2 · `distance`) + n) for each direction u."""
        pairs = zip(self.energies(distance), self.energies(2 * distance), strict=True)
        return [100 * near / (far + self.positions) for near, far in pairs]


def measure(pixels: Pixels, colours: str) -> dict[str, float]:
    """Every measure of `pixels` by name; `colours` as in the card.

    Raises:
        UsageError: not uint8 [px, px, 3] with px ≥ `SMALLEST`.
    """
    view = View(pixels)
    return {**{name: of(view) for name, of in MEASURES.items()}, "skin": skin(view, known_colours(colours))}


def judge(quality: PhotoQuality, pixels: Pixels) -> Photo:
    """What there is to say against a photo: `pixels` as the network is shown them.

    Raises:
        UsageError: as `measure`.
    """
    return look(quality, measure(pixels, quality.colours))


def sharpness(view: View) -> float:
    """How much fine structure there is for the coarse one, in the direction that has least."""
    return min(view.ratios(2))


def grain(view: View) -> float:
    """How much of the finest structure there is for the fine one, in the direction that has most."""
    return max(view.ratios(1))


def roughness(view: View) -> float:
    """The root mean square of the coarse structure, in grey levels."""
    return math.sqrt(sum(view.energies(4)) / (4 * view.positions))


def brightness(view: View) -> float:
    """The median luma."""
    below = np.cumsum(np.bincount(view.luma.ravel(), minlength=256))
    return float(np.searchsorted(below, view.area // 2, side="right"))


def clipped(view: View) -> float:
    """The share of pixels with a channel at its end, in percent."""
    red, green, blue = view.planes
    ends = np.maximum(np.maximum(red, green), blue) == 255
    return 100 * int(np.count_nonzero(ends)) / view.area


def contrast(view: View) -> float:
    """By how many grey levels of green the middle of the picture differs from block to block."""
    block, across = view.side // _BLOCKS, _BLOCKS - 2 * _EDGE
    first = (view.side - _BLOCKS * block) // 2 + _EDGE * block
    inner = slice(first, first + across * block)
    cells = view.planes[1][inner, inner].reshape(across, block, across, block).sum((1, 3), dtype=np.int64)
    return int(cells.max() - cells.min()) / block**2


def redness(view: View) -> float:
    """By how many grey levels red is above blue, on average."""
    red, _, blue = (int(plane.sum(dtype=np.int64)) for plane in view.planes)
    return (red - blue) / view.area


def skin(view: View, known: NDArray[np.bool_]) -> float:
    """The share of pixels whose colour is among the `known` ones (bool [`COLOURS`]), in percent."""
    return 100 * int(np.count_nonzero(known.take(view.colours))) / view.area


MEASURES: Mapping[str, Callable[[View], float]] = {
    "sharpness": sharpness,
    "grain": grain,
    "brightness": brightness,
    "clipped": clipped,
    "contrast": contrast,
    "roughness": roughness,
    "redness": redness,
}
"""Every measure that needs nothing but the picture."""


def known_colours(colours: str) -> NDArray[np.bool_]:
    """The bits of `PhotoQuality.colours` as bool [`COLOURS`]."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(colours), np.uint8)).astype(np.bool_)


def colour_bits(known: NDArray[np.bool_]) -> str:
    """The other way round."""
    return np.packbits(known).tobytes().hex()


def _energy(grey: NDArray[np.int16], twice: NDArray[np.int16], rows: int, columns: int) -> int:
    """The sum of (2 Y[p] − Y[p − u] − Y[p + u])² for u = (`rows`, `columns`); `twice` is 2 Y inside."""
    side = len(twice)
    before, after = (grey[_MARGIN + s * rows :, _MARGIN + s * columns :][:side, :side] for s in (-1, 1))
    lines = (twice - before - after).astype(np.float64)
    # Exact in any order: whole numbers below 2⁵³. (A product of vectors would start OpenBLAS' threads.)
    return int(np.einsum("ij,ij->", lines, lines))
