"""`FileSource`: what every data set made of image files does alike."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from edgekd.config import SourceConfig
from edgekd.data.leaks import Dropped
from edgekd.data.reading import list_folder, some
from edgekd.data.table import Row
from edgekd.data.taxonomy import malignant_names
from edgekd.errors import DataError
from edgekd.imaging.decode import read_image


def root_of(config: SourceConfig) -> Path:
    """The folder of the source, absolute.

    Raises:
        DataError: none is given.
    """
    if not config.root:
        raise DataError(
            f"source {config.name}: no folder given; use --data-root DIR or "
            f"--set data.sources.{config.name}.root=DIR"
        )
    return Path(config.root).absolute()


class FileSource(ABC):
    """Image files below a folder, and what is known about each; a subclass knows the layout."""

    def __init__(self, config: SourceConfig, *, malignant: tuple[str, ...]) -> None:
        self.name = config.name
        self.root = root_of(config)
        self.malignant = malignant_names(malignant)

    @abstractmethod
    def rows(self) -> tuple[Row, ...]:
        """Every image with its label; file names are checked, no image is opened.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """

    @abstractmethod
    def tables(self) -> tuple[Path, ...]:
        """The files beside the images whose content makes the rows."""

    def left_out(self) -> tuple[Dropped, ...]:
        """None: `rows` has every image."""
        return ()

    @final
    def path(self, row: Row) -> Path:
        """Where the image of `row` lies."""
        return self.root / row.path

    @final
    def image(self, row: Row) -> NDArray[np.uint8]:
        """The upright image of `row`, RGB [H, W, 3].

        Raises:
            ImageError: unreadable.
        """
        return read_image(self.path(row))

    @final
    def fingerprint(self) -> str:
        """The sha256 over the names, sizes and modification times of all files; contents are not read.

        Raises:
            DataError: as `rows`.
        """
        whole = hashlib.sha256(type(self).__name__.encode())
        files = [*self.tables(), *(self.path(row) for row in self.rows())]
        for path in sorted(files):
            stat = path.stat()
            name = os.path.relpath(path, self.root)
            whole.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return whole.hexdigest()


def check_layout(source: str, root: Path, expected: Iterable[str]) -> None:
    """Refuse a folder that lacks one of the `expected` names, with a guess one level up or down.

    Raises:
        DataError: what was expected, what was found, and where it seems to be.
    """
    wanted = tuple(expected)
    if not root.is_dir():
        raise DataError(f"source {source}: no folder {root}; expected one that holds {', '.join(wanted)}")
    missing = [name for name in wanted if not (root / name).exists()]
    if not missing:
        return
    folders, images = list_folder(root)
    found = some(folders) if folders else f"{len(images)} images"
    near = [
        place for place in (root.parent, *(root / name for name in folders)) if (place / missing[0]).exists()
    ]
    hint = f"; did you mean {near[0]}?" if near else ""
    raise DataError(f"source {source}: expected {some(missing)} in {root}; found {found}{hint}")
