"""Which images show the same picture: a kilobyte per image, and near-identical pairs in a whole data set.

1. `signature`: a grey thumbnail of 32 × 32 (the whole picture, squashed to a square).
2. Candidates: the low frequencies of its cosine transform, whitened by the spectrum of dermoscopy images, as
   a unit vector. Turning and mirroring an image only swaps and negates its frequencies, so all eight
   orientations are compared, each whole and with a margin of 3 and 6 % cut off. Nearest neighbours are
   looked for in √n cells: the cost is that of n·√n dot products of 55 numbers.
3. Verification: the candidate is laid over the other image by an affine map (Evangelidis & Psarakis 2008,
   the enhanced correlation coefficient), and the correlation is taken in 64 blocks *each by itself*. Two
   dark blobs on skin agree in a few blocks, two copies of a picture, whatever was done to their colours,
   agree in all of them.

`SAME_PICTURE` was set by eye on ISIC 2017 and HAM10000 (8,734 images): all 55 pairs above it show one lesion
in one photograph, or in two taken within a moment; the most alike pair of two lesions reaches 0.61.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.data.parallel import in_threads
from edgekd.imaging.opencv import cv2

SIDE = 32
SAME_PICTURE = 0.63

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]

_FREQUENCIES = 8
_STEP = np.arange(_FREQUENCIES)
_RADIUS = np.hypot(_STEP[:, None], _STEP[None])
_USED = (_RADIUS > 0) & (_RADIUS < _FREQUENCIES)
_ALIKE = 0.83
_VERY_ALIKE = 0.95
_NEAREST, _NEAREST_VERY_ALIKE = 3, 8
_ONE_CELL, _PROBES, _BLOCK, _PRODUCTS = 4096, 6, 2048, 2_000_000
_MARGINS = (0, 1, 2)
_SMOOTH_ALIGN, _SMOOTH_COMPARE = 3.0, 1.5
_STEPS, _LEAST_OVERLAP = 15, 0.6
_BLOCKS = 8
# Variance in grey levels² of a block of 16 pixels below which agreement is noise.
_NOISE = 1.0 / 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NearPair:
    """Two images of one picture, ids in order; `similarity` is the mean correlation of the blocks (≤ 1)."""

    first: str
    second: str
    similarity: float


def signature(image: NDArray[np.uint8]) -> Grey:
    """The thumbnail of `image` (RGB [H, W, 3]) that `near_pairs` compares: grey, uint8 [32, 32]."""
    # Every cell is still the mean of at least 8 × 8 pixels, and a photograph of 24 megapixels costs no more.
    height, width = (max(1, side // (8 * SIDE)) for side in image.shape[:2])
    thinned = np.ascontiguousarray(image[::height, ::width])
    small = cv2.resize(thinned, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return cast("Grey", cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


def near_pairs(
    signatures: NDArray[np.uint8], ids: Sequence[str], *, workers: int = 0
) -> tuple[NearPair, ...]:
    """The pairs of images that show the same picture, cropped a little, turned, mirrored or recoloured.

    `signatures` uint8 [n, 32, 32] belong to `ids`; their order does not matter. Of many copies of one picture
    enough pairs are returned to connect them all. What is very smooth all over shows nothing to compare and
    is never paired, unless two thumbnails are equal. `workers` threads search (0: one per core).
    """
    if len(ids) < 2:
        return ()
    order = sorted(range(len(ids)), key=ids.__getitem__)
    copies = [order[place] for place in _first_copies(signatures, order)]
    different = [number for number, first in zip(order, copies, strict=True) if number == first]
    repeated = [(first, number, 1.0) for number, first in zip(order, copies, strict=True) if number != first]
    verified = _verified(signatures[different], workers)
    found = [*repeated, *((different[a], different[b], value) for a, b, value in verified)]
    pairs = sorted((min(ids[a], ids[b]), max(ids[a], ids[b]), round(value, 3)) for a, b, value in found)
    return tuple(NearPair(first=a, second=b, similarity=value) for a, b, value in pairs)


def _first_copies(signatures: NDArray[np.uint8], order: Sequence[int]) -> list[int]:
    """For each image in this order, the place in it of the first with the same signature."""
    first: dict[bytes, int] = {}
    digests = (hashlib.sha256(signatures[number]).digest() for number in order)
    return [first.setdefault(found, place) for place, found in enumerate(digests)]


def _verified(grey: Grey, workers: int) -> Iterator[tuple[int, int, float]]:
    candidates = _candidates(grey, workers)
    values = in_threads(partial(_agreement_of, grey), candidates, workers=workers)
    for (turned, fixed, _), value in zip(candidates, values, strict=True):
        if value >= SAME_PICTURE:
            yield turned, fixed, value


def _agreement_of(grey: Grey, candidate: tuple[int, int, int]) -> float:
    turned, fixed, view = candidate
    return agreement(grey[fixed], turn(grey[turned], view % 8))


def turn(image: Grey, orientation: int) -> Grey:
    """`image` in one of its eight orientations: quarter turns to the left, from 4 on mirrored as well."""
    turned = np.rot90(image, orientation % 4)
    return np.ascontiguousarray(turned[:, ::-1] if orientation >= 4 else turned)


def agreement(fixed: Grey, moving: Grey) -> float:
    """How far `moving`, laid over `fixed` by the best affine map near the identity, is the same picture.

    The mean over 8 × 8 blocks of their correlation, without what is coarser than a block: −1 to 1, and 0
    where no map is found or less than 0.6 of the picture overlaps.
    """
    a, b = fixed.astype(np.float32), moving.astype(np.float32)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _STEPS, 1e-4)
    try:
        _, found = cv2.findTransformECC(
            _fine(a, _SMOOTH_ALIGN),
            _fine(b, _SMOOTH_ALIGN),
            np.eye(2, 3, dtype=np.float32),
            cv2.MOTION_AFFINE,
            criteria,
            np.ones(a.shape, np.uint8),
            3,
        )
    except cv2.error:  # it does not converge: nothing in common
        return 0.0
    inside = _warp(np.ones_like(a), found) > 0.99
    if inside.mean() < _LEAST_OVERLAP:
        return 0.0
    return _block_correlation(_fine(a, _SMOOTH_COMPARE), _warp(_fine(b, _SMOOTH_COMPARE), found), inside)


def _fine(grey: Floats, sigma: float) -> Floats:
    blurred = cv2.GaussianBlur(grey, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return cast("Floats", grey - blurred)


def _warp(grey: Floats, matrix: NDArray[np.generic]) -> Floats:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cast("Floats", cv2.warpAffine(grey, matrix.astype(np.float32), (SIDE, SIDE), flags=flags))


def _block_correlation(a: Floats, b: Floats, inside: NDArray[np.bool_]) -> float:
    whole = _blocks(inside).all(axis=1)
    if not whole.any():
        return 0.0
    x, y = (_blocks(part)[whole] for part in (a, b))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    spread = np.sqrt((x * x).mean(axis=1) * (y * y).mean(axis=1) + _NOISE**2)
    return float(((x * y).mean(axis=1) / spread).mean())


def _blocks(image: NDArray[np.generic]) -> NDArray[np.generic]:
    size = SIDE // _BLOCKS
    return image.reshape(_BLOCKS, size, _BLOCKS, size).swapaxes(1, 2).reshape(_BLOCKS**2, -1)


def _zoom(grey: Grey, margin: int) -> Grey:
    """Thumbnails without `margin` pixels on each side, at the size they had."""
    if margin == 0:
        return grey
    inner = grey[:, margin:-margin, margin:-margin]
    zoomed = [cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for one in inner]
    return cast("Grey", np.stack(zoomed))


def _spectra(grey: Grey, margin: int) -> Floats:
    """The whitened low frequencies of the cosine transform, without `margin`, float32 [n, 8, 8]."""
    # The amplitude falls as radius^-1.2; lesions lie in the middle, which doubles the even-even ones.
    even = (_STEP[:, None] % 2 == 0) & (_STEP[None] % 2 == 0)
    weight = (_RADIUS**1.2 * np.where(even, 0.5, 1.0)).astype(np.float32)
    waves = np.cos(np.pi / SIDE * np.outer(_STEP, np.arange(SIDE) + 0.5)).astype(np.float32)
    waves *= np.sqrt(np.where(_STEP == 0, 1, 2) / SIDE).astype(np.float32)[:, None]
    low = np.empty((len(grey), _FREQUENCIES, _FREQUENCIES), np.float32)
    for part in _blocks_of(len(grey)):
        low[part] = waves @ _zoom(grey[part], margin).astype(np.float32) @ waves.T
    return low * weight


def _features(spectra: Floats, orientation: int) -> Floats:
    """Unit vectors float32 [n, 55] of the images turned to `orientation`."""
    features = _turn_spectrum(spectra, orientation)[:, _USED]
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return cast("Floats", features / np.maximum(length, 1e-3))


def _turn_spectrum(spectrum: Floats, orientation: int) -> Floats:
    """The cosine transform of `turn(image, orientation)` from that of the image."""
    sign = (-1.0) ** np.arange(_FREQUENCIES, dtype=np.float32)
    for _ in range(orientation % 4):
        spectrum = spectrum.swapaxes(1, 2) * sign[:, None]
    return spectrum * sign if orientation >= 4 else spectrum


def _candidates(grey: Grey, workers: int) -> list[tuple[int, int, int]]:
    """(image, neighbour, view of the image) of the nearest neighbours, each pair once."""
    best: dict[tuple[int, int], tuple[float, int, int, int]] = {}
    found = _neighbours(grey, workers)
    for image, other, view, value in zip(*(column.tolist() for column in found), strict=True):
        pair = (min(image, other), max(image, other))
        best[pair] = max(best.get(pair, (-1.0, 0, 0, 0)), (value, image, other, view))
    return [(image, other, view) for _, (_, image, other, view) in sorted(best.items())]


_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats]


def _neighbours(grey: Grey, workers: int) -> _Found:
    """Image, nearest other image, view and cosine; every thread holds the features of one view."""
    spectra = _spectra(grey, 0)
    cells = _Cells(_features(spectra, 0))
    found: list[_Found] = []
    for number, margin in enumerate(_MARGINS):
        spectra = _spectra(grey, margin) if margin else spectra
        in_view = partial(_in_view, spectra, cells, number)
        for alike in in_threads(in_view, range(8), workers=workers):
            found = [_nearest_of([*found, alike])]
    return found[0]


def _in_view(spectra: Floats, cells: _Cells, zoom: int, orientation: int) -> _Found:
    return _nearest_of(list(cells.alike(_features(spectra, orientation), 8 * zoom + orientation)))


def _nearest_of(parts: Sequence[_Found]) -> _Found:
    return _nearest(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class _Cells:
    """The images, each in the cell of the pivot it is most like; neighbours are looked for in a few cells."""

    def __init__(self, upright: Floats) -> None:
        n = len(upright)
        self._cells = 1 if n <= _ONE_CELL else round(n**0.5)
        self._upright = upright
        self._pivots = upright[np.linspace(0, n - 1, self._cells).astype(np.int64)]
        home = np.argmax(upright @ self._pivots.T, axis=1)
        self._members = [np.nonzero(home == cell)[0] for cell in range(self._cells)]

    def alike(self, features: Floats, view: int) -> Iterator[_Found]:
        """Pairs alike enough in `view`, cell by cell: image, other image, view, cosine."""
        for cell, visitors in enumerate(self._visitors(features)):
            members = self._members[cell]
            for part in _blocks_of(len(visitors), max(1, _PRODUCTS // max(1, len(members)))):
                image, other, cosine = _alike(features, visitors[part], self._upright, members)
                yield _nearest(image, other, np.full_like(image, view), cosine)

    def _visitors(self, features: Floats) -> list[NDArray[np.int64]]:
        """For every cell the numbers of the images that look into it."""
        probes = min(_PROBES, self._cells)
        visits = np.empty((len(features), probes), np.int32)
        for part in _blocks_of(len(features)):
            closeness = features[part] @ self._pivots.T
            visits[part] = np.argpartition(-closeness, probes - 1, axis=1)[:, :probes]
        order = np.argsort(visits, axis=None, kind="stable")
        ends = np.searchsorted(visits.ravel()[order], np.arange(1, self._cells))
        return np.split(order // probes, ends)


def _blocks_of(count: int, size: int = _BLOCK) -> Iterator[slice]:
    """`count` items in blocks of `size`, so that no intermediate result grows with the data."""
    return (slice(begin, min(begin + size, count)) for begin in range(0, count, size))


def _alike(
    features: Floats, queries: NDArray[np.int64], upright: Floats, members: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    cosine = features[queries] @ upright[members].T
    row, column = np.nonzero(cosine >= _ALIKE)
    image, other = queries[row], members[column]
    apart = image != other
    return image[apart], other[apart], cosine[row, column][apart]


def _nearest(
    image: NDArray[np.int64], other: NDArray[np.int64], view: NDArray[np.int64], cosine: Floats
) -> _Found:
    """What `_compared` found, without all but the nearest neighbours of each image."""
    order = np.lexsort((view, other, -cosine, image))
    image, other, view, cosine = image[order], other[order], view[order], cosine[order]
    rank = np.arange(len(image)) - np.searchsorted(image, image)
    kept = rank < np.where(cosine >= _VERY_ALIKE, _NEAREST_VERY_ALIKE, _NEAREST)
    return image[kept], other[kept], view[kept], cosine[kept]
