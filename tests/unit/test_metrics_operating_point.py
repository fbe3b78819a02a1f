from __future__ import annotations

import numpy as np
import pytest

from edgekd.config import ThresholdRule
from edgekd.errors import DataError
from edgekd.metrics.operating_point import (
    Confusion,
    call,
    confusion,
    fit_threshold,
    predictive_values,
)
from tolerances import EXACT_ARITHMETIC

Y = np.array([0, 0, 0, 1, 0, 1, 1, 0, 1, 1], bool)
S = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], float)
SENSITIVITY, SPECIFICITY, YOUDEN = ThresholdRule


@pytest.mark.parametrize(
    ("rule", "target", "threshold"),
    [
        (SENSITIVITY, 0.80, 5.5),
        (SENSITIVITY, 0.81, 3.5),
        (SENSITIVITY, 1.00, 3.5),
        (SENSITIVITY, 0.40, 8.5),
        (SPECIFICITY, 0.80, 5.5),
        (SPECIFICITY, 0.60, 3.5),
        (SPECIFICITY, 1.00, 8.5),
        (YOUDEN, 0.90, 3.5),  # 3.5 and 5.5 tie at 0.6: the more sensitive one
    ],
)
def test_the_threshold_lies_midway(rule: ThresholdRule, target: float, threshold: float) -> None:
    point = fit_threshold(Y, S, rule, target)
    assert point.threshold == threshold
    assert point.fitted_on == "validation"


def test_the_rule_is_written_with_its_target() -> None:
    assert fit_threshold(Y, S, SENSITIVITY, 0.9).rule == "sensitivity_at_least(0.9)"
    assert fit_threshold(Y, S, YOUDEN, 0.9, fitted_on="train").rule == "youden"


def test_without_a_lower_score_the_threshold_is_the_lowest() -> None:
    assert fit_threshold([1, 0, 1], [1.0, 2.0, 3.0], SENSITIVITY, 1.0).threshold == 1.0


def test_a_specificity_that_allows_no_call_calls_nothing() -> None:
    point = fit_threshold([1, 0], [1.0, 2.0], SPECIFICITY, 1.0)
    assert not call(np.array([1.0, 2.0]), point.threshold).any()


def test_neighbouring_floats_leave_no_middle() -> None:
    low = 1.0
    high = float(np.nextafter(low, 2))
    assert fit_threshold([0, 1], [low, high], SENSITIVITY, 1.0).threshold == high


def test_huge_scores_do_not_overflow() -> None:
    assert fit_threshold([0, 1], [1e308, 1.5e308], SENSITIVITY, 1.0).threshold == 1.25e308


@pytest.mark.parametrize("target", [0.0, 1.1, -1.0])
def test_an_impossible_target_is_refused(target: float) -> None:
    with pytest.raises(DataError, match="target"):
        fit_threshold(Y, S, SENSITIVITY, target)


def test_a_validation_set_without_malignant_images_is_refused() -> None:
    with pytest.raises(DataError, match="none of the 3 images is malignant"):
        fit_threshold([0, 0, 0], [1.0, 2.0, 3.0], SENSITIVITY, 0.9)


def test_confusion_counts() -> None:
    counts = confusion(Y, call(S, 5.5))
    assert counts == Confusion(true_positive=4, false_negative=1, true_negative=4, false_positive=1)
    with pytest.raises(DataError, match="one call per label"):
        confusion(Y, [True])


def test_a_score_on_the_threshold_is_called() -> None:
    assert call(np.array([0.9, 1.0]), 1.0).tolist() == [False, True]


def test_predictive_values_by_counting() -> None:
    # 1000 people, 50 ill, sensitivity .9, specificity .8: 45 of 235 called are ill, 760 of 765 others well.
    ppv, npv = predictive_values(0.9, 0.8, 0.05)
    assert ppv == pytest.approx(45 / 235, abs=EXACT_ARITHMETIC)
    assert npv == pytest.approx(760 / 765, abs=EXACT_ARITHMETIC)
    assert predictive_values(0.0, 1.0, 0.05)[0] is None
    assert predictive_values(1.0, 0.0, 0.05)[1] is None
