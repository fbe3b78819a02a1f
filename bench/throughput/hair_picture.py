"""Before and after, side by side: one row a picture, the method's mask beside what it made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.config import HairRemoval
from edgekd.imaging.hair import hair_mask, remove_hair
from edgekd.imaging.opencv import cv2
from edgekd.imaging.resample import prepare

Pixels = NDArray[np.uint8]

_PX = 256
_HAIRY, _CONTROL = 6, 2
_GAP, _TITLE = 6, 22
_MARK = (0, 255, 0)


def write_grid(
    path: Path, hairy: Sequence[Pixels], control: Sequence[Pixels], methods: Sequence[HairRemoval]
) -> None:
    """Write the PNG `path`: pictures evenly chosen from `hairy`, below them clean ones from `control`."""
    chosen = [*_evenly(hairy, _HAIRY), *_evenly(control, _CONTROL)]
    rows = [_row(prepare(image, _PX), methods) for image in chosen]
    titles = ["picture", *(text for method in methods for text in (f"{method.value}: mask", method.value))]
    grid = np.concatenate([_titles(titles), *(line for row in rows for line in row)])
    cv2.imwrite(str(path), cv2.cvtColor(grid, cv2.COLOR_RGB2BGR))


def _evenly(images: Sequence[Pixels], count: int) -> list[Pixels]:
    return [images[number * len(images) // count] for number in range(min(count, len(images)))]


def _row(image: Pixels, methods: Sequence[HairRemoval]) -> tuple[Pixels, Pixels]:
    cells = [image]
    for method in methods:
        marked = image.copy()
        marked[hair_mask(image, method) > 0] = _MARK
        cells += [marked, remove_hair(image, method)]
    gap = np.full((_PX, _GAP, 3), 255, np.uint8)
    line = np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)
    return line, np.full((_GAP, line.shape[1], 3), 255, np.uint8)


def _titles(titles: Sequence[str]) -> Pixels:
    strip = np.full((_TITLE, len(titles) * (_PX + _GAP) - _GAP, 3), 255, np.uint8)
    for number, title in enumerate(titles):
        place = (number * (_PX + _GAP) + 2, _TITLE - 7)
        cv2.putText(strip, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return cast("Pixels", strip)
