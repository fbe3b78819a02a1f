"""`DataSource`: labelled images from anywhere; `open_source` makes the reader a configuration names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.config import SourceConfig, SourceKind
from edgekd.data.csv_table import CsvSource
from edgekd.data.folders import FolderSource
from edgekd.data.ham10000 import Ham10000Source
from edgekd.data.isic2016 import Isic2016Source
from edgekd.data.isic2017 import Isic2017Source
from edgekd.data.isic2018 import Isic2018Source
from edgekd.data.isic2019 import Isic2019Source
from edgekd.data.isic2020 import Isic2020Source
from edgekd.data.leaks import Dropped
from edgekd.data.synthesised import SynthesisedSource
from edgekd.data.synthetic import SyntheticSource
from edgekd.data.table import Row
from edgekd.data.tfrecord.source import TfRecordSource


class DataSource(Protocol):
    """Labelled images; can be pickled."""

    @property
    def name(self) -> str:
        """The name of the source in the experiment."""
        ...

    def rows(self) -> tuple[Row, ...]:
        """Every image with its label; no image is opened.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        ...

    def left_out(self) -> tuple[Dropped, ...]:
        """The images the source knows of and `rows` leaves out, and why; most sources leave out none.

        Raises:
            DataError: as `rows`.
        """
        ...

    def image(self, row: Row) -> NDArray[np.uint8]:
        """The upright image of `row`, RGB [H, W, 3].

        Raises:
            ImageError: unreadable.
        """
        ...

    def fingerprint(self) -> str:
        """A sha256 that changes with the images or labels; cheap, no image is read."""
        ...


_READERS: dict[SourceKind, Callable[[SourceConfig, tuple[str, ...], int], DataSource]] = {
    SourceKind.ISIC2016: lambda config, malignant, _: Isic2016Source(config, malignant=malignant),
    SourceKind.ISIC2017: lambda config, malignant, _: Isic2017Source(config, malignant=malignant),
    SourceKind.ISIC2018: lambda config, malignant, _: Isic2018Source(config, malignant=malignant),
    SourceKind.ISIC2019: lambda config, malignant, _: Isic2019Source(config, malignant=malignant),
    SourceKind.ISIC2020: lambda config, malignant, _: Isic2020Source(config, malignant=malignant),
    SourceKind.HAM10000: lambda config, malignant, _: Ham10000Source(config, malignant=malignant),
    SourceKind.FOLDERS: lambda config, malignant, _: FolderSource(config, malignant=malignant),
    SourceKind.CSV: lambda config, malignant, _: CsvSource(config, malignant=malignant),
    SourceKind.SYNTHESISED: lambda config, malignant, _: SynthesisedSource(config, malignant=malignant),
    SourceKind.TFRECORD: lambda config, malignant, _: TfRecordSource(config, malignant=malignant),
    SourceKind.SYNTHETIC: lambda config, malignant, seed: SyntheticSource(
        config, malignant=malignant, seed=seed
    ),
}


def open_source(config: SourceConfig, *, malignant: tuple[str, ...], seed: int) -> DataSource:
    """The reader of `config`; `malignant`: the diagnoses counted as such; `seed`: of the synthetic generator.

    Raises:
        DataError: no folder is given.
        UnknownNameError: `malignant` holds something that is no diagnosis.
    """
    return _READERS[config.kind](config, malignant, seed)
