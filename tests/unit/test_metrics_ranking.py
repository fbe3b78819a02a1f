from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from edgekd.errors import DataError
from edgekd.metrics.ranking import (
    delong,
    roc_auc_score,
    roc_curve,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from tolerances import EXACT_ARITHMETIC

Y = np.array([0, 0, 1, 1, 0, 1, 0, 1, 1, 0], bool)
S = np.array([0.1, 0.4, 0.35, 0.8, 0.4, 0.9, 0.2, 0.4, 0.7, 0.7])


def ratings() -> tuple[np.ndarray, np.ndarray]:
    """Hanley & McNeil 1982, table I: 58 normal and 51 abnormal CT images rated 1 to 5."""
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    score = np.concatenate([np.repeat(np.arange(1, 6), normal), np.repeat(np.arange(1, 6), abnormal)])
    return np.repeat([0, 1], [58, 51]), score.astype(float)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [3, 17, 10**6])
def test_agrees_with_scikit_learn_with_and_without_ties(seed: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    labels = np.arange(60) % 4 == 0
    score = generator.integers(0, levels, 60) / levels
    assert roc_auc_score(labels, score) == pytest.approx(
        oracle.roc_auc_score(labels, score), abs=EXACT_ARITHMETIC
    )
    for limit in (0.05, 0.2, 0.5, 0.99, 1.0):
        assert roc_auc_score(labels, score, max_fpr=limit) == pytest.approx(
            oracle.roc_auc_score(labels, score, max_fpr=limit), abs=EXACT_ARITHMETIC
        )
    for ours, theirs in zip(
        roc_curve(labels, score), oracle.roc_curve(labels, score, drop_intermediate=False), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_auc_of_hanley_and_mcneil() -> None:
    assert roc_auc_score(*ratings()) == pytest.approx(0.893, abs=0.0005)  # printed with three digits


def test_a_tie_counts_half() -> None:
    assert roc_auc_score([0, 1], [3.0, 3.0]) == 0.5
    assert roc_auc_score([0, 0, 1], [1.0, 2.0, 2.0]) == 0.75


def naive_delong(labels: np.ndarray, *scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components pair by pair, as printed in 1988."""
    rows = []
    for score in scores:
        malignant, benign = score[labels], score[~labels]
        won = np.sign(malignant[:, None] - benign[None, :]) / 2 + 0.5
        rows.append((won.mean(axis=1), won.mean(axis=0)))
    v10, v01 = np.stack([r[0] for r in rows]), np.stack([r[1] for r in rows])
    return v10.mean(axis=1), np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]


def test_fast_delong_equals_the_pairwise_definition() -> None:
    generator = np.random.default_rng(3)
    labels = generator.random(80) < 0.3
    first = np.round(generator.normal(size=80) + labels, 1)
    second = np.round(first + generator.normal(size=80), 1)
    areas, covariance = delong(labels, first, second)
    expected_areas, expected_covariance = naive_delong(labels, first, second)
    np.testing.assert_allclose(areas, expected_areas, atol=EXACT_ARITHMETIC)
    np.testing.assert_allclose(covariance, expected_covariance, atol=EXACT_ARITHMETIC)


def test_sensitivity_and_specificity_at_each_other() -> None:
    # Benign .1 .2 .4 .4 .7, malignant .35 .4 .7 .8 .9.
    assert sensitivity_at_specificity(Y, S, 0.80) == 3 / 5  # above .4 one of five benign is called
    assert sensitivity_at_specificity(Y, S, 0.81) == 2 / 5  # none may be: above .7
    assert sensitivity_at_specificity(Y, S, 0.40) == 5 / 5
    assert specificity_at_sensitivity(Y, S, 0.60) == 4 / 5
    assert specificity_at_sensitivity(Y, S, 0.80) == 2 / 5
    assert specificity_at_sensitivity(Y, S, 1.00) == 2 / 5


def test_a_wanted_fraction_is_met_without_rounding_up() -> None:
    # 0.07 · 100 is 7.000000000000001 in floating point: seven of a hundred must still do.
    labels = np.arange(200) >= 100
    score = np.concatenate([np.arange(100), np.full(100, 6.5)]).astype(float)
    assert sensitivity_at_specificity(labels, score, 0.07) == 1.0


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0]])
def test_an_absent_class_is_named(labels: list[int]) -> None:
    absent = "benign" if labels[0] else "malignant"
    for function in (roc_auc_score, roc_curve, delong):
        with pytest.raises(DataError, match=absent):
            function(labels, [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("labels", "score", "message"),
    [
        ([0, 1], [0.1, float("nan")], "not finite"),
        ([0, 2], [0.1, 0.2], "other than 0"),
        ([0, 1], [0.1], "one score per label"),
        ([], [], "n of 1 or more"),
        ([[0, 1]], [[0.1, 0.2]], r"\(1, 2\)"),
    ],
)
def test_unusable_input_is_refused(labels: list[int], score: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        roc_auc_score(labels, score)


def test_a_partial_area_needs_a_possible_limit() -> None:
    with pytest.raises(DataError, match="max_fpr"):
        roc_auc_score(Y, S, max_fpr=0.0)
