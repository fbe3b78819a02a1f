"""Two evaluated artefacts on the same images, paired."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekd.errors import DataError, UsageError
from edgekd.metrics.evaluation import EvaluationRecord, read_evaluation
from edgekd.metrics.intervals import Estimate
from edgekd.metrics.paired import PairedComparison, auc_difference, compare_calls
from edgekd.metrics.predictions import Predictions, read_predictions

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


def compare(a: Path, b: Path, *, margin: float) -> Comparison:
    """The paired comparison of two folders that hold evaluation.json and predictions.csv; a run means its int8.

    Raises:
        UsageError: a folder holds no evaluation.
        DataError: the two were not evaluated on the same labelled images.
    """
    (record_a, said_a), (record_b, said_b) = _open(a), _open(b)
    if set(said_a.image_ids) != set(said_b.image_ids):
        raise DataError(
            f"{a} and {b} were evaluated on different images ({len(said_a.image_ids)} and "
            f"{len(said_b.image_ids)}, {len(set(said_a.image_ids) & set(said_b.image_ids))} in common): "
            "a paired comparison needs the same"
        )
    place = {name: number for number, name in enumerate(said_b.image_ids)}
    order = np.array([place[name] for name in said_a.image_ids])
    if not np.array_equal(said_a.labels, said_b.labels[order]):
        raise DataError(f"{a} and {b} do not agree on which images are malignant")
    score_a, score_b = said_a.score, said_b.score[order]
    called_a = score_a >= record_a.operating_point.threshold
    called_b = score_b >= record_b.operating_point.threshold
    return Comparison(
        a=str(a),
        b=str(b),
        n=len(order),
        n_positive=int(said_a.labels.sum()),
        auc=auc_difference(said_a.labels, score_a, score_b),
        calls=compare_calls(said_a.labels, called_a, called_b, margin=margin),
        discordant=tuple(said_a.image_ids[n] for n in np.flatnonzero(called_a != called_b)),
    )


def _open(folder: Path) -> tuple[EvaluationRecord, Predictions]:
    if (folder / "experiment.json").is_file():
        folder = folder / "verify" / "int8"
    if not (folder / "evaluation.json").is_file():
        raise UsageError(f"{folder} holds no evaluation.json: expected a run, or one of its station folders")
    record = read_evaluation(folder / "evaluation.json")
    return record, read_predictions(folder / "predictions.csv", _malignant(folder))


def _malignant(folder: Path) -> tuple[str, ...]:
    from edgekd.data.dataset import open_record  # noqa: PLC0415

    for parent in folder.resolve().parents:
        if (parent / "data" / "dataset.json").is_file():
            return open_record(parent / "data").malignant
    raise UsageError(f"{folder} does not lie in a run folder: which labels are malignant is not known")
