"""Hair removal of Adepu et al. 2023, byte for byte what the usual sequence of OpenCV calls makes.

Grey; black-hat with a cross of 17 × 17; hair where it is above 10; Telea's inpainting (2004) with radius 1.
The paper does this to pictures of 256 × 256 pixels: on larger ones the same 17 pixels see only the thinner
hairs.

Inpainting is all but a fiftieth of the time: some 0.4 µs a masked pixel, whatever lies around it, and most of
it is spent on the marching front, not on colours. The same bytes faster would take Telea's method written
anew in compiled code (figures: bench/results/throughput). All that can be spared is the inpainting of a
picture whose mask is empty.

In a picture of one row or one column OpenCV's inpainting reads memory beyond it, and two calls give different
bytes: such a picture is left as it is.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.imaging.opencv import cv2

Pixels = NDArray[np.uint8]

KERNEL, THRESHOLD, RADIUS = 17, 10, 1

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (KERNEL, KERNEL))


def find(image: Pixels) -> Pixels:
    """The mask of the recipe for `image` (uint8 RGB [H, W, 3]): uint8 [H, W], 255 where it sees hair."""
    if min(image.shape[:2]) == 1:
        return np.zeros(image.shape[:2], np.uint8)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, _CROSS)
    return cast("Pixels", cv2.threshold(dark, THRESHOLD, 255, cv2.THRESH_BINARY)[1])


def remove(image: Pixels) -> Pixels:
    """`image` (uint8 RGB [H, W, 3]) with the pixels of its mask inpainted; itself where there are none."""
    mask = find(image)
    if not cv2.countNonZero(mask):
        return image
    return cast("Pixels", cv2.inpaint(image, mask, RADIUS, cv2.INPAINT_TELEA))
