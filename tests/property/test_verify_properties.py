"""What must hold for any file, scores and calls: bytes, thresholds, verdicts."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgekd.config import Precision, ThresholdRule, VerifyConfig
from edgekd.metrics.calibration import fit_temperature
from edgekd.metrics.intervals import Estimate
from edgekd.metrics.operating_point import call, fit_threshold
from edgekd.metrics.predictions import Predictions
from edgekd.runtimes.litert import LitertRuntime
from edgekd_converters.verdict import Check, Outcome, VerdictRecord
from edgekd_converters.verdict_judge import judge
from edgekd_converters.verdict_parity import measure_parity
from tiny_tflite import average_pool
from tolerances import EXACT_ARITHMETIC

SEEDS = st.integers(0, 2**32 - 1)
STEPS = st.floats(1e-4, 10.0)


def answers(px: int, dtype: str, step: float, zero_point: int, images: np.ndarray) -> np.ndarray:
    """What the real interpreter makes of `images`: the means of their channels, quantized."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(average_pool(px=px, dtype=dtype, scale=step, zero_point=zero_point))
        runtime = LitertRuntime(path)
        found = runtime.logits(images)
        runtime.close()
    return found


@given(STEPS, st.integers(0, 255), SEEDS)
@settings(max_examples=25)
def test_a_byte_stands_for_its_place_on_the_grid(step: float, zero_point: int, seed: int) -> None:
    """One pixel: what goes in comes out, (byte − zero point) · step, for unsigned and signed files alike."""
    images = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (4, 1, 1, 3), np.uint8)
    expected = (images.reshape(4, 3).astype(np.float32) - np.float32(zero_point)) * np.float32(step)
    assert np.array_equal(answers(1, "uint8", step, zero_point, images), expected)
    assert np.array_equal(answers(1, "int8", step, zero_point - 128, images), expected)


@given(STEPS, st.integers(0, 255), SEEDS)
@settings(max_examples=25)
def test_an_answer_is_within_half_a_step_of_the_real_one(step: float, zero_point: int, seed: int) -> None:
    images = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (4, 4, 4, 3), np.uint8)
    real = (images.astype(np.float64).mean(axis=(1, 2)) - zero_point) * step
    found = answers(4, "uint8", step, zero_point, images).astype(np.float64)
    # Half a step, and float32's rounding of (byte − zero point) · step, at most 255 steps.
    assert np.abs(found - real).max() <= step * (0.5 + 255 * 2**-23)


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Labels of both classes and scores on a grid of quarters, so that they tie and shifts are exact."""
    n = draw(st.integers(4, 40))
    labels = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    assume(labels.any() and not labels.all())
    score = np.array(draw(st.lists(st.integers(-20, 20), min_size=n, max_size=n))) / 4
    return labels, score


RULES = st.sampled_from(ThresholdRule)
TARGETS = st.floats(0.05, 1.0)
INCREASING = {
    "cube": lambda x: x**3 + x,
    "exponential": lambda x: np.exp(x / 3),
    "logistic": lambda x: 1 / (1 + np.exp(-x / 2)),
    "stretched": lambda x: 40 * x - 7,
}


@given(scored(), RULES, TARGETS, st.sampled_from(sorted(INCREASING)))
def test_an_increasing_transform_moves_the_threshold_and_no_call(
    data: tuple[np.ndarray, np.ndarray], rule: ThresholdRule, target: float, name: str
) -> None:
    labels, score = data
    moved = INCREASING[name](score)
    assume(np.unique(moved).size == np.unique(score).size)
    before = fit_threshold(labels, score, rule, target).threshold
    after = fit_threshold(labels, moved, rule, target).threshold
    assert np.array_equal(call(moved, after), call(score, before))


@given(scored(), RULES, TARGETS, st.integers(-400, 400))
def test_a_constant_moves_the_threshold_by_itself(
    data: tuple[np.ndarray, np.ndarray], rule: ThresholdRule, target: float, quarters: int
) -> None:
    labels, score = data
    before = fit_threshold(labels, score, rule, target).threshold
    after = fit_threshold(labels, score + quarters / 4, rule, target).threshold
    # Exact on a grid of quarters, but for a threshold just above the highest score.
    assert math.isclose(after, before + quarters / 4, abs_tol=1e-12)


@given(scored(), st.floats(0.2, 5))
def test_the_temperature_takes_a_scale_back(data: tuple[np.ndarray, np.ndarray], factor: float) -> None:
    labels, score = data
    before, after = fit_temperature(labels, score), fit_temperature(labels, score * factor)
    assume(0.05 < before < 20 and 0.01 < after < 100)  # not at the ends of the search
    assert math.isclose(after, before * factor, rel_tol=1e-6)


CONFIG = VerifyConfig(margin=0.1)


def predictions(labels: np.ndarray, logits: np.ndarray) -> Predictions:
    return Predictions(
        image_ids=tuple(f"i{n}" for n in range(labels.size)),
        labels=labels,
        logits=logits.astype(np.float32),
        names=("mel", "nv", "bkl"),
        malignant=("mel",),
    )


@st.composite
def two_networks(draw: st.DrawFn) -> tuple[Predictions, Predictions]:
    """Two networks' predictions of the same images, alike or not."""
    random = np.random.Generator(np.random.PCG64(draw(SEEDS)))
    n, strength, departure = draw(st.integers(4, 60)), draw(st.floats(0, 4)), draw(st.floats(0, 3))
    labels = np.arange(n) % draw(st.integers(2, 4)) == 0
    first = random.normal(size=(n, 3))
    first[:, 0] += strength * labels
    return predictions(labels, first), predictions(labels, first + departure * random.normal(size=(n, 3)))


def verdict(candidate: Predictions, reference: Predictions, at: tuple[float, float]) -> VerdictRecord:
    return judge(
        candidate,
        reference,
        thresholds=at,
        precision=Precision.INT8,
        reference_name="distill",
        split="test",
        config=CONFIG,
    )


def opposite(one: Estimate, other: Estimate) -> bool:
    if one.value is None or other.value is None:
        return one.value is other.value
    assert one.low is not None and one.high is not None and other.low is not None and other.high is not None
    pairs = ((one.value, other.value), (one.low, other.high), (one.high, other.low))
    return all(abs(a + b) < 1e-7 for a, b in pairs)  # the root of a variance that may be 1e-16 instead of 0


@given(two_networks(), st.tuples(st.floats(-2, 2), st.floats(-2, 2)))
def test_exchanged_roles_negate_the_differences_and_swap_the_pairs(
    networks: tuple[Predictions, Predictions], thresholds: tuple[float, float]
) -> None:
    first, second = networks
    one, other = verdict(first, second, thresholds), verdict(second, first, thresholds[::-1])
    for name in ("sensitivity", "specificity"):
        assert opposite(getattr(one, f"{name}_difference"), getattr(other, f"{name}_difference"))
        assert getattr(one, f"{name}_mcnemar_p") == getattr(other, f"{name}_mcnemar_p")
        pairs, turned = getattr(one, f"{name}_pairs"), getattr(other, f"{name}_pairs")
        assert (
            dataclasses.replace(
                pairs, only_reference=pairs.only_candidate, only_candidate=pairs.only_reference
            )
            == turned
        )
    assert (one.auc_difference is None) is (other.auc_difference is None)
    if one.auc_difference is not None and other.auc_difference is not None:
        assert opposite(one.auc_difference, other.auc_difference)
    assert (one.decision_agreement, one.top_agreement) == (other.decision_agreement, other.top_agreement)
    swapped = {Outcome.LOST: Outcome.WON, Outcome.WON: Outcome.LOST}
    assert {
        (d.image_id, swapped[d.outcome], d.candidate_score, d.reference_score) for d in one.discordant
    } == {(d.image_id, d.outcome, d.reference_score, d.candidate_score) for d in other.discordant}


@given(two_networks(), st.tuples(st.floats(-2, 2), st.floats(-2, 2)))
def test_a_verdict_follows_from_its_reasons_and_its_lists_from_its_counts(
    networks: tuple[Predictions, Predictions], thresholds: tuple[float, float]
) -> None:
    found = verdict(*networks, thresholds)
    assert found.passed is {"passed": True, "failed": False, "undecided": None}[found.verdict]
    assert (found.verdict == "passed") is (found.reasons == ())
    if found.verdict == "passed":
        assert found.sensitivity_lower_bound is not None and found.sensitivity_lower_bound > -CONFIG.margin
        area = found.auc_difference
        assert area is not None and area.low is not None and area.low >= -CONFIG.margin
    lost = [d for d in found.discordant if d.malignant and d.outcome is Outcome.LOST]
    won = [d for d in found.discordant if d.malignant and d.outcome is Outcome.WON]
    pairs = found.sensitivity_pairs
    assert (len(lost), len(won)) == (pairs.only_reference, pairs.only_candidate)
    assert found.decision_agreement is not None and found.decision_agreement.value is not None
    assert abs(found.decision_agreement.value - (1 - len(found.discordant) / found.n)) < EXACT_ARITHMETIC


@given(two_networks())
def test_no_network_loses_against_itself(networks: tuple[Predictions, Predictions]) -> None:
    found = verdict(networks[0], networks[0], (0.3, 0.3))
    assert found.discordant == () and found.sensitivity_pairs.only_reference == 0
    assert Check.RANKING not in {finding.check for finding in found.reasons}
    assert found.verdict != "failed"


@given(two_networks(), st.floats(-3, 3), st.floats(0.1, 4))
def test_parity_tells_a_shift_from_a_gain(
    networks: tuple[Predictions, Predictions], shift: float, gain: float
) -> None:
    twin = networks[0]
    moved = dataclasses.replace(twin, logits=(gain * twin.logits + shift).astype(np.float32))
    found = measure_parity(
        moved,
        twin,
        precision=Precision.INT8,
        twin_name="qat",
        twin_threshold=0.0,
        output_step=0.0,
        config=VerifyConfig(),
    )
    assert found.gain is not None and math.isclose(found.gain, gain, rel_tol=1e-4)  # float32 logits
    if gain == 1:
        assert math.isclose(found.mean_difference_logits, shift, abs_tol=1e-5)
