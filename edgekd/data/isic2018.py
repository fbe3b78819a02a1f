"""ISIC 2018, Task 3: the official download, or the same folders with resized images.

    ISIC2018_Task3_Training_Input/                  ISIC_*.jpg
    ISIC2018_Task3_Training_GroundTruth.csv         also inside a folder of that name, as the archive unpacks
    ISIC2018_Task3_Training_LesionGroupings.csv
    ISIC2018_Task3_Validation_… and _Test_…         the first two again, read where their table lies

The training images are HAM10000. Without a labelled validation and test part nothing is divided yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

from edgekd.data.files import FileSource, check_layout
from edgekd.data.reading import Record, duplicates, images_by_stem, known, match_images, read_records
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import parse_diagnosis
from edgekd.errors import DataError

_PARTS = {Split.TRAIN: "Training", Split.VALIDATION: "Validation", Split.TEST: "Test"}
_CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
_GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings.csv"
_FLAGS = {"0": False, "0.0": False, "1": True, "1.0": True}


@final
class Isic2018Source(FileSource):
    """The 10,015 / 193 / 1,512 images of ISIC 2018; several training images may show one lesion."""

    def rows(self) -> tuple[Row, ...]:
        """Every labelled image, sorted by part and id.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        splits = self._splits()
        for split in splits:
            extra = [_GROUPINGS] if split is Split.TRAIN else []
            truth = self._truth(split).relative_to(self.root).as_posix()
            check_layout(self.name, self.root, [_folder(split), truth, *extra])
        return tuple(row for split in splits for row in self._part(split, divided=len(splits) > 1))

    def tables(self) -> tuple[Path, ...]:
        """The ground truth of each labelled part, and the lesions."""
        return (*map(self._truth, self._splits()), self.root / _GROUPINGS)

    def _splits(self) -> list[Split]:
        """The training part, and the others where they are labelled."""
        return [split for split in _PARTS if split is Split.TRAIN or self._truth(split).is_file()]

    def _truth(self, split: Split) -> Path:
        name = f"ISIC2018_Task3_{_PARTS[split]}_GroundTruth"
        unpacked = self.root / name / f"{name}.csv"
        return unpacked if unpacked.is_file() else self.root / f"{name}.csv"

    def _part(self, split: Split, *, divided: bool) -> list[Row]:
        truth, folder = self._truth(split), _folder(split)
        records = read_records(truth, ("image", *_CLASSES))
        duplicates("image", ((record.where, record.cells["image"]) for record in records))
        ids = [record.cells["image"] for record in records]
        images = images_by_stem(self.root / folder)
        match_images(truth, ids, images, self.root / folder)
        lesions = self._lesions(truth, ids) if split is Split.TRAIN else {}
        rows = (
            self._row(record, f"{folder}/{images[image_id]}", split if divided else None, lesions)
            for image_id, record in zip(ids, records, strict=True)
        )
        return sorted(rows, key=lambda row: row.image_id)

    def _row(self, record: Record, path: str, split: Split | None, lesions: dict[str, str]) -> Row:
        image_id = record.cells["image"]
        diagnosis = parse_diagnosis(marked(record, _CLASSES), record.where).value
        return Row(
            image_id=image_id,
            path=path,
            diagnosis=diagnosis,
            malignant=diagnosis in self.malignant,
            lesion=known(lesions.get(image_id, "")),
            split=split,
            source=self.name,
        )

    def _lesions(self, truth: Path, ids: Sequence[str]) -> dict[str, str]:
        """The lesions by image id; each of `ids` has one."""
        path = self.root / _GROUPINGS
        records = read_records(path, ("image", "lesion_id"))
        duplicates("image", ((record.where, record.cells["image"]) for record in records))
        lesions = {record.cells["image"]: record.cells["lesion_id"] for record in records}
        match_images(truth, ids, lesions, path)
        return lesions


def marked(record: Record, columns: Sequence[str]) -> str:
    """The one of `columns` that is 1 in `record`, all others being 0.

    Raises:
        DataError: none is, several are, or a cell is neither 0 nor 1.
    """
    flags = [_FLAGS.get(record.cells[name]) for name in columns]
    if None in flags or flags.count(True) != 1:
        found = ", ".join(record.cells[name] for name in columns)
        raise DataError(f"{record.where}: {', '.join(columns)} are {found}; expected one 1 and 0 elsewhere")
    return columns[flags.index(True)]


def _folder(split: Split) -> str:
    return f"ISIC2018_Task3_{_PARTS[split]}_Input"
