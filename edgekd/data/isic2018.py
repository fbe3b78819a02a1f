"""ISIC 2018, Task 3: the official download, or the same folders with resized images.

    ISIC2018_Task3_Training_Input/                  ISIC_*.jpg
    ISIC2018_Task3_Training_GroundTruth.csv         also inside a folder of that name, as the archive unpacks
    ISIC2018_Task3_Training_LesionGroupings.csv
    ISIC2018_Task3_Validation_… and _Test_…         the first two again, read where their table lies

The training images are HAM10000. Without a labelled validation and test part nothing is divided yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

from edgekd.data.isic import FLAGS, ChallengeSource, Part
from edgekd.data.reading import Record, match_images, records_by_id, require_group
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import parse_diagnosis
from edgekd.errors import DataError

_PARTS = {Split.TRAIN: "Training", Split.VALIDATION: "Validation", Split.TEST: "Test"}
_CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
_GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings.csv"


@final
class Isic2018Source(ChallengeSource):
    """The 10,015 / 193 / 1,512 images of ISIC 2018; several training images may show one lesion."""

    def parts(self) -> tuple[Part, ...]:
        """Training, and the others where they are labelled."""
        truths = {split: self._truth(f"ISIC2018_Task3_{name}_GroundTruth") for split, name in _PARTS.items()}
        labelled = [
            split for split in _PARTS if split is Split.TRAIN or (self.root / truths[split]).is_file()
        ]
        return tuple(
            Part(
                split if len(labelled) > 1 else None,
                f"ISIC2018_Task3_{_PARTS[split]}_Input",
                (truths[split], *([_GROUPINGS] if split is Split.TRAIN else [])),
            )
            for split in labelled
        )

    def told(self, part: Part) -> Mapping[str, Row]:
        """The diagnosis, and the lesion of a training image.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        labels = records_by_id(self.root / part.tables[0], "image", _CLASSES)
        lesions = self._lesions(part, labels)
        found = {}
        for image_id, record in labels.items():
            diagnosis = parse_diagnosis(marked(record, _CLASSES), record.where)
            found[image_id] = replace(self.row(image_id, diagnosis, part), lesion=lesions.get(image_id))
        return found

    def _truth(self, name: str) -> str:
        """Where the ground truth `name` lies: as its archive unpacks, or moved up."""
        unpacked = f"{name}/{name}.csv"
        return unpacked if (self.root / unpacked).is_file() else f"{name}.csv"

    def _lesions(self, part: Part, labels: Mapping[str, Record]) -> dict[str, str]:
        """The lesions by image id; in training each image has one."""
        if _GROUPINGS not in part.tables:
            return {}
        path = self.root / _GROUPINGS
        records = records_by_id(path, "image", ("lesion_id",))
        match_images(self.root / part.tables[0], labels, dict.fromkeys(records, ""), path)
        return {name: require_group(record, "lesion_id", "lesion") for name, record in records.items()}


def marked(record: Record, columns: Sequence[str]) -> str:
    """The one of `columns` that is 1 in `record`, all others being 0.

    Raises:
        DataError: none is, several are, or a cell is neither 0 nor 1.
    """
    flags = [FLAGS.get(record.cells[name]) for name in columns]
    if None in flags or flags.count(True) != 1:
        found = ", ".join(record.cells[name] for name in columns)
        raise DataError(f"{record.where}: {', '.join(columns)} are {found}; expected one 1 and 0 elsewhere")
    return columns[flags.index(True)]
