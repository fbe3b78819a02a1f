"""The threshold fitted on validation, and what it does to a set of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edgekd.card import OperatingPoint
from edgekd.config import ThresholdRule
from edgekd.errors import DataError
from edgekd.metrics.binary import Bools, Floats, as_labels, as_pairs, least_count, require_both
from edgekd.metrics.ranking import calls_by_threshold


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """The four counts of a two-class test; positive = malignant."""

    true_positive: int
    false_negative: int
    true_negative: int
    false_positive: int


def confusion(y_true: ArrayLike, called: ArrayLike) -> Confusion:
    """The counts of `called` (bool [n], True = called malignant) against the labels."""
    labels, calls = as_labels(y_true), as_labels(called)
    if labels.shape != calls.shape:
        raise DataError(f"{labels.size} labels and {calls.size} calls: expected one call per label")
    return Confusion(
        true_positive=int((labels & calls).sum()),
        false_negative=int((labels & ~calls).sum()),
        true_negative=int((~labels & ~calls).sum()),
        false_positive=int((~labels & calls).sum()),
    )


def call(score: Floats, threshold: float) -> Bools:
    """Which images [n] are called malignant: score ≥ `threshold`."""
    return score >= threshold


def predictive_values(
    sensitivity: float, specificity: float, prevalence: float
) -> tuple[float | None, float | None]:
    """PPV and NPV at a stated prevalence, by Bayes' theorem; None where nothing would be called so.

    PPV = se·p / (se·p + (1 − sp)(1 − p)), NPV = sp·(1 − p) / (sp·(1 − p) + (1 − se)·p).
    """
    true_positive, false_positive = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    true_negative, false_negative = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    positive, negative = true_positive + false_positive, true_negative + false_negative
    return (
        true_positive / positive if positive > 0 else None,
        true_negative / negative if negative > 0 else None,
    )


def fit_threshold(
    y_true: ArrayLike,
    y_score: ArrayLike,
    rule: ThresholdRule,
    target: float,
    *,
    fitted_on: str = "validation",
) -> OperatingPoint:
    """The operating point that `rule` asks for on these images.

    `sensitivity_at_least`: the highest specificity with sensitivity ≥ `target`; `specificity_at_least` the
    reverse; `youden`: the largest sensitivity + specificity − 1 (Youden 1950), the more sensitive of equal
    ones, `target` unused. The promise holds exactly on the images given. The threshold lies midway between
    the lowest score it calls and the next one below, so that a small shift of either changes no call; with
    no score below it is the lowest score itself.

    Raises:
        DataError: a class is absent, or `target` lies outside (0, 1].
    """
    labels, score = as_pairs(y_true, y_score)
    require_both(labels, "fitting a threshold")
    if not 0 < target <= 1:
        raise DataError(f"the target of {rule} is {target}, expected more than 0 and at most 1")
    thresholds, true, false = calls_by_threshold(labels, score)
    chosen = _CHOOSE[rule](true, false, target)
    name = rule.value if rule is ThresholdRule.YOUDEN else f"{rule.value}({target:g})"
    return OperatingPoint(rule=name, threshold=_between(thresholds, chosen), fitted_on=fitted_on)


def _most_specific(true: Floats, false: Floats, target: float) -> int:
    del false
    return int(np.argmax(true >= least_count(target, int(true[-1]))))


def _most_sensitive(true: Floats, false: Floats, target: float) -> int:
    del true
    negatives = int(false[-1])
    return int(np.flatnonzero(false <= negatives - least_count(target, negatives))[-1])


def _youden(true: Floats, false: Floats, target: float) -> int:
    del target
    index = true * false[-1] - false * true[-1]  # whole numbers, so that equal ones compare equal
    return int(np.flatnonzero(index == index.max())[-1])


_CHOOSE: dict[ThresholdRule, Callable[[Floats, Floats, float], int]] = {
    ThresholdRule.SENSITIVITY_AT_LEAST: _most_specific,
    ThresholdRule.SPECIFICITY_AT_LEAST: _most_sensitive,
    ThresholdRule.YOUDEN: _youden,
}


def _between(thresholds: Floats, chosen: int) -> float:
    """Midway between the chosen score and the next lower one; `thresholds` falls and begins with inf."""
    if chosen == 0:
        return float(np.nextafter(thresholds[1], np.inf))
    lowest_called = float(thresholds[chosen])
    if chosen + 1 == thresholds.size:
        return lowest_called
    middle = lowest_called / 2 + float(thresholds[chosen + 1]) / 2
    return middle if thresholds[chosen + 1] < middle <= lowest_called else lowest_called
