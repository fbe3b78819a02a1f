"""Made pictures of skin, and changed copies of them as another data set might hold."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
VERSIONS = 5


def picture(seed: int, px: int = 160) -> Image:
    """Skin of its own texture with a dark patch of its own outline."""
    rng = np.random.default_rng(seed)
    field = sum(
        cv2.resize(rng.normal(size=(cells, cells, 3)), (px, px), interpolation=cv2.INTER_CUBIC)
        * 60
        / cells**0.5
        for cells in (3, 6, 12, 24)
    )
    y, x = np.mgrid[:px, :px] / px - 0.5
    patch = 80 / (1 + np.exp(40 * (np.hypot(x, y) - 0.25)))
    return np.clip(170 + field - patch[..., None], 0, 255).astype(np.uint8)


def encoded(image: Image, version: int) -> bytes:
    """`image` as a JPEG: as it is (0), smaller, larger, squeezed into few bytes, or turned."""
    height, width = image.shape[:2]
    changed = (
        image,
        cv2.resize(image, (width * 3 // 4, height * 3 // 4), interpolation=cv2.INTER_AREA),
        cv2.resize(image, (width * 3 // 2, height * 3 // 2), interpolation=cv2.INTER_CUBIC),
        image,
        np.ascontiguousarray(np.rot90(image)),
    )[version]
    quality = (95, 80, 80, 40, 80)[version]
    done, data = cv2.imencode(".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()
