"""ISIC 2016, Part 3: the official download, or the same folders with resized images.

    ISBI2016_ISIC_Part3_Training_Data/              ISIC_*.jpg      …and the same for Test
    ISBI2016_ISIC_Part3_Training_GroundTruth.csv    without a header: image id, and benign or malignant
    ISBI2016_ISIC_Part3_Test_GroundTruth.csv        …or 0 or 1

Malignant means melanoma in this challenge; what the others are is not told. Most of these images, those of
the test part too, train ISIC 2017 and 2019: where both are used, the source named first keeps them.
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from edgekd.data.files import FileSource, check_layout
from edgekd.data.reading import duplicates, images_by_stem, match_images, read_records
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import Diagnosis
from edgekd.errors import DataError

_PARTS = {Split.TRAIN: "Training", Split.TEST: "Test"}
_LABELS = {
    **dict.fromkeys(("benign", "0", "0.0"), Diagnosis.BENIGN),
    **dict.fromkeys(("malignant", "1", "1.0"), Diagnosis.MEL),
}


@final
class Isic2016Source(FileSource):
    """The 900 / 379 images of ISIC 2016 with their official training and test part."""

    def rows(self) -> tuple[Row, ...]:
        """Every image of the two parts, sorted by part and id.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        parts = _PARTS.values()
        check_layout(self.name, self.root, [*map(_folder, parts), *map(_truth, parts)])
        return tuple(row for split in _PARTS for row in self._part(split))

    def tables(self) -> tuple[Path, ...]:
        """The ground truth of both parts."""
        return tuple(self.root / _truth(part) for part in _PARTS.values())

    def _part(self, split: Split) -> list[Row]:
        truth, folder = _truth(_PARTS[split]), _folder(_PARTS[split])
        labels = _labels(self.root / truth)
        images = images_by_stem(self.root / folder)
        match_images(self.root / truth, labels, images, self.root / folder)
        return [
            Row(
                image_id=image_id,
                path=f"{folder}/{images[image_id]}",
                diagnosis=diagnosis.value,
                malignant=diagnosis.value in self.malignant,
                split=split,
                source=self.name,
            )
            for image_id, diagnosis in sorted(labels.items())
        ]


def _folder(part: str) -> str:
    return f"ISBI2016_ISIC_Part3_{part}_Data"


def _truth(part: str) -> str:
    return f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv"


def _labels(path: Path) -> dict[str, Diagnosis]:
    """The diagnoses by image id."""
    lines = _lines(path)
    duplicates("image id", ((where, image_id) for where, image_id, _ in lines))
    return {image_id: _diagnosis(label, where) for where, image_id, label in lines}


def _lines(path: Path) -> list[tuple[str, str, str]]:
    """(file and line, image id, label) of every line; what is read as a header is the first of them."""
    records = read_records(path)
    first = tuple(records[0].cells)
    if len(first) != 2:
        raise DataError(
            f"{path}, line 1: {len(first)} cells, expected an image id and benign, malignant, 0 or 1"
        )
    pairs = [first, *(tuple(record.cells.values()) for record in records)]
    places = [f"{path}, line 1", *(record.where for record in records)]
    return [(where, image_id, label) for where, (image_id, label) in zip(places, pairs, strict=True)]


def _diagnosis(label: str, where: str) -> Diagnosis:
    found = _LABELS.get(label)
    if found is None:
        raise DataError(f"{where}: the label is {label!r}, expected benign, malignant, 0 or 1")
    return found
