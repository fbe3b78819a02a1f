"""ISIC 2017, Part 3: the official download, or the same folders with resized images.

    ISIC-2017_Training_Data/    ISIC_*.jpg, ISIC-2017_Training_Data_metadata.csv
    ISIC-2017_Training_Part3_GroundTruth.csv            …and the same for Validation and Test_v2

The table marks melanoma and seborrheic keratosis; what is neither is a nevus. Superpixel masks are ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from edgekd.data.files import FileSource, check_layout
from edgekd.data.reading import (
    Record,
    duplicates,
    images_by_stem,
    match_images,
    parse_age,
    parse_sex,
    read_records,
)
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import Diagnosis
from edgekd.errors import DataError

_PARTS = {Split.TRAIN: "Training", Split.VALIDATION: "Validation", Split.TEST: "Test_v2"}
_FLAGS = {"0": False, "0.0": False, "1": True, "1.0": True}
_LABELS: dict[tuple[bool | None, ...], Diagnosis] = {
    (True, False): Diagnosis.MEL,
    (False, True): Diagnosis.BKL,
    (False, False): Diagnosis.NV,
}
_SUPERPIXELS = "_superpixels"


@final
class Isic2017Source(FileSource):
    """The 2,000 / 150 / 600 images of ISIC 2017 with their official split."""

    def rows(self) -> tuple[Row, ...]:
        """Every image of the three parts, sorted by part and id.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        parts = _PARTS.values()
        check_layout(self.name, self.root, [*map(_folder, parts), *map(_truth, parts)])
        return tuple(row for split in _PARTS for row in self._part(split))

    def tables(self) -> tuple[Path, ...]:
        """The ground truth and metadata of each part."""
        names = [name for part in _PARTS.values() for name in (_truth(part), _metadata(part))]
        return tuple(self.root / name for name in names)

    def _part(self, split: Split) -> list[Row]:
        part = _PARTS[split]
        records = read_records(self.root / _truth(part), ("image_id", "melanoma", "seborrheic_keratosis"))
        duplicates("image_id", ((record.where, record.cells["image_id"]) for record in records))
        ids = [record.cells["image_id"] for record in records]
        images = images_by_stem(self.root / _folder(part), _SUPERPIXELS)
        match_images(self.root / _truth(part), ids, images, self.root / _folder(part))
        people = _people(self.root / _metadata(part))
        return [
            self._row(record, split, f"{_folder(part)}/{images[image_id]}", people)
            for image_id, record in sorted(zip(ids, records, strict=True), key=lambda item: item[0])
        ]

    def _row(
        self, record: Record, split: Split, path: str, people: dict[str, tuple[float | None, str | None]]
    ) -> Row:
        diagnosis = _diagnosis(record)
        age, sex = people.get(record.cells["image_id"], (None, None))
        return Row(
            image_id=record.cells["image_id"],
            path=path,
            diagnosis=diagnosis.value,
            malignant=diagnosis.value in self.malignant,
            split=split,
            age=age,
            sex=sex,
            source=self.name,
        )


def _folder(part: str) -> str:
    return f"ISIC-2017_{part}_Data"


def _truth(part: str) -> str:
    return f"ISIC-2017_{part}_Part3_GroundTruth.csv"


def _metadata(part: str) -> str:
    return f"{_folder(part)}/{_folder(part)}_metadata.csv"


def _diagnosis(record: Record) -> Diagnosis:
    texts = record.cells["melanoma"], record.cells["seborrheic_keratosis"]
    found = _LABELS.get(tuple(map(_FLAGS.get, texts)))
    if found is None:
        raise DataError(
            f"{record.where}: melanoma, seborrheic_keratosis are {texts[0]!r}, {texts[1]!r}; "
            "expected 0 or 1 each and not both 1"
        )
    return found


def _people(path: Path) -> dict[str, tuple[float | None, str | None]]:
    records = read_records(path, ("image_id", "age_approximate", "sex"))
    duplicates("image_id", ((record.where, record.cells["image_id"]) for record in records))
    return {
        record.cells["image_id"]: (
            parse_age(record.cells["age_approximate"], record.where),
            parse_sex(record.cells["sex"], record.where),
        )
        for record in records
    }
