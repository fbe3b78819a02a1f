"""Two ways of training compared over several seeds, on the same images: what both sources of chance leave.

A difference of two networks holds for these images and these two trainings. To say something of the *ways* of
training, other images and other seeds have to be imagined, and a few seeds say little about their spread: the
interval has Student's quantile for as many degrees of freedom as they give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

from edgekd.errors import DataError
from edgekd.metrics.binary import Floats, as_labels, require_both
from edgekd.metrics.intervals import CONFIDENCE, RESAMPLES, Estimate, bootstrap_deviation, weighted_auc


def seeded_auc_difference(
    y_true: ArrayLike,
    reference: NDArray[np.float64],
    candidate: NDArray[np.float64],
    groups: Sequence[str | None],
    *,
    seed: int = 1,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The mean over seeds of AUC(candidate) − AUC(reference), with an interval over images and seeds.

    `reference` and `candidate` are scores float64 [s, n]: row by row of the same seed, on the same images.
    Variance = V + S²/s: V of the mean over the given seeds, by a bootstrap over `groups` of images that keeps
    all scores of an image together; S² the sample variance of the seeds' differences. The quantile is
    Student's, with the degrees of freedom of Welch and Satterthwaite (Satterthwaite 1946, Biometrics Bulletin
    2:110–114). What of the seeds' differences is particular to these images is in both terms: the interval is
    wide rather than narrow. With a single seed it is that of the images alone, and `method` says so.

    Raises:
        DataError: a class is absent, or the shapes contradict each other.
    """
    labels = as_labels(y_true)
    require_both(labels, "a difference of AUCs")
    if reference.shape != candidate.shape or reference.shape[1:] != labels.shape or not len(reference):
        raise DataError(
            f"scores are {list(reference.shape)} and {list(candidate.shape)} for {labels.size} labels: "
            "expected [seeds, images] twice"
        )
    areas = [
        (weighted_auc(labels, a), weighted_auc(labels, b)) for a, b in zip(reference, candidate, strict=True)
    ]

    def mean_difference(weights: Floats) -> float | None:
        pairs = [(a(weights), b(weights)) for a, b in areas]
        found = [b - a for a, b in pairs if a is not None and b is not None]
        return sum(found) / len(pairs) if len(found) == len(pairs) else None

    seeds = len(areas)
    ones = np.ones(labels.size)
    each = np.array([b(ones) for _, b in areas], np.float64) - np.array(
        [a(ones) for a, _ in areas], np.float64
    )
    deviation, count = bootstrap_deviation(mean_difference, groups, seed=seed, resamples=resamples)
    images, between = deviation**2, float(np.var(each, ddof=1)) / seeds if seeds > 1 else 0.0
    half = _quantile(images, between, count, seeds, confidence) * math.sqrt(images + between)
    value = float(each.mean())
    return Estimate(
        value=value,
        low=max(value - half, -1.0),
        high=min(value + half, 1.0),
        method=f"images_and_seeds({confidence:g}, {resamples} resamples of {count} groups, {seeds} "
        f"seed{'s' * (seeds > 1)}{', images alone' * (seeds == 1)})",
    )


def _quantile(images: float, between: float, groups: int, seeds: int, confidence: float) -> float:
    parts = ((images, groups - 1), (between, seeds - 1))
    spread = sum(part**2 / freedom for part, freedom in parts if freedom and part)
    if not spread:
        return 0.0
    return float(t.ppf((1 + confidence) / 2, (images + between) ** 2 / spread))
