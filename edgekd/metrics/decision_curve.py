"""What calling by a probability threshold is worth: net benefit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edgekd.errors import DataError
from edgekd.metrics.binary import Floats, as_probabilities


@dataclass(frozen=True, kw_only=True, eq=False)
class DecisionCurve:
    """Net benefit per image at each threshold probability, all float64 [m]; calling nobody is worth 0."""

    threshold_probability: Floats
    model: Floats
    call_all: Floats


def net_benefit(y_true: ArrayLike, y_proba: ArrayLike, threshold_probability: ArrayLike) -> Floats:
    """TP/n − FP/n · t/(1 − t) when probability ≥ t is called malignant, float64 [m] for each t.

    t is the probability at which one would just act: its odds weigh a false alarm against a missed lesion.
    Vickers & Elkin 2006 (Medical Decision Making 26:565–574).

    Raises:
        DataError: a threshold probability outside [0, 1).
    """
    labels, proba = as_probabilities(y_true, y_proba)
    at = np.atleast_1d(np.asarray(threshold_probability, dtype=np.float64))
    if not ((at >= 0) & (at < 1)).all():
        raise DataError("threshold probabilities must be 0 or more and below 1")
    malignant, benign = np.sort(proba[labels]), np.sort(proba[~labels])
    true = malignant.size - np.searchsorted(malignant, at, side="left")
    false = benign.size - np.searchsorted(benign, at, side="left")
    result: Floats = (true - false * (at / (1 - at))) / labels.size
    return result


def decision_curve(y_true: ArrayLike, y_proba: ArrayLike, threshold_probability: ArrayLike) -> DecisionCurve:
    """The net benefit of the model beside calling every image malignant.

    Raises:
        DataError: a threshold probability outside [0, 1).
    """
    labels, proba = as_probabilities(y_true, y_proba)
    at = np.atleast_1d(np.asarray(threshold_probability, dtype=np.float64))
    return DecisionCurve(
        threshold_probability=at,
        model=net_benefit(labels, proba, at),
        call_all=net_benefit(labels, np.ones(labels.size), at),
    )
