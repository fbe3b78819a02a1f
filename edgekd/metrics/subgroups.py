"""The same figures per age band, sex, site or source, with a mark where malignant images are too few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekd.errors import DataError
from edgekd.metrics.binary import Bools, Floats
from edgekd.metrics.intervals import Estimate, auc_interval, wilson
from edgekd.metrics.operating_point import Confusion, call, confusion

TOO_FEW = 10
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """One part of the images, e.g. attribute `sex`, value `female`.

    `too_few` marks fewer than ten malignant images: its figures must not be read as findings.
    """

    attribute: str
    value: str
    n: int
    n_positive: int
    too_few: bool
    auc: Estimate
    sensitivity: Estimate
    specificity: Estimate


def sensitivity_of(counts: Confusion) -> Estimate:
    """The sensitivity, true positives / malignant, with Wilson's interval."""
    return wilson(counts.true_positive, counts.true_positive + counts.false_negative)


def specificity_of(counts: Confusion) -> Estimate:
    """The specificity, true negatives / benign, with Wilson's interval."""
    return wilson(counts.true_negative, counts.true_negative + counts.false_positive)


def subgroups(
    attribute: str, values: Sequence[str | None], labels: Bools, score: Floats, threshold: float
) -> tuple[Subgroup, ...]:
    """One `Subgroup` per value of `attribute`, in alphabetical order; None counts as `unknown`.

    `values` holds one entry per image, `labels` bool [n] and `score` float64 [n] likewise.

    Raises:
        DataError: the lengths differ.
    """
    if len(values) != labels.size:
        raise DataError(f"{attribute}: {len(values)} values for {labels.size} images, expected one each")
    names = np.array([value or UNKNOWN for value in values])
    return tuple(
        _subgroup(attribute, value, labels[names == value], score[names == value], threshold)
        for value in sorted(set(names.tolist()))
    )


def _subgroup(attribute: str, value: str, labels: Bools, score: Floats, threshold: float) -> Subgroup:
    counts = confusion(labels, call(score, threshold))
    positives = int(labels.sum())
    return Subgroup(
        attribute=attribute,
        value=value,
        n=labels.size,
        n_positive=positives,
        too_few=positives < TOO_FEW,
        auc=auc_interval(labels, score),
        sensitivity=sensitivity_of(counts),
        specificity=specificity_of(counts),
    )


def worst_subgroup(groups: Sequence[Subgroup]) -> Subgroup | None:
    """The subgroup whose malignant images are found least often; None where none can be judged.

    Considered are named values (not `unknown`) with at least `TOO_FEW` malignant images, of attributes that
    divide the images (two values or more). Of equal sensitivities the one with more malignant images counts,
    then the first.
    """
    divided = Counter(group.attribute for group in groups)
    judged = [
        (group.sensitivity.value, -group.n_positive, number, group)
        for number, group in enumerate(groups)
        if group.sensitivity.value is not None
        and not group.too_few
        and group.value != UNKNOWN
        and divided[group.attribute] > 1
    ]
    return min(judged)[-1] if judged else None
