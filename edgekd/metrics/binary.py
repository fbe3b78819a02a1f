"""Two-class labels and scores, checked once: what every metric starts from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekd.errors import DataError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def as_labels(y_true: ArrayLike) -> Bools:
    """`y_true` as bool [n], True = malignant.

    Raises:
        DataError: not one-dimensional, empty, or a value other than 0 and 1.
    """
    labels = np.asarray(y_true)
    if labels.ndim != 1 or labels.size == 0:
        raise DataError(f"labels have shape {labels.shape}, expected [n] with n of 1 or more")
    if labels.dtype != np.bool_ and not np.isin(labels, (0, 1)).all():
        raise DataError("labels hold values other than 0 (benign) and 1 (malignant)")
    return labels.astype(np.bool_)


def as_pairs(y_true: ArrayLike, y_score: ArrayLike) -> tuple[Bools, Floats]:
    """Labels bool [n] and scores float64 [n], of one length and finite.

    Raises:
        DataError: the lengths differ, or a score is NaN or infinite.
    """
    labels, score = as_labels(y_true), np.asarray(y_score, dtype=np.float64)
    if score.shape != labels.shape:
        raise DataError(
            f"scores have shape {score.shape}, labels {labels.shape}: expected one score per label"
        )
    if not np.isfinite(score).all():
        raise DataError(f"{int((~np.isfinite(score)).sum())} of {score.size} scores are not finite numbers")
    return labels, score


def as_probabilities(y_true: ArrayLike, y_proba: ArrayLike) -> tuple[Bools, Floats]:
    """Labels bool [n] and probabilities of malignancy float64 [n] in 0..1.

    Raises:
        DataError: as `as_pairs`, or a probability outside 0..1.
    """
    labels, proba = as_pairs(y_true, y_proba)
    if proba.min() < 0 or proba.max() > 1:
        raise DataError(f"probabilities lie in {proba.min():g}..{proba.max():g}, expected 0..1")
    return labels, proba


def require_both(labels: Bools, purpose: str) -> tuple[int, int]:
    """The numbers of malignant and benign labels, both at least one.

    Raises:
        DataError: a class is absent; `purpose` says what cannot be had without it.
    """
    positives = int(labels.sum())
    negatives = labels.size - positives
    if not positives or not negatives:
        absent = "benign" if positives else "malignant"
        raise DataError(f"{purpose} needs both classes, but none of the {labels.size} images is {absent}")
    return positives, negatives


def least_count(target: float, n: int) -> int:
    """The least whole k with k / n ≥ `target`, exactly as the fraction is computed in floating point."""
    k = min(n, max(0, int(np.ceil(target * n))))
    while k > 0 and (k - 1) / n >= target:
        k -= 1
    while k < n and k / n < target:
        k += 1
    return k
