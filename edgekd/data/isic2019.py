"""ISIC 2019: the official download, or the same folders with resized images.

    ISIC_2019_Training_Input/               ISIC_*.jpg, ISIC_*_downsampled.jpg
    ISIC_2019_Training_GroundTruth.csv
    ISIC_2019_Training_Metadata.csv         age, site, lesion and sex
    ISIC_2019_Test_…                        the same without lesions, read where its ground truth lies

An image shrunk for this challenge is called `…_downsampled`; its id here is that of the image, so that the
other years' copy is known to be the same. Images of unknown diagnosis (UNK) are left out, on record.
Without a labelled test part nothing is divided yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import final

from edgekd.data.isic import ChallengeSource, Part
from edgekd.data.isic2018 import marked
from edgekd.data.leaks import Dropped, Reason
from edgekd.data.reading import (
    Record,
    known,
    match_images,
    parse_age,
    parse_sex,
    parse_site,
    records_by_id,
)
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import Diagnosis

_PARTS = {Split.TRAIN: "ISIC_2019_Training", Split.TEST: "ISIC_2019_Test"}
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
_PEOPLE = ("age_approx", "anatom_site_general", "sex")
_LESION = "lesion_id"


@final
class Isic2019Source(ChallengeSource):
    """The 25,331 training images of ISIC 2019, grouped by lesion, and its test images where labelled."""

    def parts(self) -> tuple[Part, ...]:
        """Training, and test where it is labelled."""
        found = [Part(split, f"{name}_Input", _tables(name)) for split, name in _PARTS.items()]
        train, test = found
        return (train, test) if (self.root / test.tables[0]).is_file() else (replace(train, split=None),)

    def told(self, part: Part) -> Mapping[str, Row | Dropped]:
        """The diagnosis, the lesion and the person; or that the diagnosis is unknown.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        truth, metadata = (self.root / name for name in part.tables)
        labels = records_by_id(truth, "image", (*_CLASSES, _UNKNOWN))
        lesion = () if part.split is Split.TEST else (_LESION,)
        people = records_by_id(metadata, "image", (*_PEOPLE, *lesion))
        match_images(truth, labels, {name: record.where for name, record in people.items()}, metadata)
        return {
            image_id: self._told(image_id, marked(record, (*_CLASSES, _UNKNOWN)), part, people[image_id])
            for image_id, record in labels.items()
        }

    def _told(self, image_id: str, mark: str, part: Part, person: Record) -> Row | Dropped:
        if mark == _UNKNOWN:
            return self.without(image_id, part, Reason.UNKNOWN_DIAGNOSIS)
        cells = person.cells
        return replace(
            self.row(image_id, _CLASSES[mark], part),
            lesion=known(cells.get(_LESION, "")),
            age=parse_age(cells["age_approx"], person.where),
            sex=parse_sex(cells["sex"], person.where),
            site=parse_site(cells["anatom_site_general"]),
        )


def _tables(name: str) -> tuple[str, str]:
    return f"{name}_GroundTruth.csv", f"{name}_Metadata.csv"
