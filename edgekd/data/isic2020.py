"""ISIC 2020 (SIIM-ISIC): the training images as the archive or Kaggle gives them, or the same resized.

    train/                                      ISIC_*.jpg, as ISIC_2020_Training_JPEG.zip unpacks; also
                                                inside ISIC_2020_Training_JPEG/, or ISIC_2020_Training_Input/
    ISIC_2020_Training_GroundTruth_v2.csv       with lesions, or ISIC_2020_Training_GroundTruth.csv without
    ISIC_2020_Training_Duplicates.csv           pairs of copies: the later id of each is left out, on record

    jpeg/train/ or train/                       the same as Kaggle gives it
    train.csv
    ISIC_2020_Training_Duplicates.csv           not from Kaggle; without it the copies stay, which is logged

Five in six of the benign images were never told apart further, which makes an experiment with them one of
benign and malignant. Test labels were not published, so nothing is divided yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import final

from edgekd.console import log
from edgekd.data.headers import canonical_id
from edgekd.data.isic import ChallengeSource, Part
from edgekd.data.leaks import Dropped, Reason
from edgekd.data.reading import (
    Record,
    known,
    parse_age,
    parse_sex,
    parse_site,
    read_records,
    records_by_id,
    require_group,
)
from edgekd.data.table import Row
from edgekd.data.taxonomy import BINARY, Diagnosis, parse_diagnosis
from edgekd.errors import DataError

_KAGGLE = "train.csv"
_FOLDERS = (
    "jpeg/train",
    "train",
    "ISIC_2020_Training_JPEG/train",
    "ISIC_2020_Training_Input",
    "ISIC_2020_Training_JPEG",
)
_TABLES = ("ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_GroundTruth.csv", _KAGGLE)
_COPIES = "ISIC_2020_Training_Duplicates.csv"
_PAIR = ("image_name_1", "image_name_2")
_SITE = "anatom_site_general_challenge"
_LABELS = ("diagnosis", "benign_malignant", "target")
_COLUMNS = ("patient_id", "sex", "age_approx", _SITE, *_LABELS)
_TARGETS = {("benign", "0"): Diagnosis.BENIGN, ("malignant", "1"): Diagnosis.MALIGNANT}
_UNTOLD = frozenset({"unknown", "cafe-au-lait macule", "atypical melanocytic proliferation"})


@final
class Isic2020Source(ChallengeSource):
    """The 33,126 training images of ISIC 2020 less 425 copies; they are divided by patient."""

    def parts(self) -> tuple[Part, ...]:
        """Training, undivided."""
        table = next((name for name in _TABLES if (self.root / name).is_file()), _TABLES[0])
        folder = next((name for name in _FOLDERS if (self.root / name).is_dir()), "train")
        listed = table != _KAGGLE or (self.root / _COPIES).is_file()
        return (Part(None, folder, (table, _COPIES) if listed else (table,)),)

    def told(self, part: Part) -> Mapping[str, Row | Dropped]:
        """The diagnosis, the patient and the lesion; or which image it is a copy of.

        Raises:
            DataError: something is missing, unknown or said twice, or the labels of an image contradict each
                other; the file and line are named.
        """
        records = records_by_id(self.root / part.tables[0], "image_name", _COLUMNS)
        copies = self._copies(part, records)
        return {
            image_id: self.without(image_id, part, Reason.LISTED_DUPLICATE, copies[image_id])
            if image_id in copies
            else self._row(image_id, record, part)
            for image_id, record in records.items()
        }

    def _copies(self, part: Part, images: Mapping[str, Record]) -> dict[str, str]:
        """By the id of each listed copy among `images`, the first id of what it is a copy of."""
        path = self.root / _COPIES
        if _COPIES not in part.tables:
            log.warning("%s: not there, so the 425 copies it lists stay; leaks are found by content", path)
            return {}
        pairs = ([canonical_id(record.cells[name]) for name in _PAIR] for record in read_records(path, _PAIR))
        return _firsts(pair for pair in pairs if images.keys() >= set(pair))

    def _row(self, image_id: str, record: Record, part: Part) -> Row:
        cells = record.cells
        return replace(
            self.row(image_id, self._diagnosis(record), part),
            patient=require_group(record, "patient_id", "patient"),
            lesion=known(cells.get("lesion_id", "")),
            age=parse_age(cells["age_approx"], record.where),
            sex=parse_sex(cells["sex"], record.where),
            site=parse_site(cells[_SITE]),
        )

    def _diagnosis(self, record: Record) -> Diagnosis:
        """The diagnosis, or benign or malignant where it is no other edgekd knows."""
        text, flag, target = (record.cells[name] for name in _LABELS)
        binary = _TARGETS.get((flag, target))
        if binary is None:
            raise DataError(
                f"{record.where}: benign_malignant, target are {flag!r}, {target!r}; "
                "expected benign, 0 or malignant, 1"
            )
        if text in _UNTOLD:
            return binary
        diagnosis = parse_diagnosis(text, record.where)
        if (diagnosis.value in self.malignant) != (binary is Diagnosis.MALIGNANT):
            raise DataError(
                f"{record.where}: diagnosis {text!r} is {BINARY[diagnosis.value in self.malignant]} by "
                f"data.malignant, but target is {target}; correct the table or data.malignant"
            )
        return diagnosis


def is_kaggle(root: Path) -> bool:
    """Whether `root` holds the training table of ISIC 2020 under the name Kaggle gives it."""
    try:
        with (root / _KAGGLE).open(encoding="utf-8-sig") as table:
            return table.readline().startswith("image_name,patient_id,")
    except (OSError, UnicodeDecodeError):
        return False


def _firsts(pairs: Iterable[list[str]]) -> dict[str, str]:
    """By id, the first of all ids it is connected to by `pairs`; the first ones themselves are absent."""
    earlier: dict[str, str] = {}

    def first(image_id: str) -> str:
        while image_id in earlier:
            image_id = earlier[image_id]
        return image_id

    for pair in pairs:
        low, high = sorted(map(first, pair))
        if low != high:
            earlier[high] = low
    return {image_id: first(image_id) for image_id in earlier}
