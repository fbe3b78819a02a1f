"""A prepared data set as the later stations see it: classes, and the samples of each split.

<data>/dataset.json            classes, which are malignant, pixel sizes, shares of the sources
<data>/table.csv               the surviving images with their split
<data>/store/<split>/…         the prepared images (`edgekd.data.store`)
<data>/store/<split>@<px>/…    those of validation and test at the teacher's side, where it is another
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.config import DataConfig, HairRemoval
from edgekd.data.patient import encode, fit_patient_input, people, tell_unseen
from edgekd.data.split import SplitRecord
from edgekd.data.store import ImageStore
from edgekd.data.table import Row, Split, read_table
from edgekd.errors import DataError, UsageError
from edgekd.patient_input import PatientInput
from edgekd.plain import from_plain

SCHEMA = "edgekd.dataset/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRecord:
    """What `dataset.json` holds; `malignant` is the part of `classes` counted as malignant.

    `patient` says how the second input is made, where there is one; `hair` what was done to every picture
    before the crop.
    """

    schema: str
    classes: tuple[str, ...]
    malignant: tuple[str, ...]
    input_px: int
    train_px: int
    shares: Mapping[str, float]
    patient: PatientInput | None = None
    hair: HairRemoval = HairRemoval.NONE
    teacher_px: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """The images of one split.

    `rows` n table rows; `labels` int32 [n], indices into the data set's classes; `malignant` bool [n];
    `features` float32 [n, f] the patient vectors (f = 0 without patient data); `images` the store, index for
    index the same as `rows`.
    """

    rows: tuple[Row, ...]
    labels: NDArray[np.int32]
    malignant: NDArray[np.bool_]
    features: NDArray[np.float32]
    images: ImageStore
    split: Split

    def __len__(self) -> int:
        return len(self.rows)

    def ids(self) -> list[str]:
        """The image ids, in the order of the rows."""
        return [row.image_id for row in self.rows]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """A prepared data set: classes, pixel sizes, shares of the sources, and its three splits.

    Training images are stored at `train_px`, validation and test images at `input_px`; `seen_by_teacher` at
    `teacher_px` (0: the same). `patient` says how the features were made; None: there are none. `hair` is
    what was done to every picture before the crop.
    """

    folder: Path
    classes: tuple[str, ...]
    malignant: tuple[str, ...]
    input_px: int
    train_px: int
    shares: Mapping[str, float]
    patient: PatientInput | None
    hair: HairRemoval = HairRemoval.NONE
    teacher_px: int = 0
    train: Samples
    validation: Samples
    test: Samples

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the f columns of the samples' features."""
        return self.patient.names if self.patient else ()

    def seen_by_teacher(self) -> Dataset:
        """The same images at the side of the teacher's input.

        Raises:
            DataError: they are not stored at that side.
        """
        px = self.teacher_px or self.input_px
        if px == self.input_px:
            return self
        validation, test = (
            replace(samples, images=ImageStore(store_folder(self.folder, samples.split, px), samples.ids()))
            for samples in (self.validation, self.test)
        )
        return replace(self, input_px=px, teacher_px=0, validation=validation, test=test)


def store_folder(folder: Path, split: Split, px: int | None = None) -> Path:
    """Where the data set in `folder` keeps the images of a `split`; with `px`: those of that other side."""
    return folder / "store" / (f"{split}@{px}" if px else split)


def describe(record: SplitRecord, config: DataConfig, rows: Sequence[Row]) -> DatasetRecord:
    """What `dataset.json` says of the data set that `record` divides and `config` asked for.

    `rows` are all that are left; how patient data become numbers is read from the training rows among them.

    Raises:
        DataError: they do not know a field of `config.patient`, or a person's context would cross splits.
    """
    return DatasetRecord(
        schema=SCHEMA,
        classes=record.classes,
        malignant=record.malignant,
        input_px=config.input_px,
        train_px=config.train_px,
        shares={source.name: source.share for source in config.sources},
        patient=_patient(rows, config),
        hair=config.hair,
        teacher_px=config.teacher_px,
    )


def open_dataset(folder: Path) -> Dataset:
    """The data set that `edgekd data prepare` left in `folder`.

    Raises:
        DataError: it is missing, incomplete or contradicts itself.
    """
    path = folder / "dataset.json"
    try:
        record = from_plain(DatasetRecord, json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} holds no dataset.json; prepare the data first (edgekd data prepare)"
        ) from error
    except (ValueError, UsageError) as error:
        raise DataError(f"{path} cannot be read: {error}; run edgekd data prepare --force") from error
    rows = read_table(folder / "table.csv")
    return Dataset(
        folder=folder,
        classes=record.classes,
        malignant=record.malignant,
        input_px=record.input_px,
        train_px=record.train_px,
        shares=record.shares,
        patient=record.patient,
        hair=record.hair,
        teacher_px=record.teacher_px,
        train=_samples(folder, rows, Split.TRAIN, record),
        validation=_samples(folder, rows, Split.VALIDATION, record),
        test=_samples(folder, rows, Split.TEST, record),
    )


def _samples(folder: Path, rows: Sequence[Row], split: Split, record: DatasetRecord) -> Samples:
    chosen = tuple(row for row in rows if row.split is split)
    number = {name: label for label, name in enumerate(record.classes)}
    try:
        labels = np.array([number[row.diagnosis] for row in chosen], np.int32)
    except KeyError as error:
        raise DataError(f"{folder}/table.csv: diagnosis {error} is not in dataset.json") from error
    return Samples(
        rows=chosen,
        labels=labels,
        malignant=np.array([row.malignant for row in chosen], np.bool_),
        features=_features(record.patient, chosen),
        images=ImageStore(store_folder(folder, split), [row.image_id for row in chosen]),
        split=split,
    )


def _patient(rows: Sequence[Row], config: DataConfig) -> PatientInput | None:
    made = fit_patient_input(rows, config.patient, context=config.patient_context)
    if made:
        tell_unseen(made, people(rows))
    return made


def _features(made: PatientInput | None, rows: Sequence[Row]) -> NDArray[np.float32]:
    return encode(made, people(rows)) if made else np.zeros((len(rows), 0), np.float32)
