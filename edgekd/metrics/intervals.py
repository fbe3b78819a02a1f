"""Estimates with confidence intervals: Wilson for proportions, logit-DeLong for AUCs, cluster bootstraps.

`python -m edgekd.metrics.coverage` prints how often they hold the truth.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from edgekd.errors import DataError
from edgekd.metrics.binary import Floats, as_pairs, require_both
from edgekd.metrics.ranking import delong_parts, roc_auc_score

CONFIDENCE = 0.95
RESAMPLES = 2000
_HALVINGS = 100

Statistic = Callable[[Floats], float | None]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with the bounds of its confidence interval and how they were found.

    All three numbers are None where the value is not defined, e.g. a sensitivity without a malignant image.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str


@functools.cache
def two_sided_z(confidence: float) -> float:
    """The standard normal quantile of a two-sided interval, 1.96 for 0.95.

    Raises:
        DataError: `confidence` lies outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise DataError(f"confidence is {confidence}, expected between 0 and 1")
    return float(norm.ppf((1 + confidence) / 2))


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """The proportion `successes` / `n` with the score interval of Wilson 1927 (JASA 22:209–212).

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n); no continuity correction.

    Raises:
        DataError: not 0 ≤ successes ≤ n.
    """
    if not 0 <= successes <= n:
        raise DataError(f"{successes} successes of {n}: expected 0 to {n}")
    z, method = two_sided_z(confidence), f"wilson({confidence:g})"
    if n == 0:
        return Estimate(value=None, low=None, high=None, method=method)
    p = successes / n
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (p + z * z / (2 * n) - half) / (1 + z * z / n), (p + z * z / (2 * n) + half) / (1 + z * z / n)
    return Estimate(
        value=p,
        low=0.0 if successes == 0 else low,
        high=1.0 if successes == n else high,
        method=method,
    )


def auc_interval(y_true: ArrayLike, y_score: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """The AUC with DeLong's interval on the logit scale, so that it stays within 0..1 (Pepe 2003, 5.2.4).

    The quantile is Student's, with the degrees of freedom of Brunner & Munzel 2000 (Biometrical Journal
    42:17–25): with thirty malignant images the normal one holds the truth too seldom.

    Where DeLong's variance is zero or undefined (perfect separation, all scores equal, one image of a
    class) the score interval of Newcombe 2006 (Statistics in Medicine 25:559–573, method 5) stands in, and
    `method` says so. All None when a class is absent.

    Raises:
        DataError: the labels and scores are not usable, see `as_pairs`.
    """
    labels, score = as_pairs(y_true, y_score)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    z = two_sided_z(confidence)
    if not positives or not negatives:
        return Estimate(value=None, low=None, high=None, method=f"delong_logit({confidence:g})")
    area = roc_auc_score(labels, score)
    parts = delong_parts(labels, score) if min(positives, negatives) > 1 else (0.0, 0.0)
    variance = sum(parts)
    if variance <= 0 or not 0 < area < 1:
        low, high = _newcombe(area, positives, negatives, z)
        return Estimate(value=area, low=low, high=high, method=f"newcombe_2006({confidence:g})")
    freedom = variance**2 / (parts[0] ** 2 / (positives - 1) + parts[1] ** 2 / (negatives - 1))
    low, high = _logit_bounds(area, math.sqrt(variance), freedom, confidence)
    return Estimate(value=area, low=low, high=high, method=f"delong_logit({confidence:g})")


def _logit_bounds(value: float, deviation: float, freedom: float, confidence: float) -> tuple[float, float]:
    """Student's interval of a value within 0..1 on the logit scale, by the delta method."""
    half = float(t.ppf((1 + confidence) / 2, freedom)) * deviation / (value * (1 - value))
    logit = math.log(value / (1 - value))
    return _expit(logit - half), _expit(logit + half)


def _newcombe(area: float, positives: int, negatives: int, z: float) -> tuple[float, float]:
    """The areas A with (area − A)² ≤ z² V(A), V of Hanley & McNeil 1982 with (m + n)/2 − 1 for both sizes."""
    extra = (positives + negatives) / 2 - 1

    def accepted(a: float) -> bool:
        spread = 1 + extra * (1 - a) / (2 - a) + extra * a / (1 + a)
        return (area - a) ** 2 <= z * z * a * (1 - a) * spread / (positives * negatives)

    return last_accepted(accepted, area, 0.0), last_accepted(accepted, area, 1.0)


def last_accepted(accepted: Callable[[float], bool], inside: float, outside: float) -> float:
    """The end towards `outside` of the values a test accepts around `inside`, by halving."""
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if middle in (inside, outside):
            break
        inside, outside = (middle, outside) if accepted(middle) else (inside, middle)
    return inside


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def cluster_bootstrap(
    statistic: Statistic,
    groups: Sequence[str | None],
    *,
    seed: int = 1,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """A statistic with the percentile interval over resampled groups (patients, lesions).

    `statistic` takes the weight float64 [n] of each image (how often its group was drawn) and answers the
    value, or None where it is undefined; such resamples are left out. An image whose group is None is a
    group of its own. The same seed gives the same interval. Field & Welsh 2007 (JRSS B 69:369–390).

    Raises:
        DataError: no image.
    """
    values, count = _resampled(statistic, groups, seed, resamples)
    value = statistic(np.ones(len(groups)))
    method = f"cluster_bootstrap({confidence:g}, {resamples} resamples of {count} groups, seed {seed})"
    if value is None or not values:
        return Estimate(value=value, low=None, high=None, method=method)
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Estimate(value=value, low=float(low), high=float(high), method=method)


def bootstrap_deviation(
    statistic: Statistic, groups: Sequence[str | None], *, seed: int = 1, resamples: int = RESAMPLES
) -> tuple[float, int]:
    """The standard deviation of a statistic over resampled groups, as `cluster_bootstrap`; how many groups.

    Raises:
        DataError: no image, or the statistic is undefined in all resamples but one.
    """
    values, count = _resampled(statistic, groups, seed, resamples)
    if len(values) < 2:
        raise DataError("a bootstrap found the statistic undefined: too few images of a class")
    return float(np.std(values, ddof=1)), count


def logit_bootstrap(
    statistic: Statistic,
    groups: Sequence[str | None],
    *,
    seed: int = 1,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """A statistic within 0..1 with Student's interval on the logit scale, its deviation from a bootstrap.

    As `cluster_bootstrap`, for statistics that are skewed to the right, as small means of squares are: their
    percentile interval lies too low. Without bounds at 0 and 1, and with a single group.

    Raises:
        DataError: no image.
    """
    values, count = _resampled(statistic, groups, seed, resamples)
    value = statistic(np.ones(len(groups)))
    method = f"logit_bootstrap({confidence:g}, {resamples} resamples of {count} groups, seed {seed})"
    if value is None or not 0 < value < 1 or count < 2:
        return Estimate(value=value, low=None, high=None, method=method)
    low, high = _logit_bounds(value, float(np.std(values, ddof=1)), count - 1, confidence)
    return Estimate(value=value, low=low, high=high, method=method)


def _resampled(
    statistic: Statistic, groups: Sequence[str | None], seed: int, resamples: int
) -> tuple[list[float], int]:
    """The values of `statistic` over resampled groups, where it is defined, and the number of groups."""
    index = _group_index(groups)
    count = int(index.max()) + 1
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = (np.bincount(generator.integers(count, size=count), minlength=count) for _ in range(resamples))
    values = [value for times in drawn if (value := statistic(times[index].astype(np.float64))) is not None]
    return values, count


def _group_index(groups: Sequence[str | None]) -> NDArray[np.int64]:
    if not groups:
        raise DataError("a bootstrap over groups was given no image")
    numbers: dict[str | int, int] = {}
    keys: list[str | int] = [n if group is None else group for n, group in enumerate(groups)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def weighted_auc(y_true: ArrayLike, y_score: ArrayLike) -> Statistic:
    """The AUC as a statistic for `cluster_bootstrap`; sorted once, then linear for every resample."""
    labels, score = as_pairs(y_true, y_score)
    require_both(labels, "an AUC")
    place = np.unique(score, return_inverse=True)[1]

    def area(weights: Floats) -> float | None:
        malignant = np.bincount(place, weights * labels)
        benign = np.bincount(place, weights * ~labels)
        pairs = malignant.sum() * benign.sum()
        above = malignant @ (np.cumsum(benign) - benign / 2)
        return float(above / pairs) if pairs else None

    return area


def weighted_share(of: ArrayLike, hits: ArrayLike) -> Statistic:
    """The share of `hits` (bool [n]) among the images `of` (bool [n]), for `cluster_bootstrap`."""
    among, right = np.asarray(of, dtype=np.bool_), np.asarray(hits, dtype=np.bool_)

    def share(weights: Floats) -> float | None:
        total = float(weights[among].sum())
        return float(weights[among & right].sum()) / total if total else None

    return share
