"""Pictures for the tests of hair removal, and the published recipe as everybody writes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekd.imaging.opencv import cv2

Pixels = NDArray[np.uint8]
SKIN = (205, 165, 145)


def naive(image: Pixels) -> Pixels:
    """Adepu et al. 2023 in plain OpenCV calls."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (17, 17))
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, cross)
    _, mask = cv2.threshold(dark, 10, 255, cv2.THRESH_BINARY)
    return cv2.inpaint(image, mask, 1, cv2.INPAINT_TELEA)


def skin(height: int, width: int, seed: int, grain: float = 2.0) -> Pixels:
    """Even skin with a soft brown spot in the middle and a little noise: uint8 [height, width, 3]."""
    rng = np.random.Generator(np.random.PCG64([5, seed]))
    y, x = np.mgrid[0:height, 0:width]
    away = np.hypot((y - height / 2) / height, (x - width / 2) / width)
    spot = 1 - 0.45 * np.exp(-((away / 0.2) ** 2))
    picture = np.array(SKIN) * spot[..., None] + rng.normal(0, grain, (height, width, 1))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def with_hairs(image: Pixels, seed: int, count: int = 12) -> tuple[Pixels, Pixels]:
    """`image` with straight dark hairs 1 to 3 pixels wide, and where they are (255)."""
    rng = np.random.Generator(np.random.PCG64([6, seed]))
    hairy, truth = image.copy(), np.zeros(image.shape[:2], np.uint8)
    height, width = truth.shape
    for _ in range(count):
        ends = [(int(rng.integers(width)), int(rng.integers(height))) for _ in range(2)]
        thickness = int(rng.integers(1, 4))
        cv2.line(hairy, *ends, (45, 32, 26), thickness, cv2.LINE_AA)
        cv2.line(truth, *ends, 255, thickness)
    return hairy, truth
