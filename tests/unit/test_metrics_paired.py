from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from edgekd.errors import DataError
from edgekd.metrics.paired import (
    Pairs,
    Verdict,
    auc_difference,
    compare_calls,
    images_needed,
    mcnemar,
    non_inferiority,
    paired_difference,
    pairs,
)
from tolerances import EXACT_ARITHMETIC


def counts(only_reference: int, only_candidate: int, n: int) -> Pairs:
    return Pairs(
        both=n - only_reference - only_candidate,
        only_reference=only_reference,
        only_candidate=only_candidate,
        neither=0,
    )


def test_tango_as_printed() -> None:
    # Bentur et al. 2009 (7 and 1 discordant of 21), as in Fagerland, Lydersen & Laake 2017, chapter 8.
    estimate = paired_difference(counts(7, 1, 21))
    assert estimate.value == pytest.approx(-0.286, abs=5e-4)
    assert (estimate.low, estimate.high) == (
        pytest.approx(-0.517, abs=5e-4),
        pytest.approx(-0.026, abs=5e-4),
    )


@pytest.mark.parametrize("case", [(7, 1, 21), (3, 1, 117), (0, 4, 60), (12, 30, 200), (1, 0, 5)])
def test_the_bounds_are_where_the_score_test_rejects(case: tuple[int, int, int]) -> None:
    """The restricted likelihood is maximised numerically, independently of Tango's quadratic."""
    lost, won, n = case
    estimate = paired_difference(counts(*case))
    for bound in (estimate.low, estimate.high):
        assert bound is not None

        def surprise(q: float, delta: float = bound) -> float:
            shares = [(won, q + delta), (lost, q), (n - won - lost, 1 - 2 * q - delta)]
            return -sum(k * math.log(max(share, 1e-300)) for k, share in shares if k)

        limits = (max(0.0, -bound), (1 - bound) / 2)
        q = float(minimize_scalar(surprise, bounds=limits, method="bounded", options={"xatol": 1e-12}).x)
        z = abs((won - lost) / n - bound) / math.sqrt((2 * q + bound * (1 - bound)) / n)
        # The search stops where the likelihood is flat to 1e-16, about 1e-8 from its top.
        assert z == pytest.approx(norm.ppf(0.975), abs=1e-5)


def test_without_discordant_images_the_bounds_are_known_in_closed_form() -> None:
    estimate = paired_difference(counts(0, 0, 50))
    z2 = norm.ppf(0.975) ** 2
    assert estimate.value == 0
    assert estimate.high == pytest.approx(z2 / (50 + z2), abs=EXACT_ARITHMETIC)
    assert estimate.low == pytest.approx(-z2 / (50 + z2), abs=EXACT_ARITHMETIC)


def test_everything_lost() -> None:
    estimate = paired_difference(counts(5, 0, 5))
    assert estimate.value == estimate.low == -1.0
    assert estimate.high is not None and -1 < estimate.high < 0


@pytest.mark.parametrize(
    ("lost", "won", "p"),
    [(7, 1, 0.0703125), (5, 0, 0.0625), (0, 0, 1.0), (3, 3, 1.0), (10, 2, 0.03857421875)],
)
def test_mcnemar_is_the_exact_binomial(lost: int, won: int, p: float) -> None:
    assert mcnemar(counts(lost, won, 40)) == pytest.approx(p, abs=EXACT_ARITHMETIC)


def test_non_inferiority_has_three_answers() -> None:
    assert non_inferiority(counts(0, 0, 133), margin=0.02).verdict is Verdict.PASSED
    assert non_inferiority(counts(0, 0, 132), margin=0.02).verdict is Verdict.UNDECIDED
    assert non_inferiority(counts(30, 2, 117), margin=0.02).verdict is Verdict.FAILED
    nothing = non_inferiority(counts(0, 0, 0), margin=0.02)
    assert nothing.verdict is Verdict.UNDECIDED and nothing.n_needed == 133 and nothing.lower is None


def test_a_one_sided_bound_is_the_two_sided_one_at_twice_the_error() -> None:
    one, two = non_inferiority(counts(7, 1, 21), margin=0.1), paired_difference(counts(7, 1, 21), 0.90)
    assert (one.lower, one.upper) == (two.low, two.high)


def test_the_number_needed_agrees_with_the_bound_it_plans() -> None:
    # Without discordance the bound passes from 133 on (test above): z²(1 − m)/m = 2.7055 · 49 = 132.6.
    assert images_needed(counts(0, 0, 40), margin=0.02) == 133
    assert non_inferiority(counts(0, 0, 40), margin=0.02).n_needed == 133


def test_the_number_needed_gives_the_power_it_promises() -> None:
    """Simulated at 5 % discordance without a true difference; 4 standard errors of 2,000 draws are 0.036."""
    n = images_needed(counts(25, 25, 1000), margin=0.05)
    draws = np.random.default_rng(0).multinomial(n, [0.025, 0.025, 0.95], size=2000)
    kinds, repeats = np.unique(draws[:, :2], axis=0, return_counts=True)
    passed = [
        non_inferiority(counts(int(lost), int(won), n), margin=0.05).verdict is Verdict.PASSED
        for lost, won in kinds
    ]
    # The formula is asymptotic and the counts are whole: it may be off by a few hundredths itself.
    assert 0.80 - 0.036 - 0.03 < np.average(passed, weights=repeats) < 0.80 + 0.036 + 0.06


def test_more_discordance_or_a_smaller_margin_needs_more_images() -> None:
    base = images_needed(counts(10, 10, 400), margin=0.02)
    assert images_needed(counts(20, 20, 400), margin=0.02) > base
    assert images_needed(counts(10, 10, 400), margin=0.01) > 2 * base


def test_a_comparison_keeps_the_classes_apart() -> None:
    labels = np.array([1, 1, 1, 1, 0, 0, 0], bool)
    reference = np.array([1, 1, 1, 0, 0, 0, 1], bool)
    candidate = np.array([1, 1, 0, 0, 0, 1, 0], bool)
    result = compare_calls(labels, reference, candidate, margin=0.1)
    assert result.sensitivity_pairs == Pairs(both=2, only_reference=1, only_candidate=0, neither=1)
    assert result.specificity_pairs == Pairs(both=1, only_reference=1, only_candidate=1, neither=0)
    assert result.sensitivity.value == -0.25
    assert result.specificity.value == 0.0
    assert result.non_inferiority.n == 4
    assert result.sensitivity_mcnemar_p == 1.0


def test_a_comparison_without_malignant_images_has_null_figures() -> None:
    result = compare_calls([0, 0], [True, False], [True, True], margin=0.1)
    assert result.sensitivity.value is None
    assert result.non_inferiority.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(("margin", "confidence"), [(0.0, 0.95), (1.0, 0.95), (0.02, 0.5), (0.02, 1.0)])
def test_impossible_margins_are_refused(margin: float, confidence: float) -> None:
    with pytest.raises(DataError, match="margin"):
        non_inferiority(counts(0, 0, 9), margin=margin, confidence=confidence)


def test_unequal_images_cannot_be_paired() -> None:
    with pytest.raises(DataError, match="same images"):
        compare_calls([0, 1], [True, False], [True], margin=0.1)
    assert pairs([], []).n == 0


def test_equal_scores_have_equal_aucs() -> None:
    generator = np.random.default_rng(4)
    labels, score = generator.random(50) < 0.5, generator.normal(size=50)
    same = auc_difference(labels, score, np.exp(score))
    assert (
        same.value == 0 and same.low == pytest.approx(0, abs=1e-7) and same.high == pytest.approx(0, abs=1e-7)
    )
    other = auc_difference(labels, score, score + labels)
    assert other.value is not None and other.value > 0
    assert other.low is not None and other.high is not None and other.low < other.value < other.high
