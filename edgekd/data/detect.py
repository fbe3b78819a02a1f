"""Which layout a folder of labelled images has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekd.config import SourceConfig, SourceKind
from edgekd.data.isic2020 import is_kaggle
from edgekd.data.source import DataSource, open_source
from edgekd.errors import DataError, UnknownNameError

_MARKS = {
    SourceKind.ISIC2016: "ISBI2016_ISIC_Part3_*GroundTruth.csv",
    SourceKind.ISIC2017: "ISIC-2017_*Part3_GroundTruth.csv",
    SourceKind.ISIC2018: "ISIC2018_Task3_*GroundTruth*",
    SourceKind.ISIC2019: "ISIC_2019_*GroundTruth.csv",
    SourceKind.ISIC2020: "ISIC_2020_Training_GroundTruth*.csv",
    SourceKind.HAM10000: "HAM10000_metadata*",
    SourceKind.TFRECORD: "*.tfrec*",
    SourceKind.SYNTHESISED: "synthesis.json",
    SourceKind.FOLDERS: "*/",
}


def detect_kind(root: Path, named: str = "") -> SourceKind:
    """The layout called `named`, or, without a name, the first one `root` shows the marks of.

    Raises:
        UnknownNameError: there is no layout of that name.
        DataError: `root` does not exist or shows no mark.
    """
    if named:
        known = [kind.value for kind in SourceKind if kind is not SourceKind.SYNTHETIC]
        if named not in known:
            raise UnknownNameError("kind of data", named, known)
        return SourceKind(named)
    if not root.exists():
        raise DataError(f"{root}: no such file or folder, expected labelled images")
    if root.is_file():
        return SourceKind.CSV
    if is_kaggle(root):
        return SourceKind.ISIC2020
    for kind, mark in _MARKS.items():
        if any(root.glob(mark)):
            return kind
    raise DataError(
        f"{root}: neither ISIC 2016 to 2020, nor HAM10000, nor a folder per class; say which with --kind"
    )


def open_folder(root: Path, kind: SourceKind, malignant: Sequence[str]) -> DataSource:
    """The labelled images at `root`, which has the layout `kind`.

    Raises:
        DataError: it has not.
    """
    config = SourceConfig(name=root.resolve().stem, kind=kind, root=str(root))
    return open_source(config, malignant=tuple(malignant), seed=0)
