"""How well a score ranks malignant above benign: ROC curve, AUC, partial AUC, DeLong's covariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from edgekd.errors import DataError
from edgekd.metrics.binary import Bools, Floats, as_pairs, least_count, require_both


def roc_curve(y_true: ArrayLike, y_score: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """False positive rate, true positive rate and threshold of every distinct score, highest first.

    Each float64 [m + 1]; the first point calls nothing (threshold inf). Tied scores share one point, so a
    tie is a slanted segment.

    Raises:
        DataError: a class is absent.
    """
    labels, score = as_pairs(y_true, y_score)
    positives, negatives = require_both(labels, "a ROC curve")
    thresholds, true, false = calls_by_threshold(labels, score)
    return false / negatives, true / positives, thresholds


def calls_by_threshold(labels: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Distinct scores, highest first, and how many malignant and benign images score at or above each.

    Each float64 [m + 1], the counts whole numbers; the first threshold is inf with counts of zero.
    """
    checked, values = as_pairs(labels, score)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), ordered.size - 1)
    true = np.cumsum(checked[order], dtype=np.float64)[last]
    thresholds = np.append(np.inf, ordered[last])
    return thresholds, np.append(0.0, true), np.append(0.0, last + 1 - true)


def roc_auc_score(y_true: ArrayLike, y_score: ArrayLike, *, max_fpr: float | None = None) -> float:
    """The area under the ROC curve: the chance that a malignant image outscores a benign one, ties half.

    With `max_fpr` in (0, 1) the part up to that false positive rate, standardised to 0.5 for chance and 1
    for perfect (McClish 1989, Medical Decision Making 9:190–195).

    Raises:
        DataError: a class is absent, or `max_fpr` lies outside (0, 1].
    """
    labels, score = as_pairs(y_true, y_score)
    positives, negatives = require_both(labels, "an AUC")
    if max_fpr is not None and not 0 < max_fpr <= 1:
        raise DataError(f"max_fpr is {max_fpr}, expected more than 0 and at most 1")
    if max_fpr is None or max_fpr == 1:
        above = rankdata(score)[labels].sum() - positives * (positives + 1) / 2
        return float(above / (positives * negatives))
    return _partial_auc(labels, score, max_fpr)


def _partial_auc(labels: ArrayLike, score: ArrayLike, max_fpr: float) -> float:
    fpr, tpr, _ = roc_curve(labels, score)
    stop = int(np.searchsorted(fpr, max_fpr, side="right"))
    x = np.append(fpr[:stop], max_fpr)
    y = np.append(tpr[:stop], np.interp(max_fpr, fpr[stop - 1 : stop + 1], tpr[stop - 1 : stop + 1]))
    area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    chance = max_fpr**2 / 2
    return 0.5 * (1 + (area - chance) / (max_fpr - chance))


def sensitivity_at_specificity(y_true: ArrayLike, y_score: ArrayLike, specificity: float) -> float:
    """The highest sensitivity of a threshold whose specificity is at least `specificity`.

    Only thresholds that exist count: nothing is interpolated between two scores.

    Raises:
        DataError: a class is absent.
    """
    labels, score = as_pairs(y_true, y_score)
    positives, negatives = require_both(labels, "sensitivity at a specificity")
    _, true, false = calls_by_threshold(labels, score)
    allowed = negatives - least_count(specificity, negatives)
    return float(true[false <= allowed].max() / positives)


def specificity_at_sensitivity(y_true: ArrayLike, y_score: ArrayLike, sensitivity: float) -> float:
    """The highest specificity of a threshold whose sensitivity is at least `sensitivity`; not interpolated.

    Raises:
        DataError: a class is absent.
    """
    labels, score = as_pairs(y_true, y_score)
    positives, negatives = require_both(labels, "specificity at a sensitivity")
    _, true, false = calls_by_threshold(labels, score)
    enough = true >= least_count(sensitivity, positives)
    return float((negatives - false[enough].min()) / negatives)


def delong(y_true: ArrayLike, *scores: ArrayLike) -> tuple[Floats, Floats]:
    """AUCs [m] and their covariance [m, m], of m scores given to the same images.

    DeLong, DeLong & Clarke-Pearson 1988 (Biometrics 44:837–845) by the midranks of Sun & Xu 2014
    (IEEE Signal Processing Letters 21:1389–1393), n log n.

    Raises:
        DataError: fewer than two images of a class.
    """
    labels = as_pairs(y_true, scores[0])[0]
    _require_two(labels)
    placements = [_placements(labels, as_pairs(y_true, score)[1]) for score in scores]
    malignant = np.stack([pair[0] for pair in placements])
    benign = np.stack([pair[1] for pair in placements])
    covariance = np.atleast_2d(np.cov(malignant)) / malignant.shape[1]
    covariance = covariance + np.atleast_2d(np.cov(benign)) / benign.shape[1]
    return malignant.mean(axis=1), covariance


def delong_parts(y_true: ArrayLike, y_score: ArrayLike) -> tuple[float, float]:
    """The parts of DeLong's variance of one AUC that the malignant and the benign images bring.

    Raises:
        DataError: fewer than two images of a class.
    """
    labels, score = as_pairs(y_true, y_score)
    _require_two(labels)
    malignant, benign = _placements(labels, score)
    return float(malignant.var(ddof=1) / malignant.size), float(benign.var(ddof=1) / benign.size)


def _require_two(labels: Bools) -> None:
    positives, negatives = require_both(labels, "DeLong's covariance")
    if min(positives, negatives) < 2:
        raise DataError(
            f"DeLong's covariance needs two images of each class, got {positives} and {negatives}"
        )


def _placements(labels: ArrayLike, score: Floats) -> tuple[Floats, Floats]:
    """For each malignant image the share of benign ones below it; for each benign the malignant above."""
    malignant = np.asarray(labels, dtype=np.bool_)
    ranks = rankdata(score)
    below = ranks[malignant] - rankdata(score[malignant])
    above = malignant.sum() - (ranks[~malignant] - rankdata(score[~malignant]))
    return below / (~malignant).sum(), above / malignant.sum()
