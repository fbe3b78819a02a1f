"""Two evaluated artefacts on the same images, paired."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import DataError, UsageError
from edgekd.metrics.evaluation import read_evaluation
from edgekd.metrics.intervals import Estimate
from edgekd.metrics.paired import PairedComparison, auc_difference, compare_calls

SCHEMA = "edgekd.comparison/1"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """B against A, each at its own operating point; differences are B − A.

    `discordant` lists the images on which the two calls differ.
    """

    schema: str = SCHEMA
    a: str
    b: str
    n: int
    n_positive: int
    auc: Estimate
    calls: PairedComparison
    discordant: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scored:
    """The images of one evaluation by id, sorted: labels bool [n], scores float64 [n], and the threshold."""

    ids: tuple[str, ...]
    labels: NDArray[np.bool_]
    score: NDArray[np.float64]
    threshold: float

    @property
    def called(self) -> NDArray[np.bool_]:
        return self.score >= self.threshold


def compare(a: Path, b: Path, *, margin: float) -> Comparison:
    """The paired comparison of two folders with evaluation.json and predictions.csv; a run means its int8.

    Raises:
        UsageError: a folder holds no evaluation.
        DataError: the two were not evaluated on the same labelled images.
    """
    first, second = _open(a), _open(b)
    if first.ids != second.ids:
        shared = len(set(first.ids) & set(second.ids))
        raise DataError(
            f"{a} and {b} were evaluated on different images ({len(first.ids)} and {len(second.ids)}, "
            f"{shared} in common): a paired comparison needs the same"
        )
    if not np.array_equal(first.labels, second.labels):
        raise DataError(f"{a} and {b} do not agree on which images are malignant")
    return Comparison(
        a=str(a),
        b=str(b),
        n=len(first.ids),
        n_positive=int(first.labels.sum()),
        auc=auc_difference(first.labels, first.score, second.score),
        calls=compare_calls(first.labels, first.called, second.called, margin=margin),
        discordant=tuple(first.ids[n] for n in np.flatnonzero(first.called != second.called)),
    )


def _open(folder: Path) -> _Scored:
    if (folder / "experiment.json").is_file():
        folder = folder / "verify" / "int8"
    if not (folder / "evaluation.json").is_file():
        raise UsageError(f"{folder} holds no evaluation.json: expected a run, or one of its station folders")
    path = folder / "predictions.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = sorted(
                (row["image_id"], row["label"] == "1", float(row["score"])) for row in csv.DictReader(file)
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no readable table of predictions ({error})") from error
    return _Scored(
        ids=tuple(row[0] for row in rows),
        labels=np.array([row[1] for row in rows], np.bool_),
        score=np.array([row[2] for row in rows], np.float64),
        threshold=read_evaluation(folder / "evaluation.json").operating_point.threshold,
    )
