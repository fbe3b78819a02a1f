"""The pictures of a golden set: lesions that may be passed on, and shapes on which a port goes wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.console import log
from edgekd.data.dataset import open_dataset
from edgekd.data.fetch_catalogue import COLLECTIONS
from edgekd.data.lesions import DIAGNOSES, render
from edgekd.data.source import open_source
from edgekd.data.table import Row, image_key
from edgekd.errors import DataError, EdgekdError
from edgekd.imaging.decode import read_image
from edgekd.imaging.opencv import cv2

LESIONS = 8
"""How many lesions a golden set has beside the odd shapes."""

_MAX_SIDE = 512  # a bundle is copied into applications: pictures that are larger are scaled down
_SEED, _DRAWN_PX = 7, 360
_PUBLIC = "CC0"
_DRAWN = "drawn by edgekd"
# Height × width: one pixel, one row, one column, tiny, odd, far from square in both directions.
_ODD_SHAPES = (
    *((1, 1), (1, 257), (193, 1), (2, 3), (7, 5)),
    *((31, 301), (299, 33), (111, 360), (355, 201), (201, 203)),
)


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright picture, RGB uint8 [H, W, 3], and where it is from."""

    pixels: NDArray[np.uint8]
    origin: str


def of_run(data_folder: Path, config: DataConfig, seed: int) -> list[Picture]:
    """The golden pictures of a run: of its test split as far as the licence lets them be passed on.

    Half of the lesions are malignant. What cannot be passed on or is no longer there is drawn instead.

    Raises:
        DataError: the prepared data set cannot be read.
    """
    rows = open_dataset(data_folder).test.rows
    found: list[Picture] = []
    for name, chosen in _free_rows(rows, config).items():
        found += _originals(_source(config, name), config, seed, chosen)
    if not found:
        log.info("golden     no test picture may be passed on and is there: lesions are drawn")
    return [*found, *drawn(LESIONS - len(found)), *odd_shapes()]


def of_folder(folder: Path) -> list[Picture]:
    """The golden pictures of somebody's model: the first image files of `folder`, and the odd shapes.

    Raises:
        DataError: there is none.
        ImageError: one cannot be read.
    """
    from edgekd_converters.calibration import choose_files

    files = choose_files(folder, count=LESIONS, seed=1) if folder.is_dir() else ()
    if not files:
        raise DataError(f"{folder}: expected a folder of images")
    return [*(Picture(_scaled(read_image(path)), path.name) for path in files), *odd_shapes()]


def drawn(count: int) -> list[Picture]:
    """`count` generated lesions of each diagnosis in turn, not square."""
    return [
        Picture(
            render(seed=_SEED, number=number, diagnosis=DIAGNOSES[number % len(DIAGNOSES)], px=_DRAWN_PX)[
                : _DRAWN_PX - 30 * (number % 4)
            ],
            _DRAWN,
        )
        for number in range(max(0, count))
    ]


def odd_shapes() -> list[Picture]:
    """A picture of each odd shape: noise where it is tiny or thin, else part of a drawn lesion."""
    rng = np.random.Generator(np.random.Philox(_SEED))
    lesion = render(seed=_SEED, number=99, diagnosis="mel", px=_DRAWN_PX)
    return [
        Picture(
            rng.integers(0, 256, (height, width, 3), np.uint8)
            if min(height, width) < 30
            else np.ascontiguousarray(lesion[:height, :width]),
            f"{_DRAWN}, {width} x {height}",
        )
        for height, width in _ODD_SHAPES
    ]


def _free_rows(rows: Sequence[Row], config: DataConfig) -> dict[str, list[Row]]:
    """The test images to be shown, by source: half of them malignant, the same ones every time."""
    free = {source.name for source in config.sources if _origin(source.kind)}
    known = sorted((row for row in rows if row.source in free), key=lambda row: image_key(row.image_id))
    chosen: dict[str, list[Row]] = {}
    for malignant in (True, False):
        for row in [row for row in known if row.malignant is malignant][: LESIONS // 2]:
            chosen.setdefault(row.source, []).append(row)
    return chosen


def _origin(kind: SourceKind) -> str:
    """What is said of a picture of this kind of source; nothing where it may not be passed on."""
    if kind is SourceKind.SYNTHETIC:
        return _DRAWN
    collection = COLLECTIONS.get(kind.value)
    return collection.licence if collection and collection.licence.startswith(_PUBLIC) else ""


def _source(config: DataConfig, name: str) -> SourceConfig:
    return next(source for source in config.sources if source.name == name)


def _originals(source: SourceConfig, config: DataConfig, seed: int, rows: Sequence[Row]) -> Iterator[Picture]:
    """The originals of `rows` that are still there."""
    try:
        opened = open_source(source, malignant=config.malignant, seed=seed)
        for row in rows:
            yield Picture(_scaled(opened.image(row)), f"{row.image_id}, {_origin(source.kind)}")
    except (EdgekdError, OSError) as error:
        log.warning("golden     no pictures of %s: %s", source.name, error)


def _scaled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`image` with no side above `_MAX_SIDE`, its proportions kept."""
    height, width = image.shape[:2]
    scale = _MAX_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
