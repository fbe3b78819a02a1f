from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from edgekd.errors import DataError
from edgekd.metrics.intervals import (
    auc_interval,
    cluster_bootstrap,
    weighted_auc,
    weighted_share,
    wilson,
)
from edgekd.metrics.ranking import delong, delong_parts, roc_auc_score
from tolerances import EXACT_ARITHMETIC


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:857–872, table I, method 3; four printed digits.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_printed(successes: int, n: int, low: float, high: float) -> None:
    estimate = wilson(successes, n)
    assert estimate.value == successes / n
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_wilson_at_the_ends_and_of_nothing() -> None:
    assert wilson(0, 7).low == 0.0
    assert wilson(7, 7).high == 1.0
    nothing = wilson(0, 0)
    assert (nothing.value, nothing.low, nothing.high) == (None, None, None)
    with pytest.raises(DataError, match="8 successes of 7"):
        wilson(8, 7)
    with pytest.raises(DataError, match="confidence"):
        wilson(1, 7, confidence=1.0)


def test_the_logit_interval_is_delongs_on_the_logit_scale() -> None:
    generator = np.random.default_rng(1)
    labels = generator.random(100) < 0.3
    score = generator.normal(size=100) + labels
    estimate = auc_interval(labels, score)
    area, variance = roc_auc_score(labels, score), delong(labels, score)[1][0, 0]

    def logit(p: float) -> float:
        return float(np.log(p / (1 - p)))

    assert estimate.low is not None and estimate.high is not None
    malignant, benign = delong_parts(labels, score)
    assert malignant + benign == pytest.approx(variance, rel=1e-12)
    sizes = labels.sum(), (~labels).sum()
    freedom = variance**2 / (malignant**2 / (sizes[0] - 1) + benign**2 / (sizes[1] - 1))
    assert min(sizes) - 1 < freedom < 98
    half = t.ppf(0.975, freedom) * np.sqrt(variance) / (area * (1 - area))
    assert logit(estimate.low) == pytest.approx(logit(area) - half, abs=EXACT_ARITHMETIC)
    assert logit(estimate.high) == pytest.approx(logit(area) + half, abs=EXACT_ARITHMETIC)
    assert estimate.method == "delong_logit(0.95)"


@pytest.mark.parametrize(
    ("labels", "score", "value"),
    [
        ([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6], 1.0),
        ([0, 0, 0, 1, 1, 1], [4, 5, 6, 1, 2, 3], 0.0),
        ([0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1], 0.5),
        ([0, 0, 0, 1], [1, 2, 4, 3], 2 / 3),
    ],
)
def test_where_delong_has_no_variance_the_interval_is_still_honest(
    labels: list[int], score: list[float], value: float
) -> None:
    estimate = auc_interval(labels, score)
    assert estimate.value == pytest.approx(value, abs=EXACT_ARITHMETIC)
    assert estimate.low is not None and estimate.high is not None
    assert 0 <= estimate.low <= value <= estimate.high <= 1
    assert estimate.high - estimate.low > 0.2  # six images cannot say more
    assert estimate.method == "newcombe_2006(0.95)"


def test_newcombes_bounds_solve_his_equation() -> None:
    estimate = auc_interval([0] * 5 + [1] * 3, list(range(8)))
    low = estimate.low
    assert low is not None and estimate.high == 1.0
    extra = (5 + 3) / 2 - 1
    variance = low * (1 - low) * (1 + extra * (1 - low) / (2 - low) + extra * low / (1 + low)) / 15
    assert (1 - low) / np.sqrt(variance) == pytest.approx(1.959963984540054, abs=1e-9)


def test_without_a_class_there_is_no_auc() -> None:
    estimate = auc_interval([1, 1], [0.1, 0.2])
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)


def test_the_bootstrap_draws_whole_groups() -> None:
    # One group holds all that is right, the other all that is wrong: a resample is 0, 1/2 or 1.
    hits = np.repeat([True, False], 50)
    estimate = cluster_bootstrap(weighted_share(np.ones(100, bool), hits), ["a"] * 50 + ["b"] * 50)
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.0, 1.0)
    assert "2 groups" in estimate.method


def test_unknown_groups_are_groups_of_their_own() -> None:
    hits = np.repeat([True, False], 50)
    estimate = cluster_bootstrap(weighted_share(np.ones(100, bool), hits), [None] * 100)
    expected = wilson(50, 100)
    assert "100 groups" in estimate.method
    assert estimate.low == pytest.approx(
        expected.low, abs=0.03
    )  # 1.5 images: the bootstrap moves in whole ones
    assert estimate.high == pytest.approx(expected.high, abs=0.03)


def test_the_bootstrap_repeats_with_its_seed() -> None:
    generator = np.random.default_rng(2)
    labels, score = generator.random(60) < 0.4, generator.normal(size=60)
    groups = [str(n // 3) for n in range(60)]
    first = cluster_bootstrap(weighted_auc(labels, score), groups, seed=5, resamples=200)
    assert first == cluster_bootstrap(weighted_auc(labels, score), groups, seed=5, resamples=200)
    assert first != cluster_bootstrap(weighted_auc(labels, score), groups, seed=6, resamples=200)
    assert first.value == pytest.approx(roc_auc_score(labels, score), abs=EXACT_ARITHMETIC)


def test_a_weighted_auc_is_the_auc_of_repeated_images() -> None:
    labels, score = np.array([0, 0, 1, 1, 1], bool), np.array([1.0, 2.0, 2.0, 3.0, 0.0])
    weights = np.array([2, 1, 0, 3, 1])
    assert weighted_auc(labels, score)(weights.astype(float)) == pytest.approx(
        roc_auc_score(np.repeat(labels, weights), np.repeat(score, weights)), abs=EXACT_ARITHMETIC
    )
    assert weighted_auc(labels, score)(np.array([1.0, 1, 0, 0, 0])) is None


def test_a_statistic_that_is_never_defined_has_no_interval() -> None:
    estimate = cluster_bootstrap(weighted_share(np.zeros(3, bool), np.ones(3, bool)), ["a", "b", "c"])
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    with pytest.raises(DataError, match="no image"):
        cluster_bootstrap(lambda weights: 0.0, [])
