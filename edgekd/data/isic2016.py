"""ISIC 2016, Part 3: the official download, or the same folders with resized images.

    ISBI2016_ISIC_Part3_Training_Data/              ISIC_*.jpg      …and the same for Test
    ISBI2016_ISIC_Part3_Training_GroundTruth.csv    without a header: image id, and benign or malignant
    ISBI2016_ISIC_Part3_Test_GroundTruth.csv        …or 0 or 1

Malignant means melanoma in this challenge; what the others are is not told. Most of these images, those of
the test part too, train ISIC 2017 and 2019: where both are used, the source named first keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import final

from edgekd.data.headers import canonical_id, resemblance
from edgekd.data.isic import ChallengeSource, Part
from edgekd.data.reading import duplicates, read_cells
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import Diagnosis
from edgekd.errors import DataError

_PARTS = {Split.TRAIN: "ISBI2016_ISIC_Part3_Training", Split.TEST: "ISBI2016_ISIC_Part3_Test"}
_LABELS = {
    **dict.fromkeys(("benign", "0", "0.0"), Diagnosis.BENIGN),
    **dict.fromkeys(("malignant", "1", "1.0"), Diagnosis.MEL),
}


@final
class Isic2016Source(ChallengeSource):
    """The 900 / 379 images of ISIC 2016 with their official training and test part."""

    def parts(self) -> tuple[Part, ...]:
        """Training and test."""
        return tuple(
            Part(split, f"{name}_Data", (f"{name}_GroundTruth.csv",)) for split, name in _PARTS.items()
        )

    def told(self, part: Part) -> Mapping[str, Row]:
        """Benign or melanoma.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        lines = _lines(self.root / part.tables[0])
        duplicates("image id", ((where, canonical_id(written)) for where, written, _ in lines))
        ids = {canonical_id(written): (label, where) for where, written, label in lines}
        return {image_id: self.row(image_id, _diagnosis(*told), part) for image_id, told in ids.items()}


def _lines(path: Path) -> list[tuple[str, str, str]]:
    """(file and line, image id, label) of every line."""
    found: list[tuple[str, str, str]] = []
    for where, cells in read_cells(path):
        if len(cells) != 2:
            raise DataError(
                f"{where}: {len(cells)} cells, expected an image id and benign, malignant, 0 or 1"
                f"{resemblance(cells)}"
            )
        found.append((where, cells[0], cells[1]))
    if not found:
        raise DataError(f"{path}: the table is empty")
    return found


def _diagnosis(label: str, where: str) -> Diagnosis:
    found = _LABELS.get(label)
    if found is None:
        raise DataError(f"{where}: the label is {label!r}, expected benign, malignant, 0 or 1")
    return found
