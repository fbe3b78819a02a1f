"""ISIC 2019: the official download, or the same folders with resized images.

    ISIC_2019_Training_Input/               ISIC_*.jpg, ISIC_*_downsampled.jpg
    ISIC_2019_Training_GroundTruth.csv
    ISIC_2019_Training_Metadata.csv         age, site, lesion and sex
    ISIC_2019_Test_…                        the same without lesions, read where its ground truth lies

An image shrunk for this challenge is called `…_downsampled`; its id here is that of the image, so that the
other years' copy is known to be the same. Images of unknown diagnosis (UNK) are left out, and it is logged.
Without a labelled test part nothing is divided yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

from edgekd.console import log
from edgekd.data.files import FileSource, check_layout
from edgekd.data.isic2018 import marked
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
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import Diagnosis

_PARTS = {Split.TRAIN: "Training", Split.TEST: "Test"}
_CLASSES = {
    "MEL": Diagnosis.MEL,
    "NV": Diagnosis.NV,
    "BCC": Diagnosis.BCC,
    "AK": Diagnosis.AKIEC,
    "BKL": Diagnosis.BKL,
    "DF": Diagnosis.DF,
    "VASC": Diagnosis.VASC,
    "SCC": Diagnosis.SCC,
}
_UNKNOWN = "UNK"
_PEOPLE = ("image", "age_approx", "anatom_site_general", "sex")
_LESION = "lesion_id"
_SHRUNK = "_downsampled"


@final
class Isic2019Source(FileSource):
    """The 25,331 training images of ISIC 2019, grouped by lesion, and its test images where labelled."""

    def rows(self) -> tuple[Row, ...]:
        """Every image of known diagnosis, sorted by part and id.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        splits = self._splits()
        for split in splits:
            check_layout(self.name, self.root, [_folder(split), _truth(split), _metadata(split)])
        return tuple(row for split in splits for row in self._part(split, divided=len(splits) > 1))

    def tables(self) -> tuple[Path, ...]:
        """The ground truth and metadata of each labelled part."""
        names = [name for split in self._splits() for name in (_truth(split), _metadata(split))]
        return tuple(self.root / name for name in names)

    def _splits(self) -> list[Split]:
        """The training part, and the test part where it is labelled."""
        return [split for split in _PARTS if split is Split.TRAIN or (self.root / _truth(split)).is_file()]

    def _part(self, split: Split, *, divided: bool) -> list[Row]:
        truth, folder = self.root / _truth(split), _folder(split)
        records = read_records(truth, ("image", *_CLASSES, _UNKNOWN))
        duplicates("image", ((record.where, _image_id(record.cells["image"])) for record in records))
        names = [record.cells["image"] for record in records]
        images = images_by_stem(self.root / folder)
        match_images(truth, names, images, self.root / folder)
        people = self._people(split, names)
        rows = (
            self._row(name, diagnosis, people[name], f"{folder}/{images[name]}", split if divided else None)
            for name, diagnosis in _diagnoses(truth, records).items()
        )
        return sorted(rows, key=lambda row: row.image_id)

    def _people(self, split: Split, names: Sequence[str]) -> dict[str, Record]:
        """The metadata by image name; each of `names` has some."""
        path = self.root / _metadata(split)
        records = read_records(path, (*_PEOPLE, *([_LESION] if split is Split.TRAIN else [])))
        duplicates("image", ((record.where, record.cells["image"]) for record in records))
        people = {record.cells["image"]: record for record in records}
        places = {name: record.where for name, record in people.items()}
        match_images(self.root / _truth(split), names, places, path)
        return people

    def _row(self, name: str, diagnosis: Diagnosis, person: Record, path: str, split: Split | None) -> Row:
        cells = person.cells
        return Row(
            image_id=_image_id(name),
            path=path,
            diagnosis=diagnosis.value,
            malignant=diagnosis.value in self.malignant,
            lesion=known(cells.get(_LESION, "")),
            split=split,
            age=parse_age(cells["age_approx"], person.where),
            sex=parse_sex(cells["sex"], person.where),
            site=parse_site(cells["anatom_site_general"]),
            source=self.name,
        )


def _folder(split: Split) -> str:
    return f"ISIC_2019_{_PARTS[split]}_Input"


def _truth(split: Split) -> str:
    return f"ISIC_2019_{_PARTS[split]}_GroundTruth.csv"


def _metadata(split: Split) -> str:
    return f"ISIC_2019_{_PARTS[split]}_Metadata.csv"


def _diagnoses(truth: Path, records: Sequence[Record]) -> dict[str, Diagnosis]:
    """The known diagnoses by image name; how many images have none is logged."""
    columns = (*_CLASSES, _UNKNOWN)
    marks = {record.cells["image"]: marked(record, columns) for record in records}
    unknown = sorted(name for name, mark in marks.items() if mark == _UNKNOWN)
    if unknown:
        log.warning(
            "%s: %d images of unknown diagnosis (%s) left out: %s",
            *(truth, len(unknown), _UNKNOWN, some(unknown)),
        )
    return {name: _CLASSES[mark] for name, mark in marks.items() if mark != _UNKNOWN}


def _image_id(name: str) -> str:
    return name.removesuffix(_SHRUNK)
