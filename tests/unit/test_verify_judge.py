"""Parity and verdict on invented predictions: what passes, what fails, what is named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgekd.config import Precision
from edgekd.errors import UsageError
from edgekd.metrics.paired import Verdict
from edgekd.metrics.predictions import Predictions
from edgekd_converters.verdict import Check, Finding, VerdictRecord, failed
from edgekd_converters.verdict_judge import judge
from edgekd_converters.verdict_parity import ParityRecord, measure_parity
from pooled_line import CONFIG
from tiny_dataset import CLASSES, COUNT


def _predictions(logits: np.ndarray, ids: str = "i") -> Predictions:
    return Predictions(
        image_ids=tuple(f"{ids}{n}" for n in range(len(logits))),
        labels=np.arange(len(logits)) % 3 == 0,
        logits=logits.astype(np.float32),
        names=CLASSES,
        malignant=("mel",),
    )


@pytest.fixture
def twin() -> Predictions:
    rng = np.random.Generator(np.random.PCG64(3))
    logits = rng.normal(0, 1, (COUNT, 3))
    logits[:, 0] += 2.0 * (np.arange(COUNT) % 3 == 0)
    return _predictions(logits)


def _parity(candidate: Predictions, twin: Predictions, precision: Precision, step: float) -> ParityRecord:
    return measure_parity(
        candidate,
        twin,
        precision=precision,
        twin_name="distill",
        twin_threshold=0.0,
        output_step=step,
        config=CONFIG,
    )


def _step(twin: Predictions) -> float:
    return float(np.ptp(twin.logits[:20])) / 255


def test_parity_measures_what_it_says(twin):
    step = _step(twin)
    shifted = dataclasses.replace(twin, logits=twin.logits + np.float32(0.25))
    found = _parity(shifted, twin, Precision.INT8, 0.125)
    assert found.n_images == 20
    assert found.mean_difference_logits == pytest.approx(0.25, abs=1e-6)
    assert found.mean_absolute_difference_steps == pytest.approx(0.25 / step, rel=1e-5)
    assert found.max_absolute_difference_steps == pytest.approx(0.25 / step, rel=1e-5)
    assert (found.step_logits, found.output_step_logits) == (pytest.approx(step), 0.125)
    assert found.gain == pytest.approx(1.0, abs=1e-6)
    assert found.decision_agreement == 1.0  # a common shift of all logits moves no score
    lower = dataclasses.replace(twin, logits=twin.logits - np.float32(0.25))
    assert _parity(lower, twin, Precision.INT8, 0.125).mean_difference_logits < 0


def test_parity_tells_gain_and_noise(twin):
    doubled = dataclasses.replace(twin, logits=2 * twin.logits)
    found = _parity(doubled, twin, Precision.INT8, 1.0)
    assert not found.passed
    assert found.gain == pytest.approx(2.0, rel=1e-6)
    head = twin.logits[:20].astype(float)
    expected = 10 * np.log10(head.var(axis=0).sum() / (head**2).mean(axis=0).sum())
    assert found.signal_to_noise_db == pytest.approx(expected, rel=1e-6)


def test_a_coarse_output_is_no_excuse(twin):
    """A file whose own step is large must not be measured in it."""
    moved = dataclasses.replace(twin, logits=twin.logits + np.float32(3 * _step(twin)))
    assert not _parity(moved, twin, Precision.INT8, 10.0).passed


def test_outputs_are_matched_by_name(twin):
    order = [2, 0, 1]
    turned = dataclasses.replace(
        twin, logits=twin.logits[:, order], names=tuple(twin.names[n] for n in order)
    )
    assert _parity(turned, twin, Precision.FP32, 0.0).passed
    relabelled = dataclasses.replace(turned, logits=twin.logits)
    assert not _parity(relabelled, twin, Precision.FP32, 0.0).passed


def test_parity_counts_decisions_that_changed(twin):
    logits = twin.logits.copy()
    called = twin.score >= 0
    logits[:5, 0] += np.where(called[:5], -50, 50)
    found = _parity(dataclasses.replace(twin, logits=logits), twin, Precision.FP32, 0.0)
    assert found.decision_agreement == pytest.approx(15 / 20)
    assert not found.passed


@pytest.mark.parametrize(("difference", "passed"), [(0.049, True), (0.051, False)])
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.COREML_FP32])
def test_float32_files_have_a_limit_in_logits(twin, precision, difference, passed):
    logits = twin.logits.copy()
    logits[3, 1] += difference
    found = _parity(dataclasses.replace(twin, logits=logits), twin, precision, 0.0)
    assert (found.passed, found.step_logits) == (passed, None)


STEPS = {
    Precision.FP16: 0.5,
    Precision.DYNAMIC: 2,
    Precision.INT8: 2,
    Precision.INT8_PTQ: 6,
    Precision.INT8_MIXED: 6,
    Precision.INT16X8: 6,
    Precision.COREML_FP16: 0.5,
    Precision.COREML_INT8: 2,
    Precision.COREML_PAL4: 16,
}


@pytest.mark.parametrize("precision", STEPS)
@pytest.mark.parametrize(("factor", "passed"), [(0.95, True), (1.05, False)])
def test_rounded_files_have_a_limit_in_steps_of_the_twins_range(twin, precision, factor, passed):
    signs = np.where(np.arange(COUNT * 3).reshape(COUNT, 3) % 2, 1, -1)
    moved = twin.logits + factor * STEPS[precision] * _step(twin) * signs
    found = _parity(dataclasses.replace(twin, logits=moved.astype(np.float32)), twin, precision, 0.001)
    assert (found.passed, found.limit) == (passed, STEPS[precision])


def test_every_precision_has_a_limit():
    assert set(Precision) == {*STEPS, Precision.FP32, Precision.COREML_FP32}


def test_other_images_are_refused(twin):
    with pytest.raises(UsageError, match="other images"):
        _parity(_predictions(twin.logits, "other"), twin, Precision.INT8, 0.1)
    with pytest.raises(UsageError, match="other images"):
        _judge(_predictions(twin.logits, "other"), twin)


def _judge(candidate: Predictions, reference: Predictions, *findings: Finding) -> VerdictRecord:
    return judge(
        candidate,
        reference,
        thresholds=(0.0, 0.0),
        precision=Precision.INT8,
        reference_name="distill",
        split="test",
        config=CONFIG,
        findings=findings,
    )


def test_an_equal_candidate_passes(twin):
    found = _judge(twin, twin)
    assert (found.verdict, found.passed) == (Verdict.PASSED, True)
    assert found.sensitivity_difference.value == found.specificity_difference.value == 0
    assert found.auc_difference is not None and found.auc_difference.value == 0
    assert (found.n, found.n_positive, found.sensitivity_mcnemar_p) == (60, 20, 1.0)


def test_a_blind_candidate_fails(twin):
    logits = twin.logits.copy()
    logits[:, 0] -= 100
    found = _judge(dataclasses.replace(twin, logits=logits), twin)
    assert (found.verdict, found.passed) == (Verdict.FAILED, False)
    assert found.sensitivity_difference.value is not None and found.sensitivity_difference.value < -0.5
    assert found.sensitivity_mcnemar_p < 0.01


def test_too_few_positives_decide_nothing(twin):
    few = Predictions(
        image_ids=twin.image_ids[:7],
        labels=twin.labels[:7],
        logits=twin.logits[:7],
        names=CLASSES,
        malignant=("mel",),
    )
    found = _judge(few, few)
    assert (found.verdict, found.passed) == (Verdict.UNDECIDED, None)
    assert found.positives_needed is not None and found.positives_needed > 3


def _checks(record: VerdictRecord) -> dict[Check, Verdict]:
    return {finding.check: finding.verdict for finding in record.reasons}


def _labelled(twin: Predictions, labels: np.ndarray) -> Predictions:
    return dataclasses.replace(twin, labels=labels)


@pytest.mark.parametrize("malignant", [False, True])
def test_a_class_that_is_absent_is_never_a_pass(twin, malignant):
    one = _labelled(twin, np.full(COUNT, malignant))
    found = _judge(one, one)
    assert found.verdict is not Verdict.PASSED and found.passed is None
    assert _checks(found)[Check.REFERENCE] is Verdict.UNDECIDED
    message = next(finding.message for finding in found.reasons if finding.check is Check.REFERENCE)
    assert f"{60 * malignant} of 60 images are malignant" in message
    if not malignant:
        assert _checks(found)[Check.SENSITIVITY] is Verdict.UNDECIDED
        assert found.positives_needed == 11  # z²(1 − m)/m = 2.7055 · 4 = 10.8: without any discordance


def test_how_many_would_be_needed_is_said(twin):
    few = dataclasses.replace(
        twin, image_ids=twin.image_ids[:7], labels=twin.labels[:7], logits=twin.logits[:7]
    )
    message = next(f.message for f in _judge(few, few).reasons if f.check is Check.SENSITIVITY)
    assert "0 lost and 0 won of 3 malignant images" in message
    assert "about 11 malignant images would decide" in message


def test_to_equal_a_reference_that_finds_nothing_proves_nothing(twin):
    blind = _labelled(twin, np.random.Generator(np.random.PCG64(1)).permutation(twin.labels))
    found = _judge(blind, blind)
    assert found.verdict is Verdict.UNDECIDED
    assert list(_checks(found)) == [Check.REFERENCE]


def test_outputs_that_do_not_depend_on_the_image_fail(twin):
    flat = dataclasses.replace(twin, logits=np.zeros_like(twin.logits) + np.float32([1, 0, 0]))
    found = _judge(flat, twin)
    assert _checks(found)[Check.OUTPUTS] is Verdict.FAILED
    assert found.sensitivity_difference.value >= 0  # calling everything misses nothing
    assert {"scores hardly vary", "every image is called malignant"} <= {
        part for finding in found.reasons for part in finding.message.split(": ")
    }
    # Flat on both sides: parity would be perfect, and still nothing passes.
    assert _judge(flat, flat).verdict is Verdict.FAILED


def test_a_refitted_threshold_does_not_hide_a_lost_ranking(twin):
    """Every image but one is called, so no malignant one is lost: sensitivity alone is blind to it."""
    rng = np.random.Generator(np.random.PCG64(9))
    logits = rng.normal(0, 1, twin.logits.shape)
    worse = dataclasses.replace(twin, logits=logits.astype(np.float32))
    found = judge(
        worse,
        twin,
        thresholds=(float(np.sort(worse.score)[1]), 0.0),
        precision=Precision.INT8,
        reference_name="distill",
        split="test",
        config=dataclasses.replace(CONFIG, margin=0.1),
    )
    assert Check.SENSITIVITY not in _checks(found)
    assert _checks(found) == {Check.RANKING: Verdict.FAILED}


def test_a_ranking_that_may_be_lost_is_undecided(twin):
    """A little noise on few images: the interval of the change of AUC reaches below the margin."""
    noise = np.random.Generator(np.random.PCG64(9)).normal(0, 0.8, twin.logits.shape)
    worse = dataclasses.replace(twin, logits=(twin.logits + noise).astype(np.float32))
    found = judge(
        worse,
        twin,
        thresholds=(float(worse.score.min()), float(twin.score.min())),
        precision=Precision.INT8,
        reference_name="distill",
        split="test",
        config=dataclasses.replace(CONFIG, margin=0.1),
    )
    assert found.auc_difference.low < -found.margin < found.auc_difference.high
    assert _checks(found)[Check.RANKING] is Verdict.UNDECIDED
    assert found.passed is not True


def test_discordant_images_are_named_with_both_scores(twin):
    called = twin.score >= 0
    lost = int(np.flatnonzero(twin.labels & called)[2])
    won = int(np.flatnonzero(twin.labels & ~called)[0])
    cleared = int(np.flatnonzero(~twin.labels & called)[0])
    logits = twin.logits.copy()
    logits[[lost, cleared], 0] -= 50
    logits[won, 0] += 50
    other = dataclasses.replace(twin, logits=logits)
    found = _judge(other, twin)
    assert [(image.image_id, image.malignant, image.outcome) for image in found.discordant] == [
        (f"i{lost}", True, "lost"),
        (f"i{won}", True, "won"),
        (f"i{cleared}", False, "won"),
    ]
    for image, number in zip(found.discordant, (lost, won, cleared), strict=True):
        assert image.reference_score == twin.score[number]
        assert image.candidate_score == other.score[number]
    assert found.decision_agreement is not None and found.top_agreement is not None
    assert found.decision_agreement.value == 57 / 60
    same = (twin.logits.argmax(axis=1) == logits.argmax(axis=1)).mean()
    assert found.top_agreement.value == pytest.approx(same, abs=1e-12)


def test_the_worst_subgroup_is_named(twin):
    """Twelve malignant images of 60 in `poor` score low in the file only; `tiny` is worse, and too small."""
    malignant = np.flatnonzero(twin.labels)
    names = np.full(COUNT, "good", object)
    names[malignant[:12]], names[malignant[-3:]] = "poor", "tiny"
    logits = twin.logits.copy()
    logits[malignant, 0] += 50
    reference = dataclasses.replace(twin, logits=logits)
    damaged = logits.copy()
    damaged[malignant[:4], 0] -= 100
    damaged[malignant[-3:], 0] -= 100
    found = judge(
        dataclasses.replace(twin, logits=damaged),
        reference,
        thresholds=(0.0, 0.0),
        precision=Precision.INT8,
        reference_name="distill",
        split="test",
        config=CONFIG,
        attributes={"site": names.tolist(), "source": ["one"] * COUNT},
    )
    worst = found.worst_subgroup
    assert worst is not None
    assert (worst.attribute, worst.value, worst.n, worst.n_positive) == ("site", "poor", 12, 12)
    assert worst.sensitivity.value == pytest.approx(8 / 12)
    assert worst.sensitivity_difference.value == pytest.approx(-4 / 12)


def test_no_verdict_outweighs_failed_parity(twin):
    found = _judge(twin, twin, failed(Check.PARITY, "too far"))
    assert (found.verdict, found.passed, found.parity_passed) == (Verdict.FAILED, False, False)
