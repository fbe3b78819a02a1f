"""Whether probabilities can be believed: Brier score, calibration error, slope and intercept, temperature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import rankdata

from edgekd.errors import DataError
from edgekd.metrics.binary import Bools, Floats, as_pairs, as_probabilities, require_both
from edgekd.metrics.intervals import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    Statistic,
    cluster_bootstrap,
    logit_bootstrap,
)

BINS = 10
TEMPERATURE_MIN, TEMPERATURE_MAX = 0.01, 100.0
_STEPS = 100
_CONVERGED = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """A calibration plot: per bin the number of images, their mean probability and their malignant share.

    `n` int64, the others float64, all [b]; bins of equal mass, least probable first.
    """

    n: NDArray[np.int64]
    mean_predicted: Floats
    observed: Floats


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Slope (ideal 1) and intercept (ideal 0) of the log odds; None where no finite one exists."""

    slope: float | None
    intercept: float | None


def probability(score: Floats, temperature: float = 1.0) -> Floats:
    """The probability of malignancy [n]: sigmoid(score / temperature)."""
    result: Floats = expit(score / temperature)
    return result


def brier_score_loss(y_true: ArrayLike, y_proba: ArrayLike) -> float:
    """The mean squared difference of probability and label (Brier 1950); 0 is perfect."""
    labels, proba = as_probabilities(y_true, y_proba)
    return float(np.mean((proba - labels) ** 2))


def reliability(y_true: ArrayLike, y_proba: ArrayLike, bins: int = BINS) -> Reliability:
    """The points of a calibration plot over `bins` bins of equal mass.

    Equal probabilities share a bin, so there may be fewer bins and the order of the images does not matter.

    Raises:
        DataError: `bins` below 1, or a probability outside 0..1.
    """
    labels, proba = as_probabilities(y_true, y_proba)
    if bins < 1:
        raise DataError(f"bins is {bins}, expected 1 or more")
    place = np.unique(_bins(proba, bins), return_inverse=True)[1]
    n = np.bincount(place)
    return Reliability(
        n=n,
        mean_predicted=np.bincount(place, proba) / n,
        observed=np.bincount(place, labels.astype(np.float64)) / n,
    )


def expected_calibration_error(y_true: ArrayLike, y_proba: ArrayLike, bins: int = BINS) -> float:
    """The expected calibration error over bins of equal mass, ten unless told.

    Σ nᵦ/n · |observed − predicted|: Naeini et al. 2015 (AAAI), with the equal-mass bins of Nixon et al.
    2019 (CVPR workshops).
    """
    plot = reliability(y_true, y_proba, bins)
    return float(np.sum(plot.n * np.abs(plot.observed - plot.mean_predicted)) / plot.n.sum())


def _bins(proba: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """The bin 0..bins − 1 of each probability [n]."""
    rank = (rankdata(proba) - 0.5) / proba.size
    return (rank * bins).astype(np.int64)


def weighted_brier(y_true: ArrayLike, y_proba: ArrayLike) -> Statistic:
    """The Brier score as a statistic for `cluster_bootstrap`."""
    labels, proba = as_probabilities(y_true, y_proba)
    squared = (proba - labels) ** 2
    return lambda weights: float(weights @ squared / weights.sum())


def weighted_ece(y_true: ArrayLike, y_proba: ArrayLike, bins: int = BINS) -> Statistic:
    """The expected calibration error as a statistic for `cluster_bootstrap`; bins of equal weight."""
    labels, proba = as_probabilities(y_true, y_proba)
    place, gap = np.unique(proba, return_inverse=True)[1], proba - labels

    def error(weights: Floats) -> float:
        mass = np.bincount(place, weights)
        rank = (np.cumsum(mass) - mass / 2) / mass.sum()
        # A value whose images were not drawn may rank last of all; it weighs nothing.
        inside = np.minimum(rank * bins, bins - 1).astype(np.int64)
        return float(np.abs(np.bincount(inside, np.bincount(place, weights * gap))).sum() / mass.sum())

    return error


def brier_interval(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    groups: Sequence[str | None],
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The Brier score with its interval over resampled groups, see `logit_bootstrap`."""
    return logit_bootstrap(
        weighted_brier(y_true, y_proba), groups, resamples=resamples, confidence=confidence
    )


def ece_interval(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    groups: Sequence[str | None],
    *,
    seed: int = 1,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The expected calibration error with an interval over resampled groups that allows for its bias.

    A sum of absolute values is too large in a sample and larger still in a resample, so the percentile
    interval of well calibrated probabilities misses the truth. The upper bound is the resamples' quantile,
    the lower one lies as far below the value; it is 0 where the value is one that perfectly calibrated
    probabilities give as well (consistency resampling: Bröcker & Smith 2007, Weather and Forecasting
    22:651–661). Conservative: see `edgekd.metrics.coverage`.
    """
    labels, proba = as_probabilities(y_true, y_proba)
    found = cluster_bootstrap(
        weighted_ece(labels, proba), groups, seed=seed, resamples=resamples, confidence=confidence
    )
    method = found.method.replace("cluster_bootstrap", "ece_bootstrap")
    if found.value is None or found.high is None:
        return Estimate(value=found.value, low=None, high=None, method=method)
    high = max(found.high, found.value)
    usual = _calibrated_error(proba, (1 + confidence) / 2, resamples, seed)
    low = 0.0 if found.value <= usual else max(0.0, 2 * found.value - high)
    return Estimate(value=found.value, low=low, high=high, method=method)


def _calibrated_error(proba: Floats, share: float, draws: int, seed: int) -> float:
    """The quantile `share` of the calibration errors that labels drawn by `proba` itself would show."""
    generator, inside = np.random.Generator(np.random.PCG64(seed)), _bins(proba)
    gaps = ((generator.random(proba.size) < proba) - proba for _ in range(draws))
    errors = [np.abs(np.bincount(inside, gap)).sum() / proba.size for gap in gaps]
    return float(np.quantile(errors, share))


def fit_temperature(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """The temperature that makes sigmoid(score / temperature) likeliest (Guo et al. 2017, ICML).

    The log-likelihood is concave in 1 / temperature, so its derivative has one root; the answer is kept
    within 0.01..100 (reached when the score separates perfectly, or does not rank at all).

    Raises:
        DataError: a class is absent.
    """
    labels, score = as_pairs(y_true, y_score)
    require_both(labels, "fitting a temperature")

    def slope(sharpness: float) -> float:
        return float(score @ (expit(sharpness * score) - labels))

    return 1 / _root(slope, 1 / TEMPERATURE_MAX, 1 / TEMPERATURE_MIN)


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where the rising function is zero, or the end of `low`..`high` that lies nearest to it."""
    if rising(low) >= 0:
        return low
    if rising(high) <= 0:
        return high
    return float(brentq(rising, low, high, xtol=_CONVERGED))


def calibration(y_true: ArrayLike, y_score: ArrayLike) -> Calibration:
    """Calibration slope and intercept of log odds `y_score` (already divided by the temperature).

    The slope is that of the logistic fit label ~ a + b · score (Cox 1958, Biometrika 45:562–565; below 1 =
    too extreme); the intercept is a of label ~ a + score (calibration in the large; above 0 = malignancy
    underestimated), as in Van Calster et al. 2019 (BMC Medicine 17:230). The slope is None where the
    classes do not overlap in score, both are None where a class is absent.
    """
    labels, score = as_pairs(y_true, y_score)
    if labels.all() or not labels.any():
        return Calibration(slope=None, intercept=None)
    return Calibration(slope=_slope(labels, score), intercept=_intercept(labels, score))


def _intercept(labels: Bools, score: Floats) -> float:
    expected = float(labels.sum())
    reach = float(np.abs(score).max()) + np.log(labels.size)  # there the mean probability passes any share
    return float(brentq(lambda a: float(expit(score + a).sum()) - expected, -reach, reach, xtol=_CONVERGED))


def _slope(labels: Bools, score: Floats) -> float | None:
    spread = float(score.std())
    if spread == 0:
        return None
    standard = (score - score.mean()) / spread
    malignant, benign = standard[labels], standard[~labels]
    if benign.max() <= malignant.min() or malignant.max() <= benign.min():
        return None
    weights = _logistic_fit(np.stack([np.ones(score.size), standard]), labels)
    return None if weights is None else float(weights[1] / spread)


def _logistic_fit(design: Floats, labels: Bools) -> Floats | None:
    """The likeliest weights [k] of sigmoid(weights @ design) for design [k, n]: Newton, halving bad steps.

    None where the classes overlap so little that the weights run out of floating-point range.
    """
    weights: Floats = np.zeros(design.shape[0])
    for _ in range(_STEPS):
        proba = expit(weights @ design)
        gradient = design @ (labels - proba)
        try:
            step = np.linalg.solve((design * (proba * (1 - proba))) @ design.T, gradient)
        except np.linalg.LinAlgError:
            return None
        while _log_likelihood(weights + step, design, labels) < _log_likelihood(weights, design, labels):
            step /= 2
        weights = weights + step
        if np.abs(step).max() < _CONVERGED * (1 + np.abs(weights).max()):
            return weights
    return None


def _log_likelihood(weights: Floats, design: Floats, labels: Bools) -> float:
    score = weights @ design
    return -float(np.logaddexp(0, np.where(labels, -score, score)).sum())
