"""Training views of a picture, each a pure function of (seed, image, variant).

Nothing is remembered between calls: a teacher's outputs stored for a view stay true, in any order and on any
thread. One Philox generator per view (key: seed and image, counter: variant) gives all its numbers at once.

The steps, in this order: hairs, crop and scale (with the affine map, in one interpolation), turn and mirror,
colour, cut-out, microscope. Crops are scaled by OpenCV, not by `edgekd.imaging.resample` which pictures for
evaluation and deployment go through: a random crop has no pixels to agree on with a phone, and speed counts
here.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.config import AugmentConfig
from edgekd.errors import UsageError
from edgekd.imaging.hair import remove_hair
from edgekd.imaging.opencv import cv2
from edgekd.imaging.resample import resize

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, width, height

# Keeps these numbers apart from those of others who use Philox with the same seed and image.
_STREAM = int.from_bytes(b"augment")
_AFFINE_STREAM = int.from_bytes(b"affine")  # apart, so that the affine map moves no other number
_WORD = (1 << 64) - 1
_N_FIXED, _N_AFFINE = 16, 5
_ASPECT = math.log(4 / 3)
_AREA_FROM = 1.5  # shrinking by more than this needs averaging, or hairs turn into dots
_FLIP_CODES = {(True, False): 1, (False, True): 0, (True, True): -1}  # (left–right, top–bottom)
_CUTOUT_GREY = 128  # the middle of the range: next to 0 after input scaling
_MICROSCOPE_RADIUS = (0.45, 0.60)  # of the side; above 0.5 only the corners are dark

# ITU-R BT.601 luma, and RGB to YIQ (FCC NTSC 1953), whose I and Q axes a hue change rotates.
_LUMA = np.array([0.299, 0.587, 0.114])
_RGB_TO_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_YIQ_TO_RGB = np.linalg.inv(_RGB_TO_YIQ)


def augment(
    image: Pixels, *, px: int, config: AugmentConfig, seed: int, image_key: int, variant: int
) -> Pixels:
    """The view number `variant` (≥ 0) of a square `image`: uint8 [S, S, 3] to a new uint8 [px, px, 3].

    Raises:
        UsageError: `image` is not a uint8 square of three channels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape != (len(image), len(image), 3):
        raise UsageError(f"augment: expected uint8 [S, S, 3], got {image.dtype} {list(image.shape)}")
    uniform = _uniform(_STREAM, seed, image_key, variant, _N_FIXED + 2 * config.cutout_count)
    if uniform[15] < config.hair_probability:
        image = remove_hair(image, config.hair)
    box = _crop(len(image), config, uniform[0:4])
    if _moves(config):
        moved = _uniform(_AFFINE_STREAM, seed, image_key, variant, _N_AFFINE)
        view = _warped(image, px, _affine(box, px, config, moved))
    else:
        view = _cropped(image, px, box)
    view = _turned(view, config, uniform[4:7])
    view = _coloured(view, config, uniform[7:11])
    _cut_out(view, config, uniform[_N_FIXED:])
    return _microscoped(view, config, uniform[11:15])


def centre_view(image: Pixels, px: int) -> Pixels:
    """The whole stored square at the network's size, for use without augmentation: uint8 [px, px, 3]."""
    return resize(image, px)


def _uniform(stream: int, seed: int, image_key: int, variant: int, count: int) -> list[float]:
    """`count` numbers in [0, 1); the variant is the highest word of the counter, so views never overlap."""
    key = np.array([seed & _WORD, image_key & _WORD], np.uint64)
    counter = np.array([0, 0, stream, variant], np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
    return [float(number) for number in generator.random(count)]


def _crop(side: int, config: AugmentConfig, u: list[float]) -> Box:
    """A random rectangle in the square: area in [crop_scale_min, 1] of it, aspect in [3/4, 4/3].

    The rule of Szegedy et al. 2015 (Inception), but a side that would stick out is cut to the square
    instead of drawn again, which costs the largest crops up to 1 − √¾ = 13 % of their area.
    """
    if config.crop_scale_min == 1:
        return 0, 0, side, side
    scale = side * math.sqrt(config.crop_scale_min + (1 - config.crop_scale_min) * u[0])
    stretch = math.exp(_ASPECT * (u[1] - 0.5))
    width = min(side, max(1, round(scale * stretch)))
    height = min(side, max(1, round(scale / stretch)))
    return int(u[2] * (side - width + 1)), int(u[3] * (side - height + 1)), width, height


def _cropped(image: Pixels, px: int, box: Box) -> Pixels:
    left, top, width, height = box
    crop = image[top : top + height, left : left + width]
    shrinks = max(width, height) > _AREA_FROM * px
    # The exact variant of LINEAR gives the same bytes on every processor.
    return _u8(
        cv2.resize(crop, (px, px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR_EXACT)
    )


def _moves(config: AugmentConfig) -> bool:
    return max(config.rotation_degrees, config.shear_degrees, config.zoom, config.shift) > 0


def _affine(box: Box, px: int, config: AugmentConfig, u: list[float]) -> NDArray[np.float64]:
    """The map [2, 3] from a point of the view to the point of the picture that is seen there, in pixels.

    The view, as far as it lies from its middle, is stretched to the rectangle `box`, zoomed, sheared along
    its rows and turned; its middle lies on the middle of the rectangle, shifted by a share of its sides.
    Pixels are points with whole coordinates, so an edge of the picture lies at −½.
    """
    left, top, width, height = box
    turn, slant, larger, *aside = (2 * number - 1 for number in u)
    zoom = 1 + config.zoom * larger
    shear = math.tan(math.radians(config.shear_degrees * slant))
    angle = math.radians(config.rotation_degrees * turn)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = rotation @ np.array([[1, shear], [0, 1]]) @ np.diag([width, height]) * (zoom / px)
    middle = np.array([left, top]) + np.array([width, height]) * (0.5 + config.shift * np.array(aside)) - 0.5
    return np.column_stack([linear, middle - linear @ np.full(2, (px - 1) / 2)])


def _warped(image: Pixels, px: int, view: NDArray[np.float64]) -> Pixels:
    """`image` as seen through the map `view` of `_affine`: uint8 [px, px, 3], reflected beyond its edges.

    One bilinear interpolation; where that would skip pixels the picture is averaged down first.
    """
    shrinks = float(np.linalg.norm(view[:, :2], axis=0).max())
    if shrinks > _AREA_FROM:
        side = max(1, round(len(image) / shrinks))
        scale = side / len(image)
        image = _u8(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))
        view = view * scale + np.array([0, 0, (scale - 1) / 2])
    return _u8(
        cv2.warpAffine(
            image,
            view,
            (px, px),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
    )


def _turned(view: Pixels, config: AugmentConfig, u: list[float]) -> Pixels:
    """One of the eight symmetries of the square: a quarter turn, then the two mirrors, as allowed."""
    turn = int(4 * u[0]) if config.quarter_turns else 0
    mirror_x = (config.flips and u[1] < 0.5) ^ (turn in (1, 2))
    mirror_y = (config.flips and u[2] < 0.5) ^ (turn in (2, 3))
    if turn % 2:
        view = _u8(cv2.transpose(view))
    code = _FLIP_CODES.get((mirror_x, mirror_y))
    return view if code is None else _u8(cv2.flip(view, code))


def _coloured(view: Pixels, config: AugmentConfig, u: list[float]) -> Pixels:
    """Hue, saturation, contrast and brightness as one affine map of RGB, rounded and clipped once.

    With L the luma row: hue turns I and Q by an angle (`hue` is a share of the full circle), saturation
    blends with the luma, contrast with the mean luma of the view, brightness multiplies:
    x → b · (c · S · H · x + (1 − c) · mean(L · x)). Hue and saturation leave the luma as it is.
    """
    hue = 2 * math.pi * config.hue * (2 * u[0] - 1)
    saturation = _factor(config.saturation, u[1])
    contrast = _factor(config.contrast, u[2])
    brightness = _factor(config.brightness, u[3])
    if hue == 0 and saturation == contrast == brightness == 1:
        return view
    blend = saturation * np.eye(3) + (1 - saturation) * _LUMA
    matrix = brightness * contrast * blend @ _hue_rotation(hue)
    offset = brightness * (1 - contrast) * (_LUMA @ cv2.mean(view)[:3])
    return _u8(cv2.transform(view, np.column_stack([matrix, np.full(3, offset)])))


def _hue_rotation(angle: float) -> NDArray[np.float64]:
    cos, sin = math.cos(angle), math.sin(angle)
    turned: NDArray[np.float64] = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _RGB_TO_YIQ
    return _YIQ_TO_RGB @ turned


def _factor(strength: float, u: float) -> float:
    return 1 + strength * (2 * u - 1)


def _cut_out(view: Pixels, config: AugmentConfig, u: list[float]) -> None:
    """Grey squares centred anywhere, partly outside too (DeVries and Taylor 2017); changes `view`."""
    px = len(view)
    side = round(config.cutout_fraction * px)
    for x, y in zip(u[0::2], u[1::2], strict=True):
        left, top = int(x * px) - side // 2, int(y * px) - side // 2
        view[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = _CUTOUT_GREY


def _microscoped(view: Pixels, config: AugmentConfig, u: list[float]) -> Pixels:
    """Black outside a circle near the centre, as seen through a dermatoscope, with the given probability."""
    if u[0] >= config.microscope_probability:
        return view
    px = len(view)
    low, high = _MICROSCOPE_RADIUS
    centre = (round(px * (0.45 + 0.1 * u[1])), round(px * (0.45 + 0.1 * u[2])))
    visible = np.zeros((px, px), np.uint8)
    cv2.circle(visible, centre, round(px * (low + (high - low) * u[3])), 255, thickness=cv2.FILLED)
    return _u8(cv2.bitwise_and(view, view, mask=visible))


def _u8(pixels: NDArray[np.generic]) -> Pixels:
    return cast("Pixels", pixels)
