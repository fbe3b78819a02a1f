"""Hair removal by line-shaped structuring elements: long thin dark lines only, filled in smoothly.

1. **Scale.** Hairs are looked for in the picture at a short side of at most `_SIDE`; all lengths are shares
   of that side, so that the same hair is found at any resolution.
2. **Dark and thin.** A closing by a line fills what is dark and narrower than the line along it. The largest
   of the closings in four directions, less the grey value, shows everything dark that is narrow in some
   direction: hairs, and dots, and the borders of dark patches.
3. **Long.** An opening of that by a longer line keeps only what such a line fits into; the largest over
   twenty-four directions keeps lines that run straight for that long, and drops dots and patches.
4. **Hysteresis.** Pixels above the low threshold count where they hang together with one above the high one,
   and the component is a line: its area is at least `_ELONGATION` times the square of its mean width.
5. **Filling.** The mask, one pixel wider, gets the colours around it: averages of the known pixels over ever
   larger squares, laid one over the other from coarse to fine (pull–push, Gortler et al. 1996).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.imaging.opencv import cv2

Pixels = NDArray[np.uint8]
Field = NDArray[np.float32]

_SIDE = 384
_NARROW, _LONG = 0.050, 0.065  # shares of the short side
_NARROW_DIRECTIONS, _LONG_DIRECTIONS = 4, 24
_HIGH, _LOW = 24, 12  # grey levels
_ELONGATION = 3.0
_WIDER = np.ones((3, 3), np.uint8)
_LEAST = np.float32(1e-6)


def find(image: Pixels) -> Pixels:
    """The pixels of `image` (uint8 RGB [H, W, 3]) taken for hair: uint8 [H, W], 255 where they are."""
    return _scaled_mask(_find(_working(image)), image)


def remove(image: Pixels) -> Pixels:
    """`image` (uint8 RGB [H, W, 3]) with its hairs filled in."""
    small = _working(image)
    mask = _find(small)
    if not 0 < cv2.countNonZero(mask) < mask.size:
        return image
    filled = cv2.resize(_completed(small, mask), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    out = image.copy()
    cv2.copyTo(filled, _scaled_mask(mask, image), out)
    return out


def _scaled_mask(mask: Pixels, image: Pixels) -> Pixels:
    if mask.shape == image.shape[:2]:
        return mask
    large = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return _u8(cv2.threshold(large, 127, 255, cv2.THRESH_BINARY)[1])


def _working(image: Pixels) -> Pixels:
    """`image` where its short side is at most `_SIDE`, else scaled down to that."""
    height, width = image.shape[:2]
    short = min(height, width)
    if short <= _SIDE:
        return image
    size = (max(1, round(width * _SIDE / short)), max(1, round(height * _SIDE / short)))
    # Up to half the size a bilinear interpolation skips no pixel.
    how = cv2.INTER_AREA if short > 2 * _SIDE else cv2.INTER_LINEAR
    return _u8(cv2.resize(image, size, interpolation=how))


def _find(image: Pixels) -> Pixels:
    grey = _u8(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    short = min(grey.shape)
    thin = _thin(grey, _odd(_NARROW * short))
    straight = _straight(thin, _odd(_LONG * short))
    return _u8(cv2.dilate(_lines(straight), _WIDER))


def _odd(length: float) -> int:
    """The nearest odd whole number of at least 3."""
    return max(3, 2 * round((length - 1) / 2) + 1)


def _thin(grey: Pixels, length: int) -> Pixels:
    """How much darker a pixel is than what is left of it by the closings by short lines: uint8 [H, W]."""
    closed = grey
    for line in _line_elements(length, _NARROW_DIRECTIONS):
        closed = _u8(cv2.max(closed, cv2.morphologyEx(grey, cv2.MORPH_CLOSE, line)))
    return _u8(cv2.subtract(closed, grey))


def _straight(thin: Pixels, length: int) -> Pixels:
    """The part of `thin` into which a line of this length fits: uint8 [H, W]."""
    found = np.zeros_like(thin)
    for line in _line_elements(length, _LONG_DIRECTIONS):
        cv2.max(found, cv2.morphologyEx(thin, cv2.MORPH_OPEN, line), dst=found)
    return found


@lru_cache(maxsize=64)
def _line_elements(length: int, directions: int) -> tuple[Pixels, ...]:
    """Lines one pixel wide and `length` long or a little less, in evenly spaced directions, none twice."""
    lines = (_line_element(length, math.pi * number / directions) for number in range(directions))
    return tuple({(line.shape, line.tobytes()): line for line in lines}.values())


def _line_element(length: int, angle: float) -> Pixels:
    reach = length // 2
    element = np.zeros((length, length), np.uint8)
    x, y = round(reach * math.cos(angle)), round(reach * math.sin(angle))
    cv2.line(element, (reach - x, reach - y), (reach + x, reach + y), 1)
    rows, columns = np.flatnonzero(element.any(axis=1)), np.flatnonzero(element.any(axis=0))
    return element[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _lines(straight: Pixels) -> Pixels:
    """The components above the low threshold that reach the high one and are long for their width."""
    _, low = cv2.threshold(straight, _LOW - 1, 255, cv2.THRESH_BINARY)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(low, connectivity=8)
    reached = np.zeros(count, np.bool_)
    reached[labels[straight >= _HIGH]] = True
    reached[0] = False
    area = stats[:, cv2.CC_STAT_AREA]
    # Across a line of width w the distance to its sides is w / 4 on average.
    distance = cv2.distanceTransform(low, cv2.DIST_L2, 3)
    width = 4 * np.bincount(labels.ravel(), distance.ravel(), count) / area
    kept = reached & (area >= _ELONGATION * width**2)
    return np.where(kept, np.uint8(255), np.uint8(0)).take(np.asarray(labels, np.int32))


def _completed(image: Pixels, mask: Pixels) -> Pixels:
    """`image` at half its size, made of the pixels outside `mask` alone, which are not all of them."""
    known = cv2.bitwise_not(mask)
    colours = cv2.copyTo(image, known).astype(np.float32)
    return _u8(cv2.convertScaleAbs(_pushed(*_pulled(colours, known.astype(np.float32) / np.float32(255)))))


def _pulled(colours: Field, weight: Field) -> tuple[Field, Field]:
    """One level coarser: colours [h, w, 3], multiplied by their weight [h, w] from 0 to 1, and the weights.

    The weight of a square saturates: one known pixel of four knows as much as four.
    """
    size = tuple((side + 1) // 2 for side in weight.shape[::-1])
    mean = cv2.resize(colours, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], 3)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA).reshape(size[::-1])
    coarse = np.minimum(np.float32(1), 4 * share)
    return mean * (coarse / np.maximum(share, _LEAST))[..., None], coarse


def _pushed(colours: Field, weight: Field) -> Field:
    """Colours [h, w, 3], multiplied by their weight [h, w], completed to weight 1 from coarser levels."""
    if weight.size == 1 or weight.min() >= 1:
        return cast("Field", colours / np.maximum(weight, _LEAST)[..., None])
    coarse = _pushed(*_pulled(colours, weight))
    larger = cv2.resize(coarse, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return colours + (1 - weight)[..., None] * larger.reshape(colours.shape)


def _u8(pixels: NDArray[np.generic]) -> Pixels:
    return cast("Pixels", pixels)
