"""Ways of training a student compared: the records of `bench/methods.py`, and their table.

<folder>/methods.json                       what was compared, and each student (schema edgekd.methods/1)
<folder>/<student>.evaluation.json          its figures on the test split, which it was shown once
<folder>/<student>.predictions.csv          what they can be recomputed from
<folder>/<student>.validation.csv           its predictions on validation, which chose its threshold
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import DataError, UsageError
from edgekd.metrics.evaluation import EvaluationRecord, read_evaluation
from edgekd.metrics.intervals import Estimate
from edgekd.metrics.predictions import Predictions, read_predictions
from edgekd.metrics.ranking import roc_auc_score, sensitivity_at_specificity
from edgekd.metrics.seeds import seeded_auc_difference
from edgekd.plain import from_plain, read_json
from edgekd_bench.markdown import NONE, estimate, lines

RECORD, SCHEMA = "methods.json", "edgekd.methods/1"
EVALUATION, PREDICTIONS, VALIDATION = ".evaluation.json", ".predictions.csv", ".validation.csv"
SPECIFICITY = 0.90
HEAD = (
    "student",
    "seeds",
    "kB",
    "validation AUC",
    "test AUC",
    f"sensitivity at specificity {SPECIFICITY:.2f}",
    "against",
    "difference, validation",
    "difference, test",
    "min to train",
)


@dataclass(frozen=True, kw_only=True)
class Student:
    """One finished student: the way `arm` it was trained, its seed, and what it became.

    `against` is the arm it is compared with. `size_bytes` is that of its file, null for a Keras model;
    `training_seconds` of its last training alone. `touches` is how often its test split was predicted.
    """

    name: str
    arm: str
    seed: int
    against: str | None
    malignant: tuple[str, ...]
    parameters: int
    size_bytes: int | None
    training_seconds: float
    model_sha256: str
    touches: int


@dataclass(frozen=True, kw_only=True)
class MethodsRecord:
    """A comparison: the experiment, what of it was changed for all, and every student.

    `groups` is what makes test images dependent (patient or lesion, null: nothing known), in their order;
    `validation_groups` the same of the validation images.
    """

    schema: str = SCHEMA
    experiment: str
    settings: tuple[str, ...]
    versions: dict[str, str]
    students: tuple[Student, ...]
    groups: tuple[str | None, ...]
    validation_groups: tuple[str | None, ...]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"methods: schema is {self.schema!r}, expected {SCHEMA!r}")


def read_methods(folder: Path) -> MethodsRecord:
    """The record in `folder`.

    Raises:
        DataError: it is missing or no such record.
    """
    path = folder / RECORD
    try:
        return from_plain(MethodsRecord, read_json(path), RECORD)
    except (OSError, ValueError, UsageError) as error:
        raise DataError(f"{path}: no readable record of methods ({error})") from error


def table(folder: Path) -> str:
    """The comparison kept in `folder` as a Markdown table and a paragraph; ends with a newline.

    Raises:
        DataError: a record cannot be read, or students were judged on different images.
    """
    record = read_methods(folder)
    read = cache(lambda student: _scores(folder, student))
    arms = list(dict.fromkeys(student.arm for student in record.students))
    rows = [_row(arm, record, read) for arm in arms]
    cells = [HEAD, ("---", *("---:",) * (len(HEAD) - 1)), *rows]
    return "\n".join([*lines(cells), "", _circumstances(record, folder)]) + "\n"


@dataclass(frozen=True, eq=False)
class _Scores:
    validation: Predictions
    test: Predictions


_Read = Callable[[Student], _Scores]


def _scores(folder: Path, student: Student) -> _Scores:
    validation, test = (
        read_predictions(folder / f"{student.name}{suffix}", student.malignant)
        for suffix in (VALIDATION, PREDICTIONS)
    )
    return _Scores(validation, test)


def _row(arm: str, record: MethodsRecord, read: _Read) -> tuple[str, ...]:
    students = [student for student in record.students if student.arm == arm]
    said = [read(student) for student in students]
    sizes = [student.size_bytes for student in students if student.size_bytes is not None]
    return (
        arm,
        str(len(students)),
        f"{statistics.mean(sizes) / 1000:.0f}" if sizes else NONE,
        _spread([roc_auc_score(one.validation.labels, one.validation.score) for one in said]),
        _spread([roc_auc_score(one.test.labels, one.test.score) for one in said]),
        _spread([sensitivity_at_specificity(one.test.labels, one.test.score, SPECIFICITY) for one in said]),
        students[0].against or NONE,
        *(estimate(difference(arm, record, read, part), signed=True) for part in ("validation", "test")),
        f"{statistics.median(student.training_seconds for student in students) / 60:.1f}",
    )


def difference(
    arm: str, record: MethodsRecord, read: _Read, part: Literal["validation", "test"]
) -> Estimate | None:
    """The AUC of `arm` minus that of the arm it is compared with, on a `part`, over the seeds both have.

    None where they share none.

    Raises:
        DataError: students were judged on different images.
    """
    ours = {student.seed: student for student in record.students if student.arm == arm}
    against = next(iter(ours.values())).against
    theirs = {student.seed: student for student in record.students if student.arm == against}
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return None
    candidate, reference = ([getattr(read(arm[seed]), part) for seed in seeds] for arm in (ours, theirs))
    _require_same([*candidate, *reference])
    groups = record.groups if part == "test" else record.validation_groups
    return seeded_auc_difference(reference[0].labels, _stack(reference), _stack(candidate), groups)


def _require_same(said: Sequence[Predictions]) -> None:
    if any(one.image_ids != said[0].image_ids for one in said):
        raise DataError("students were judged on different images: make them again from the same data")


def _stack(said: Sequence[Predictions]) -> NDArray[np.float64]:
    return np.stack([one.score for one in said])


def _spread(values: Sequence[float]) -> str:
    """The mean, and the standard deviation over the seeds."""
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def _circumstances(record: MethodsRecord, folder: Path) -> str:
    first: EvaluationRecord = read_evaluation(folder / f"{record.students[0].name}{EVALUATION}")
    changed = "".join(f" --set {setting}" for setting in record.settings)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(record.versions.items()))
    touches = sum(student.touches for student in record.students)
    groups = len({group for group in record.groups if group}) + sum(not group for group in record.groups)
    seeds = [student.seed for student in record.students]
    return " ".join(
        [
            f"{record.experiment}{changed}; test split: n = {first.n}, {first.n_positive} malignant "
            f"({groups} patients or lesions).",
            "Mean ± standard deviation over seeds; whoever is chosen is chosen on validation.",
            f"Difference: mean over the same seeds ({', '.join(map(str, sorted(set(seeds))))}), 95 % "
            "interval over images (bootstrap by patient or lesion) and seeds (Welch–Satterthwaite): it holds "
            "for other images and other seeds, not for another teacher or data set.",
            f"The test split was predicted {touches} times for {len(record.students)} finished students"
            f"{'' if touches == len(record.students) else ', some of them more than once'}.",
            f"{versions}.",
        ]
    )
