"""A picture without what is no skin: dark rims, ink, rulers, the colour of the light.

For asking what a network looks at (`bench/stress.py`), not for preparing pictures: what is found here is
found by simple rules, and each says what it cannot tell apart. Hairs have a module of their own
(`edgekd.imaging.hair`). All take and give uint8 RGB [H, W, 3] and leave their argument alone; where nothing
is found they give the argument itself.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgekd.imaging.opencv import cv2

Pixels = NDArray[np.uint8]
Mask = NDArray[np.uint8]

_DARK = 0.45  # of the median brightness of the middle: a rim is darker, a lesion in the middle does not count
_RIM_SHARE = 0.01
_SHRINKING = tuple(np.arange(1.0, 0.59, -0.02).tolist())
_INK_AWAY, _INK_COLOUR = (-16.0, -26.0), (-6.0, -4.0)  # a*, b*: a blue-white veil stays nearer to skin
_INK_SHARE = (0.001, 1 / 3)
_TICKS, _BAND, _REGULAR = 5, 0.3, 0.3
_INPAINT_SIDE, _INPAINT_RADIUS = 512, 3
_MINKOWSKI = 6


def strip_border(image: Pixels) -> Pixels:
    """The largest centred part of `image` whose rim is not dark, at least 60 % of each side.

    A black frame, or the dark corners a round lens leaves. A lesion that runs over the rim of the picture can
    look like one.
    """
    luma = _luma(image)
    height, width = luma.shape
    middle = luma[height // 4 : height - height // 4, width // 4 : width - width // 4]
    dark = luma < _DARK * float(np.median(middle))
    for part in _SHRINKING:
        top, left = round(height * (1 - part) / 2), round(width * (1 - part) / 2)
        inner = dark[top : height - top, left : width - left]
        rim = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
        if rim.mean() <= _RIM_SHARE or part == _SHRINKING[-1]:
            break
    return image if part == 1.0 else np.ascontiguousarray(image[top : height - top, left : width - left])


def strip_ink(image: Pixels) -> Pixels:
    """`image` without green, blue and violet marks, painted over from around them.

    A surgeon\'s pen, but also a plaster or a glove; a blue-white veil is greyer than this looks for, mostly.
    """
    return _painted_over(image, ink_mask(image))


def ink_mask(image: Pixels) -> Mask:
    """The pixels `strip_ink` paints over, uint8 [H, W], 255 or 0.

    Ink is green or blue, and much greener or bluer than the middle colour of the picture (CIELAB, a* or b*
    below its median): so a picture taken in blue light is not all ink, nor pale skin beside red. It covers
    less than a third.
    """
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    colour = lab[..., 1:]
    far = colour - np.median(colour, axis=(0, 1)) < _INK_AWAY
    found = (far & (colour < _INK_COLOUR)).any(axis=-1) & (lab[..., 0] > 8)  # the colour of black is noise
    mask = np.where(found, 255, 0).astype(np.uint8)
    stroke = max(3, round(min(mask.shape) / 150))  # thinner is noise of the camera, or a vessel
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((stroke, stroke), np.uint8)), np.uint8)
    if not _INK_SHARE[0] <= mask.mean() / 255 <= _INK_SHARE[1]:
        return np.zeros_like(mask)
    return _grown(mask)


def strip_ruler(image: Pixels) -> Pixels:
    """`image` without the ticks of a ruler along a side, painted over from around them.

    Five dark strokes or more that stand on the side, begin or end on one line and keep one distance. Its
    numbers and its line stay.
    """
    return _painted_over(image, ruler_mask(image))


def ruler_mask(image: Pixels) -> Mask:
    """The pixels `strip_ruler` paints over, uint8 [H, W], 255 or 0."""
    luma = np.clip(_luma(image), 0, 255).astype(np.uint8)
    whole = np.zeros_like(luma)
    for turns in range(4):
        turned = np.ascontiguousarray(np.rot90(luma, turns))
        whole |= np.rot90(_ticks(turned), -turns)
    return _grown(whole) if whole.any() else whole


def grey_world(image: Pixels) -> Pixels:
    """`image` as under white light: shades of grey with a norm of 6 (Finlayson & Trezzi 2004).

    Each channel times the factor that makes Minkowski means of all three equal; black pixels do not count.
    """
    values = image.astype(np.float64)
    seen = values[_luma(image) > 12]
    if not len(seen):
        return image
    light = np.maximum(np.mean(seen**_MINKOWSKI, axis=0), 1e-9) ** (1 / _MINKOWSKI)
    gains = np.sqrt(np.mean(light**2)) / light
    shown: Pixels = np.clip(values * gains + 0.5, 0, 255).astype(np.uint8)
    return shown


def _luma(image: Pixels) -> NDArray[np.float32]:
    return (image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.float32)


def _ticks(luma: Mask) -> Mask:
    """The ticks of a ruler along the upper side of a grey picture, uint8 [H, W], 255 or 0."""
    height, width = luma.shape
    side = min(height, width)
    band = luma[: max(8, round(_BAND * height))]
    wide = max(3, round(0.03 * side)) | 1
    thin = cv2.morphologyEx(band, cv2.MORPH_BLACKHAT, np.ones((1, wide), np.uint8))
    strokes = (np.asarray(thin) > 30).astype(np.uint8)
    strokes = np.asarray(
        cv2.morphologyEx(strokes, cv2.MORPH_OPEN, np.ones((max(3, round(0.02 * side)), 1), np.uint8)),
        np.uint8,
    )
    count, labels, boxes, centres = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    slim = [n for n in range(1, count) if boxes[n][3] >= 2 * boxes[n][2] and boxes[n][2] <= wide]
    found = np.zeros_like(luma)
    where = [(float(c[0]), int(b[1]), int(b[1] + b[3])) for c, b in zip(centres, boxes, strict=True)]
    for chosen in _on_one_line(slim, where, tolerance=0.02 * side):
        found[: len(band)][np.isin(labels, chosen)] = 255
    return found


def _on_one_line(
    slim: list[int], where: list[tuple[float, int, int]], *, tolerance: float
) -> list[list[int]]:
    """Those of the strokes that begin, or end, at one height and follow one another at one distance.

    `where` has the middle, the begin and the end of each, in pixels.
    """
    groups: list[list[int]] = []
    for end in (1, 2):
        for anchor in slim:
            near = [n for n in slim if abs(where[n][end] - where[anchor][end]) <= tolerance]
            near.sort(key=lambda n: where[n][0])
            if len(near) >= _TICKS and _regular([where[n][0] for n in near]):
                groups.append(near)
    return groups


def _regular(places: list[float]) -> bool:
    steps = np.array([after - before for before, after in pairwise(places)])
    usual = float(np.median(steps))
    return usual > 0 and float(np.mean(np.abs(steps - usual) <= _REGULAR * usual)) >= 0.7


def _grown(mask: Mask) -> Mask:
    radius = max(1, round(min(mask.shape) / 150))
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask, shape), np.uint8)


def _painted_over(image: Pixels, mask: Mask) -> Pixels:
    """`image` with what lies under `mask` filled from around it (Telea 2004), worked out on a small copy."""
    if not mask.any():
        return image
    factor = min(1.0, _INPAINT_SIDE / max(mask.shape))
    size = (max(1, round(mask.shape[1] * factor)), max(1, round(mask.shape[0] * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    hole = (cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    filled = cv2.inpaint(small, hole, _INPAINT_RADIUS, cv2.INPAINT_TELEA)
    large = cv2.resize(filled, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.where(mask[..., None] > 0, large, image).astype(np.uint8)
