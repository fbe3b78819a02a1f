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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import fft

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
_ONE_CELL, _PROBES, _BLOCK = 4096, 6, 2048
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


def near_pairs(signatures: NDArray[np.uint8], ids: Sequence[str]) -> tuple[NearPair, ...]:
    """The pairs of images that show the same picture, cropped a little, turned, mirrored or recoloured.

    `signatures` uint8 [n, 32, 32] belong to `ids`; their order does not matter. Of many copies of one picture
    enough pairs are returned to connect them all. What is very smooth all over shows nothing to compare and
    is never paired, unless two thumbnails are equal.
    """
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    if len(order) < 2:
        return ()
    different, first, inverse = np.unique(
        signatures[order].reshape(len(order), -1), axis=0, return_index=True, return_inverse=True
    )
    names = [ids[number] for number in order]
    copies = ((first[inverse[n]], n, 1.0) for n in range(len(order)) if first[inverse[n]] != n)
    grey = different.reshape(-1, SIDE, SIDE)
    found = [*copies, *((first[a], first[b], value) for a, b, value in _verified(grey))]
    pairs = [(*sorted((names[a], names[b])), round(float(value), 3)) for a, b, value in found]
    return tuple(NearPair(first=a, second=b, similarity=value) for a, b, value in sorted(pairs))


def _verified(grey: Grey) -> Iterator[tuple[int, int, float]]:
    for turned, fixed, view in _candidates(_views(grey)):
        value = agreement(grey[fixed], turn(grey[turned], view % 8))
        if value >= SAME_PICTURE:
            yield turned, fixed, value


def _views(grey: Grey) -> Floats:
    """The features of every zoom and orientation, float32 [views, n, features]."""
    views = np.empty((8 * len(_MARGINS), len(grey), _USED.sum()), np.float32)
    for begin in range(0, len(grey), _BLOCK):  # so that nothing but the features grows with n
        part = slice(begin, begin + _BLOCK)
        for number, margin in enumerate(_MARGINS):
            views[8 * number : 8 * number + 8, part] = _features(_zoom(grey[part], margin))
    return views


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


def _features(grey: Grey) -> Floats:
    """The whitened low frequencies of the eight orientations, unit vectors float32 [8, n, 55]."""
    # The amplitude falls as radius^-1.2; lesions lie in the middle, which doubles the even-even ones.
    even = (_STEP[:, None] % 2 == 0) & (_STEP[None] % 2 == 0)
    weight = (_RADIUS**1.2 * np.where(even, 0.5, 1.0)).astype(np.float32)
    spectrum = cast("Floats", fft.dctn(grey.astype(np.float32), axes=(1, 2), norm="ortho"))
    low = spectrum[:, :_FREQUENCIES, :_FREQUENCIES] * weight
    turned = (_turn_spectrum(low, orientation)[:, _USED] for orientation in range(8))
    features = np.stack(list(turned))
    length = np.linalg.norm(features, axis=2, keepdims=True)
    return cast("Floats", features / np.maximum(length, 1e-3))


def _turn_spectrum(spectrum: Floats, orientation: int) -> Floats:
    """The cosine transform of `turn(image, orientation)` from that of the image."""
    sign = (-1.0) ** np.arange(_FREQUENCIES, dtype=np.float32)
    for _ in range(orientation % 4):
        spectrum = spectrum.swapaxes(1, 2) * sign[:, None]
    return spectrum * sign if orientation >= 4 else spectrum


def _candidates(features: Floats) -> list[tuple[int, int, int]]:
    """(image, neighbour, view of the image) of the nearest neighbours, each pair once."""
    parts = [_nearest(*part) for part in _compared(features)]
    found = _nearest(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    best: dict[tuple[int, int], tuple[float, int, int, int]] = {}
    for image, other, view, value in zip(*(column.tolist() for column in found), strict=True):
        pair = (min(image, other), max(image, other))
        best[pair] = max(best.get(pair, (-1.0, 0, 0, 0)), (value, image, other, view))
    return [(image, other, view) for _, (_, image, other, view) in sorted(best.items())]


_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats]


def _compared(features: Floats) -> Iterator[_Found]:
    """Images alike enough, cell by cell: image, other image, view, cosine."""
    upright, n = features[0], features.shape[1]
    cells = 1 if n <= _ONE_CELL else round(n**0.5)
    pivots = upright[np.linspace(0, n - 1, cells).astype(np.int64)]
    home = np.argmax(upright @ pivots.T, axis=1)
    every = features.reshape(-1, features.shape[2])
    visits = np.concatenate(
        [
            _closest(every[begin : begin + _BLOCK] @ pivots.T, min(_PROBES, cells))
            for begin in range(0, len(every), _BLOCK)
        ]
    )
    for cell in range(cells):
        members = np.nonzero(home == cell)[0]
        queries = np.nonzero((visits == cell).any(axis=1))[0]
        for begin in range(0, len(queries), _BLOCK):
            yield _alike(features, queries[begin : begin + _BLOCK], members)


def _closest(cosine: Floats, count: int) -> NDArray[np.int32]:
    """The columns of the `count` largest of each row, in any order."""
    return np.argpartition(-cosine, count - 1, axis=1)[:, :count].astype(np.int32)


def _alike(features: Floats, queries: NDArray[np.int64], members: NDArray[np.int64]) -> _Found:
    view, image = np.divmod(queries, features.shape[1])
    cosine = features[view, image] @ features[0, members].T
    row, column = np.nonzero(cosine >= _ALIKE)
    other = members[column]
    apart = image[row] != other
    row, column, other = row[apart], column[apart], other[apart]
    return image[row], other, view[row], cosine[row, column]


def _nearest(
    image: NDArray[np.int64], other: NDArray[np.int64], view: NDArray[np.int64], cosine: Floats
) -> _Found:
    """What `_compared` found, without all but the nearest neighbours of each image."""
    order = np.lexsort((view, other, -cosine, image))
    image, other, view, cosine = image[order], other[order], view[order], cosine[order]
    rank = np.arange(len(image)) - np.searchsorted(image, image)
    kept = rank < np.where(cosine >= _VERY_ALIKE, _NEAREST_VERY_ALIKE, _NEAREST)
    return image[kept], other[kept], view[kept], cosine[kept]
