"""Spoiled copies of a picture, and pictures of no skin: what the limits of a photo are fitted against.

Every copy is a pure function of the picture and a number, and as strong for small pictures as for large
ones: lengths are shares of the side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.imaging.opencv import cv2

Pixels = NDArray[np.uint8]
Spoiler = Callable[[Pixels, int], Pixels]

_PATCHES = 4
_DARKEST_SKIN = 60  # of green; below it a corner is the rim of a dermoscope


def blurred(image: Pixels, sigma: float) -> Pixels:
    """`image` out of focus, by a Gaussian of `sigma` sides."""
    return cast(
        "Pixels", cv2.GaussianBlur(image, (0, 0), sigma * len(image), borderType=cv2.BORDER_REFLECT_101)
    )


def defocused(image: Pixels, radius: float) -> Pixels:
    """`image` out of focus as a lens does it, by a disk of `radius` sides."""
    reach = max(1, int(np.ceil(radius * len(image))))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.clip(radius * len(image) + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return _filtered(image, disk)


def shaken(image: Pixels, length: float, degrees: float) -> Pixels:
    """`image` moved by `length` sides while it was taken, in the direction `degrees`."""
    pixels = max(2.0, length * len(image))
    reach = int(np.ceil(pixels / 2))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    angle = np.deg2rad(degrees)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    line = np.clip(pixels / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return _filtered(image, line.astype(np.float32))


def exposed(image: Pixels, gain: float) -> Pixels:
    """`image` with `gain` times its grey levels, cut at 255."""
    return cast("Pixels", cv2.convertScaleAbs(image, alpha=gain))


def noisy(image: Pixels, sigma: float, seed: int) -> Pixels:
    """`image` with Gaussian noise of `sigma` grey levels in every channel."""
    rng = np.random.Generator(np.random.PCG64([0x901, seed]))
    noise = rng.normal(0, sigma, image.shape).astype(np.float32)
    made: Pixels = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
    return made


def bare(image: Pixels) -> Pixels:
    """The skin of `image` alone: its flattest patch at the rim, mirrored until it fills the picture."""
    side = len(image) // _PATCHES
    rims = [
        image[row * side : (row + 1) * side, column * side : (column + 1) * side]
        for row in range(_PATCHES)
        for column in range(_PATCHES)
        if {row, column} & {0, _PATCHES - 1}
    ]
    lit = [rim for rim in rims if np.median(rim[..., 1]) >= _DARKEST_SKIN] or rims
    patch = min(lit, key=lambda rim: float(rim[..., 1].std()))
    more = len(image) - side
    return cast("Pixels", cv2.copyMakeBorder(patch, 0, more, 0, more, cv2.BORDER_REFLECT))


SPOILED: Mapping[str, tuple[Spoiler, ...]] = {
    "sharpness": (
        lambda image, _: blurred(image, 0.0075),
        lambda image, _: defocused(image, 0.015),
        lambda image, number: shaken(image, 0.04, 22.5 * number),
    ),
    "grain": (lambda image, number: noisy(image, 25, number),),
    "brightness": (lambda image, _: exposed(image, 0.35), lambda image, _: exposed(image, 0.2)),
    "clipped": (lambda image, _: exposed(image, 1.7), lambda image, _: exposed(image, 2.2)),
    "contrast": (lambda image, _: bare(image),),
}
"""The copies that each limit is fitted against, by measure: (picture, its number) to a picture."""


def _filtered(image: Pixels, kernel: NDArray[np.float32]) -> Pixels:
    weights = kernel / kernel.sum()
    return cast("Pixels", cv2.filter2D(image, -1, weights, borderType=cv2.BORDER_REFLECT_101))
