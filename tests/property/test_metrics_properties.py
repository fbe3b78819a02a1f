"""What must hold for any labels and scores."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgekd.config import ThresholdRule
from edgekd.metrics.calibration import (
    brier_score_loss,
    calibration,
    expected_calibration_error,
    fit_temperature,
    probability,
)
from edgekd.metrics.decision_curve import net_benefit
from edgekd.metrics.intervals import auc_interval, wilson
from edgekd.metrics.operating_point import call, confusion, fit_threshold
from edgekd.metrics.paired import Pairs, auc_difference, mcnemar, non_inferiority, paired_difference
from edgekd.metrics.predictions import Predictions, read_predictions, write_predictions
from edgekd.metrics.ranking import (
    delong,
    roc_auc_score,
    roc_curve,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from tolerances import EXACT_ARITHMETIC

QUARTERS = st.integers(-8, 8).map(lambda n: n / 4)
SCORES = QUARTERS | st.floats(-50, 50)
FRACTIONS = st.floats(0.01, 1.0)


@st.composite
def labelled(
    draw: st.DrawFn, least: int = 1, values: st.SearchStrategy[float] = SCORES
) -> tuple[np.ndarray, np.ndarray]:
    """Labels with at least `least` of each class, and scores that often tie."""
    positives, negatives = draw(st.integers(least, 12)), draw(st.integers(least, 12))
    labels = np.array(draw(st.permutations([True] * positives + [False] * negatives)))
    return labels, np.array(draw(st.lists(values, min_size=labels.size, max_size=labels.size)))


@st.composite
def paired_counts(draw: st.DrawFn) -> Pairs:
    numbers = draw(st.lists(st.integers(0, 40), min_size=4, max_size=4).filter(any))
    return Pairs(both=numbers[0], only_reference=numbers[1], only_candidate=numbers[2], neither=numbers[3])


@given(labelled(), st.floats(0.25, 4), st.floats(-3, 3))
def test_ranking_knows_only_the_order(
    data: tuple[np.ndarray, np.ndarray], scale: float, shift: float
) -> None:
    labels, score = data
    moved = score * scale + shift
    assume(np.unique(moved).size == np.unique(score).size)  # rounding may merge two neighbouring floats
    assert roc_auc_score(labels, moved) == roc_auc_score(labels, score)
    assert roc_auc_score(labels, moved, max_fpr=0.3) == roc_auc_score(labels, score, max_fpr=0.3)
    assert sensitivity_at_specificity(labels, moved, 0.8) == sensitivity_at_specificity(labels, score, 0.8)


@given(labelled())
def test_reversing_the_scores_or_the_labels_mirrors_the_auc(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, score = data
    area = roc_auc_score(labels, score)
    assert abs(roc_auc_score(labels, -score) - (1 - area)) < EXACT_ARITHMETIC
    assert abs(roc_auc_score(~labels, score) - (1 - area)) < EXACT_ARITHMETIC


@given(labelled())
def test_the_area_under_the_points_is_the_auc(data: tuple[np.ndarray, np.ndarray]) -> None:
    fpr, tpr, thresholds = roc_curve(*data)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(thresholds) < 0).all() and (np.diff(fpr) >= 0).all() and (np.diff(tpr) >= 0).all()
    area = np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2)
    assert abs(area - roc_auc_score(*data)) < EXACT_ARITHMETIC


@given(labelled(least=2))
def test_delong_gives_the_auc_and_a_covariance(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, score = data
    areas, covariance = delong(labels, score, -score, score)
    assert abs(areas[0] - roc_auc_score(labels, score)) < EXACT_ARITHMETIC
    assert (np.linalg.eigvalsh(covariance) > -EXACT_ARITHMETIC).all()
    assert abs(covariance[0, 1] + covariance[0, 0]) < EXACT_ARITHMETIC
    assert abs(covariance[0, 2] - covariance[0, 0]) < EXACT_ARITHMETIC


@given(labelled(least=2), st.sampled_from([0.8, 0.95]))
def test_an_auc_interval_holds_the_auc(data: tuple[np.ndarray, np.ndarray], confidence: float) -> None:
    estimate = auc_interval(*data, confidence)
    assert estimate.value is not None and estimate.low is not None and estimate.high is not None
    assert 0 <= estimate.low <= estimate.value + EXACT_ARITHMETIC
    assert estimate.value - EXACT_ARITHMETIC <= estimate.high <= 1


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_holds_the_share_and_mirrors(hits: int, misses: int) -> None:
    assume(hits + misses)
    estimate, mirror = wilson(hits, hits + misses), wilson(misses, hits + misses)
    assert estimate.value is not None and estimate.low is not None and estimate.high is not None
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert mirror.high is not None and abs(mirror.high - (1 - estimate.low)) < EXACT_ARITHMETIC


@given(paired_counts())
def test_a_paired_difference_changes_sign_with_the_roles(counts: Pairs) -> None:
    swapped = Pairs(
        both=counts.both,
        only_reference=counts.only_candidate,
        only_candidate=counts.only_reference,
        neither=counts.neither,
    )
    one, other = paired_difference(counts), paired_difference(swapped)
    assert one.value is not None and one.low is not None and one.high is not None
    assert other.value is not None and other.low is not None and other.high is not None
    assert one.value == -other.value
    assert abs(one.low + other.high) < EXACT_ARITHMETIC
    assert -1 <= one.low <= one.value <= one.high <= 1
    assert one.low < one.high
    assert mcnemar(counts) == mcnemar(swapped)


@given(paired_counts(), st.floats(0.01, 0.5))
def test_a_verdict_follows_from_its_bounds(counts: Pairs, margin: float) -> None:
    answer = non_inferiority(counts, margin=margin)
    assert answer.lower is not None and answer.upper is not None
    assert (answer.verdict == "passed") is (answer.lower > -margin)
    assert (answer.verdict == "failed") is (answer.upper < -margin)
    assert answer.n_needed is not None and answer.n_needed > 0


@given(labelled(least=2), labelled(least=2))
def test_a_difference_of_aucs_changes_sign_with_the_roles(
    data: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> None:
    labels, score = data
    second = np.resize(other[1], score.shape)
    one, swapped = auc_difference(labels, score, second), auc_difference(labels, second, score)
    assert one.value is not None and swapped.value is not None
    assert one.low is not None and swapped.high is not None
    assert abs(one.value + swapped.value) < EXACT_ARITHMETIC
    assert abs(one.low + swapped.high) < 1e-7  # the root of a variance that may be 1e-16 instead of 0


@given(labelled(), FRACTIONS)
def test_the_fitted_sensitivity_holds_and_no_better_threshold_exists(
    data: tuple[np.ndarray, np.ndarray], target: float
) -> None:
    labels, score = data
    point = fit_threshold(labels, score, ThresholdRule.SENSITIVITY_AT_LEAST, target)
    counts = confusion(labels, call(score, point.threshold))
    assert counts.true_positive / labels.sum() >= target
    assert counts.true_negative / (~labels).sum() == specificity_at_sensitivity(labels, score, target)


@given(labelled(), FRACTIONS)
def test_the_fitted_specificity_holds_and_no_better_threshold_exists(
    data: tuple[np.ndarray, np.ndarray], target: float
) -> None:
    labels, score = data
    point = fit_threshold(labels, score, ThresholdRule.SPECIFICITY_AT_LEAST, target)
    counts = confusion(labels, call(score, point.threshold))
    assert counts.true_negative / (~labels).sum() >= target
    assert counts.true_positive / labels.sum() == sensitivity_at_specificity(labels, score, target)


@given(labelled())
def test_youden_is_the_best_sum(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, score = data
    fpr, tpr, _ = roc_curve(labels, score)
    threshold = fit_threshold(labels, score, ThresholdRule.YOUDEN, 0.9).threshold
    counts = confusion(labels, call(score, threshold))
    index = counts.true_positive / labels.sum() - counts.false_positive / (~labels).sum()
    assert abs(index - (tpr - fpr).max()) < EXACT_ARITHMETIC


@given(labelled(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(data: tuple[np.ndarray, np.ndarray], random: object) -> None:
    labels, score = data
    order = list(range(labels.size))
    random.shuffle(order)  # type: ignore[attr-defined]
    proba = probability(score)
    for metric in (brier_score_loss, expected_calibration_error):
        assert abs(metric(labels, proba) - metric(labels[order], proba[order])) < EXACT_ARITHMETIC
    rule = ThresholdRule.SENSITIVITY_AT_LEAST
    assert fit_threshold(labels, score, rule, 0.9) == fit_threshold(labels[order], score[order], rule, 0.9)


@given(labelled())
def test_calibration_errors_stay_in_their_range(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, score = data
    proba = probability(score)
    assert 0 <= expected_calibration_error(labels, proba) <= 1
    assert 0 <= brier_score_loss(labels, proba) <= 1
    assert expected_calibration_error(labels, np.full(labels.size, labels.mean())) < EXACT_ARITHMETIC


@given(labelled(), st.floats(0.01, 100))
def test_no_other_temperature_is_likelier(data: tuple[np.ndarray, np.ndarray], other: float) -> None:
    labels, score = data

    def surprise(temperature: float) -> float:
        return float(np.logaddexp(0, np.where(labels, -score, score) / temperature).sum())

    # The root is found to 1e-12 of 1/T, and |score| is at most 50 for 24 images: 1e-12 · 50 · 24.
    assert surprise(fit_temperature(labels, score)) <= surprise(other) * (1 + EXACT_ARITHMETIC) + 2e-9


@given(labelled(least=3, values=QUARTERS))
def test_the_calibration_slope_is_a_stationary_point(data: tuple[np.ndarray, np.ndarray]) -> None:
    """Recalibrated by their own slope and intercept, scores have slope 1 and intercept 0."""
    labels, score = data
    slope = calibration(labels, score).slope
    assume(slope is not None and abs(slope) > 1e-3)
    assert slope is not None
    offset = calibration(labels, score * slope).intercept
    again = calibration(labels, score * slope + (offset or 0.0))
    assert again.slope is not None and abs(again.slope - 1) < 1e-6
    assert again.intercept is not None and abs(again.intercept) < 1e-6


@given(labelled(), st.floats(0, 0.99))
def test_net_benefit_never_exceeds_the_prevalence(data: tuple[np.ndarray, np.ndarray], at: float) -> None:
    labels, score = data
    assert net_benefit(labels, probability(score), at)[0] <= labels.mean() + EXACT_ARITHMETIC


IDS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(IDS, min_size=1, max_size=6, unique=True), st.data())
def test_predictions_read_back_bit_for_bit(ids: list[str], data: st.DataObject) -> None:
    n = len(ids)
    logits = data.draw(
        arrays.arrays(np.float32, (n, 3), elements=st.floats(allow_nan=False, allow_infinity=False, width=32))
    )
    before = Predictions(
        image_ids=tuple(ids),
        labels=data.draw(arrays.arrays(np.bool_, (n,))),
        logits=logits,
        names=("mel", "nv", "a,b"),
        malignant=("mel",),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.csv"
        write_predictions(path, before)
        after = read_predictions(path, before.malignant)
        write_predictions(Path(folder) / "again.csv", after)
        assert path.read_bytes() == (Path(folder) / "again.csv").read_bytes()
    assert after.image_ids == before.image_ids
    assert after.names == before.names
    assert after.labels.tolist() == before.labels.tolist()
    assert after.logits.tobytes() == before.logits.tobytes()
    assert after.score.tobytes() == before.score.tobytes()
