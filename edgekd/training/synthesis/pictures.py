"""PNG files: synthetic images, and grids of samples to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import storage_errors
from edgekd.imaging.opencv import cv2

Pixels = NDArray[np.uint8]

_GAP = 2
_LEAST_SIDE = 128  # smaller pictures are enlarged in a grid, pixel by pixel


def write_png(path: Path, picture: Pixels) -> None:
    """Write `picture` (RGB uint8 [H, W, 3]) to `path`, whole or not at all.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    part = path.with_name(f".{path.name}.part")
    with storage_errors(path.parent):
        part.write_bytes(data.tobytes())
        part.replace(path)


def grid(columns: Sequence[Pixels]) -> Pixels:
    """Columns of pictures (uint8 [n, px, px, 3] each, the same n) side by side on white, uint8 [H, W, 3]."""
    count, px = columns[0].shape[:2]
    scale = max(1, _LEAST_SIDE // px)
    cell = px * scale + _GAP
    sheet = np.full((count * cell + _GAP, len(columns) * cell + _GAP, 3), 255, np.uint8)
    for place, column in enumerate(columns):
        for number, picture in enumerate(column):
            large = picture.repeat(scale, axis=0).repeat(scale, axis=1)
            top, left = number * cell + _GAP, place * cell + _GAP
            sheet[top : top + px * scale, left : left + px * scale] = large
    return sheet
