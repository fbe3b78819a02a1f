from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as oracle
from sklearn.linear_model import LogisticRegression

from edgekd.errors import DataError
from edgekd.metrics.calibration import (
    Calibration,
    brier_score_loss,
    calibration,
    expected_calibration_error,
    fit_temperature,
    probability,
    reliability,
)
from edgekd.metrics.decision_curve import decision_curve, net_benefit
from tolerances import EXACT_ARITHMETIC


def two_groups() -> tuple[np.ndarray, np.ndarray]:
    """Score −1: 10 of 50 malignant; score +1: 30 of 50 malignant."""
    return np.repeat([1, 0, 1, 0], [10, 40, 30, 20]), np.repeat([-1.0, 1.0], [50, 50])


def test_brier_against_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels, proba = generator.random(40) < 0.5, generator.random(40)
    assert brier_score_loss(labels, proba) == pytest.approx(
        oracle.brier_score_loss(labels, proba), abs=EXACT_ARITHMETIC
    )


def test_calibration_error_by_hand() -> None:
    # Two bins of two: (0.1, 0.3) with 1 of 2 malignant, (0.6, 0.8) with 2 of 2.
    error = expected_calibration_error([0, 1, 1, 1], [0.1, 0.3, 0.6, 0.8], bins=2)
    assert error == pytest.approx((0.3 + 0.3) / 2, abs=EXACT_ARITHMETIC)


def test_equal_probabilities_share_a_bin() -> None:
    plot = reliability([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], bins=2)
    assert plot.n.tolist() == [4]
    assert plot.observed.tolist() == [0.5]


def test_bins_hold_equal_numbers() -> None:
    assert reliability(np.arange(100) % 2, np.linspace(0, 1, 100)).n.tolist() == [10] * 10
    # 16 equal probabilities among 20: their middle rank, the 8.5th, falls into the first of two bins.
    assert reliability(np.arange(20) % 2, [0.1] * 16 + [0.2, 0.3, 0.4, 0.5], bins=2).n.tolist() == [16, 4]
    assert reliability([0, 1, 0], [0.1, 0.2, 0.3], bins=2).n.tolist() == [1, 2]  # the middle one goes up


def test_temperature_in_closed_form() -> None:
    # Scores ±2, right three times of four: sigmoid(2 / T) = 3/4, so T = 2 / ln 3.
    labels, score = [1, 1, 1, 0, 0, 0, 0, 1], [2.0] * 4 + [-2.0] * 4
    assert fit_temperature(labels, score) == pytest.approx(2 / math.log(3), rel=1e-9)


@pytest.mark.parametrize(
    ("labels", "temperature"), [([0, 0, 1, 1], 0.01), ([1, 1, 0, 0], 100.0), ([0, 1, 0, 1], 100.0)]
)
def test_temperature_stays_within_its_range(labels: list[int], temperature: float) -> None:
    assert fit_temperature(labels, [-2.0, -2.0, 2.0, 2.0]) == pytest.approx(temperature, rel=1e-12)


def test_slope_and_intercept_in_closed_form() -> None:
    # Two score values saturate the fit: logit(.2) = a − b and logit(.6) = a + b.
    fitted = calibration(*two_groups())
    assert fitted.slope == pytest.approx((math.log(0.6 / 0.4) - math.log(0.2 / 0.8)) / 2, abs=1e-9)
    assert fitted.intercept is not None
    share = 0.5 / (1 + math.exp(1 - fitted.intercept)) + 0.5 / (1 + math.exp(-1 - fitted.intercept))
    assert share == pytest.approx(0.4, abs=1e-9)


def test_slope_against_scikit_learn() -> None:
    generator = np.random.default_rng(7)
    score = 300 + 40 * generator.normal(size=500)
    labels = generator.random(500) < probability((score - 320) / 25)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit((score[:, None] - 300) / 40, labels)
    slope = calibration(labels, score).slope
    assert slope == pytest.approx(float(model.coef_[0, 0]) / 40, rel=1e-5)  # its gradient stops at 1e-10 · n


@pytest.mark.parametrize("score", [[1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 1, 1], [1, 2, 2, 3], [0, 1e-109, 0, 1]])
def test_no_slope_where_the_classes_do_not_overlap(score: list[float]) -> None:
    fitted = calibration([0, 0, 1, 1], score)
    assert fitted.slope is None
    assert fitted.intercept is not None


def test_no_calibration_without_a_class() -> None:
    assert calibration([1, 1], [0.0, 1.0]) == Calibration(slope=None, intercept=None)


def test_probabilities_must_be_probabilities() -> None:
    for function in (brier_score_loss, expected_calibration_error):
        with pytest.raises(DataError, match=r"expected 0\.\.1"):
            function([0, 1], [0.5, 1.5])
    with pytest.raises(DataError, match="bins"):
        reliability([0, 1], [0.1, 0.2], bins=0)


def test_probability_is_the_sigmoid() -> None:
    assert probability(np.array([0.0, math.log(3), -800.0]), 1.0).tolist() == pytest.approx([0.5, 0.75, 0.0])
    assert probability(np.array([2 * math.log(3)]), 2.0)[0] == pytest.approx(0.75)


def test_net_benefit_by_counting() -> None:
    # At t = 0.25 (odds 1:3): called 0.3, 0.25, 0.9 with two true and one false → 2/5 − 1/5 · 1/3.
    labels, proba = [1, 0, 1, 0, 1], [0.3, 0.25, 0.9, 0.1, 0.2]
    assert net_benefit(labels, proba, 0.25)[0] == pytest.approx(2 / 5 - 1 / 15, abs=EXACT_ARITHMETIC)
    curve = decision_curve(labels, proba, [0.0, 0.5])
    assert curve.model.tolist() == pytest.approx([3 / 5, 1 / 5])
    assert curve.call_all.tolist() == pytest.approx([3 / 5, 3 / 5 - 2 / 5])
    with pytest.raises(DataError, match="below 1"):
        net_benefit(labels, proba, [1.0])
