"""ISIC 2017, Part 3: the official download, or the same folders with resized images.

    ISIC-2017_Training_Data/    ISIC_*.jpg, ISIC-2017_Training_Data_metadata.csv
    ISIC-2017_Training_Part3_GroundTruth.csv            …and the same for Validation and Test_v2

The table marks melanoma and seborrheic keratosis; what is neither is a nevus. Superpixel masks are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import final

from edgekd.data.isic import FLAGS, ChallengeSource, Part
from edgekd.data.reading import Record, parse_age, parse_sex, records_by_id
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import Diagnosis
from edgekd.errors import DataError

_PARTS = {Split.TRAIN: "Training", Split.VALIDATION: "Validation", Split.TEST: "Test_v2"}
_LABELS: dict[tuple[bool | None, ...], Diagnosis] = {
    (True, False): Diagnosis.MEL,
    (False, True): Diagnosis.BKL,
    (False, False): Diagnosis.NV,
}


@final
class Isic2017Source(ChallengeSource):
    """The 2,000 / 150 / 600 images of ISIC 2017 with their official split."""

    def parts(self) -> tuple[Part, ...]:
        """Training, validation and test."""
        return tuple(_part(split, f"ISIC-2017_{name}") for split, name in _PARTS.items())

    def told(self, part: Part) -> Mapping[str, Row]:
        """The diagnosis, and age and sex where the metadata has the image.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        truth, metadata = (self.root / name for name in part.tables)
        labels = records_by_id(truth, "image_id", ("melanoma", "seborrheic_keratosis"))
        people = records_by_id(metadata, "image_id", ("age_approximate", "sex"))
        return {
            image_id: _with_person(self.row(image_id, _diagnosis(record), part), people.get(image_id))
            for image_id, record in labels.items()
        }


def _part(split: Split, name: str) -> Part:
    folder = f"{name}_Data"
    return Part(split, folder, (f"{name}_Part3_GroundTruth.csv", f"{folder}/{folder}_metadata.csv"))


def _diagnosis(record: Record) -> Diagnosis:
    texts = record.cells["melanoma"], record.cells["seborrheic_keratosis"]
    found = _LABELS.get(tuple(map(FLAGS.get, texts)))
    if found is None:
        raise DataError(
            f"{record.where}: melanoma, seborrheic_keratosis are {texts[0]!r}, {texts[1]!r}; "
            "expected 0 or 1 each and not both 1"
        )
    return found


def _with_person(row: Row, person: Record | None) -> Row:
    if person is None:
        return row
    age = parse_age(person.cells["age_approximate"], person.where)
    return replace(row, age=age, sex=parse_sex(person.cells["sex"], person.where))
