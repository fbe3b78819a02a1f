"""ISIC 2020 (SIIM-ISIC): the official training download, or the same folder with resized images.

    train/                                      ISIC_*.jpg, as ISIC_2020_Training_JPEG.zip unpacks; also
                                                inside ISIC_2020_Training_JPEG/, or ISIC_2020_Training_Input/
    ISIC_2020_Training_GroundTruth_v2.csv       with lesions, or ISIC_2020_Training_GroundTruth.csv without
    ISIC_2020_Training_Duplicates.csv           pairs of copies: the later id of each is left out, and logged

Five in six of the benign images were never told apart further, which makes an experiment with them one of
benign and malignant. Test labels were not published, so nothing is divided yet.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import final

from edgekd.console import log
from edgekd.data.files import FileSource, check_layout
from edgekd.data.reading import (
    Record,
    duplicates,
    images_by_stem,
    known,
    match_images,
    parse_age,
    parse_sex,
    parse_site,
    read_records,
    some,
)
from edgekd.data.table import Row
from edgekd.data.taxonomy import BINARY, Diagnosis, parse_diagnosis
from edgekd.errors import DataError

_FOLDERS = (
    "train",
    "ISIC_2020_Training_JPEG/train",
    "ISIC_2020_Training_Input",
    "ISIC_2020_Training_JPEG",
)
_TABLES = ("ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_GroundTruth.csv")
_COPIES = "ISIC_2020_Training_Duplicates.csv"
_PAIR = ("image_name_1", "image_name_2")
_SITE = "anatom_site_general_challenge"
_LABELS = ("diagnosis", "benign_malignant", "target")
_COLUMNS = ("image_name", "patient_id", "sex", "age_approx", _SITE, *_LABELS)
_TARGETS = {("benign", "0"): Diagnosis.BENIGN, ("malignant", "1"): Diagnosis.MALIGNANT}
_UNTOLD = frozenset({"unknown", "cafe-au-lait macule", "atypical melanocytic proliferation"})


@final
class Isic2020Source(FileSource):
    """The 33,126 training images of ISIC 2020 less 425 copies; they are divided by patient."""

    def rows(self) -> tuple[Row, ...]:
        """Every image but the listed copies, sorted by id.

        Raises:
            DataError: something is missing, unknown or said twice, or the labels of an image contradict each
                other; the file and line are named.
        """
        table, folder = self._table(), self._folder()
        check_layout(self.name, self.root, [table.name, _COPIES, folder])
        records = read_records(table, _COLUMNS)
        duplicates("image_name", ((record.where, record.cells["image_name"]) for record in records))
        by_id = {record.cells["image_name"]: record for record in records}
        copies = self._copies(by_id.keys())
        images = images_by_stem(self.root / folder)
        kept = sorted(by_id.keys() - copies)
        match_images(table, kept, {name: images[name] for name in images.keys() - copies}, self.root / folder)
        return tuple(self._row(by_id[name], f"{folder}/{images[name]}") for name in kept)

    def tables(self) -> tuple[Path, ...]:
        """The ground truth and the list of copies."""
        return (self._table(), self.root / _COPIES)

    def _table(self) -> Path:
        places = [self.root / name for name in _TABLES]
        return next((path for path in places if path.is_file()), places[0])

    def _folder(self) -> str:
        return next((name for name in _FOLDERS if (self.root / name).is_dir()), _FOLDERS[0])

    def _copies(self, images: Set[str]) -> set[str]:
        """Of each listed pair of `images` the one whose id comes later; how many there are is logged."""
        table = self.root / _COPIES
        pairs = ({record.cells[name] for name in _PAIR} for record in read_records(table, _PAIR))
        found = {max(pair) for pair in pairs if len(pair) == 2 and pair <= images}
        if found:
            log.warning(
                "%s: %d images left out, copies of others: %s", table, len(found), some(sorted(found))
            )
        return found

    def _row(self, record: Record, path: str) -> Row:
        cells = record.cells
        diagnosis = self._diagnosis(record)
        return Row(
            image_id=cells["image_name"],
            path=path,
            diagnosis=diagnosis.value,
            malignant=diagnosis.value in self.malignant,
            patient=_patient(record),
            lesion=known(cells.get("lesion_id", "")),
            age=parse_age(cells["age_approx"], record.where),
            sex=parse_sex(cells["sex"], record.where),
            site=parse_site(cells[_SITE]),
            source=self.name,
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


def _patient(record: Record) -> str:
    """The patient's id, without which images of one patient could be divided."""
    patient = known(record.cells["patient_id"])
    if patient is None:
        raise DataError(
            f"{record.where}: patient_id is {record.cells['patient_id']!r}; expected an id, for without it "
            "images of one patient may be trained on and tested on"
        )
    return patient
