"""`Predictions`: what a network said about each image, and the CSV to recompute every figure from."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from edgekd.errors import DataError
from edgekd.metrics.binary import Bools, Floats
from edgekd.plain import write_text

_SCORE_TOLERANCE = (
    1e-6  # another platform's exp and log may differ in the last places; another score does not
)
_PREFIX = "logit_"


def malignancy_score(logits: NDArray[np.floating], names: Sequence[str], malignant: Sequence[str]) -> Floats:
    """The log odds of malignancy float64 [n]: logsumexp(malignant logits) − logsumexp(benign logits).

    `logits` is [n, k], one column per name. With k = 1 the logit itself is the score.

    Raises:
        DataError: `malignant` is empty, holds every name, or names no column.
    """
    columns = [name in malignant for name in names]
    unknown = sorted(set(malignant) - set(names))
    if unknown or not any(columns) or (all(columns) and len(names) > 1):
        raise DataError(
            f"malignant names {list(malignant)} and logits {list(names)}: "
            "expected at least one malignant and one benign logit (or a single malignant one)"
        )
    values = np.asarray(logits, dtype=np.float64)
    if len(names) == 1:
        return values[:, 0]
    chosen = np.array(columns)
    score: Floats = logsumexp(values[:, chosen], axis=1) - logsumexp(values[:, ~chosen], axis=1)
    return score


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """The raw logits of a set of images beside their labels.

    `labels` is bool [n] (True = malignant), `logits` float32 [n, k] with one column per name of `names`;
    `malignant` lists the names counted as malignant.

    Raises:
        DataError: lengths or names contradict each other, an id is repeated, or a logit is not finite.
    """

    image_ids: tuple[str, ...]
    labels: Bools
    logits: NDArray[np.float32]
    names: tuple[str, ...]
    malignant: tuple[str, ...]

    def __post_init__(self) -> None:
        n, k = len(self.image_ids), len(self.names)
        if self.logits.shape != (n, k) or self.labels.shape != (n,) or n == 0:
            raise DataError(
                f"predictions: {n} ids, labels {self.labels.shape}, logits {self.logits.shape}, {k} names: "
                "expected n ids, [n] and [n, number of names], with n of 1 or more"
            )
        if self.labels.dtype != np.bool_ or self.logits.dtype != np.float32:
            raise DataError(
                f"predictions: labels are {self.labels.dtype}, logits {self.logits.dtype}, "
                "expected bool and float32"
            )
        self._check_ids()
        self._check_finite()
        malignancy_score(self.logits[:1], self.names, self.malignant)

    def _check_ids(self) -> None:
        for name, times in Counter(self.image_ids).items():
            if times > 1:
                raise DataError(f"predictions: image {name!r} appears {times} times")
            if not name or "\n" in name or "\r" in name:
                raise DataError(f"predictions: image id {name!r} is empty or holds a line break")

    def _check_finite(self) -> None:
        bad = np.flatnonzero(~np.isfinite(self.logits).all(axis=1))
        if bad.size:
            raise DataError(
                f"predictions: {bad.size} of {len(self.image_ids)} images have a logit that is not finite, "
                f"first {self.image_ids[bad[0]]!r}: the weights or the runtime are broken"
            )

    @property
    def score(self) -> Floats:
        """The malignancy score float64 [n] (log odds)."""
        return malignancy_score(self.logits, self.names, self.malignant)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write `predictions` as CSV to `path`, whole or not at all; every float reads back exactly.

    Columns `image_id,label,logit_<name>…,score`, label 1 = malignant. Nine significant digits identify a
    float32 (and stay clear of double rounding); the score is written as Python writes a float64.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["image_id", "label", *(_PREFIX + name for name in predictions.names), "score"])
    rows = zip(
        predictions.image_ids,
        predictions.labels.tolist(),
        predictions.logits.tolist(),
        predictions.score.tolist(),
        strict=True,
    )
    for name, label, logits, score in rows:
        writer.writerow([name, int(label), *(f"{logit:.9g}" for logit in logits), repr(score)])
    write_text(path, out.getvalue())


def read_predictions(path: Path, malignant: Sequence[str]) -> Predictions:
    """The predictions written by `write_predictions`; `malignant` names the malignant logits.

    Raises:
        DataError: the file is missing, is not such a table, or its score column does not follow from its
            logits and `malignant`.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file, strict=True)
        predictions, score = _parse(head, rows, tuple(malignant))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: no readable table of predictions ({error})") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if not np.allclose(predictions.score, score, rtol=_SCORE_TOLERANCE, atol=_SCORE_TOLERANCE):
        raise DataError(
            f"{path}: the score column does not follow from the logits with {', '.join(malignant)} as "
            "malignant; use the malignant set of the model that wrote it"
        )
    return predictions


def _parse(head: list[str], rows: list[list[str]], malignant: tuple[str, ...]) -> tuple[Predictions, Floats]:
    logits = head[2:-1]
    if head[:2] != ["image_id", "label"] or head[-1] != "score" or not logits:
        raise DataError(f"columns are {','.join(head)}, expected image_id,label,logit_<name>…,score")
    if any(not name.startswith(_PREFIX) for name in logits) or any(len(row) != len(head) for row in rows):
        raise DataError(f"expected {len(head)} columns in every line, the logits named {_PREFIX}<name>")
    if any(row[1] not in ("0", "1") for row in rows):
        raise DataError("a label is neither 0 (benign) nor 1 (malignant)")
    numbers = np.array([[float(cell) for cell in row[2:]] for row in rows], dtype=np.float64)
    numbers = numbers.reshape(len(rows), len(head) - 2)
    predictions = Predictions(
        image_ids=tuple(row[0] for row in rows),
        labels=np.array([row[1] == "1" for row in rows], dtype=np.bool_),
        logits=numbers[:, :-1].astype(np.float32),
        names=tuple(name.removeprefix(_PREFIX) for name in logits),
        malignant=malignant,
    )
    return predictions, numbers[:, -1]
