from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edgekd.card import ModelCard, OperatingPoint, read_card
from edgekd.config import Precision, VerifyConfig
from edgekd.data.table import Split
from edgekd.errors import DataError, ModelError, UsageError
from edgekd.metrics.evaluation import evaluate, read_evaluation
from edgekd.metrics.paired import Verdict
from edgekd.metrics.predictions import Predictions, read_predictions, write_predictions
from edgekd.plain import file_digest, from_plain, write_json, write_text
from edgekd_converters.export import write_exported
from edgekd_converters.metadata import read_card as read_embedded_card
from edgekd_converters.verdict import Check, Finding, VerdictRecord, failed
from edgekd_converters.verdict_judge import judge
from edgekd_converters.verdict_parity import ParityRecord, measure_parity
from edgekd_converters.verify import verify
from tiny_dataset import CLASSES, COUNT, PX, prepare
from tiny_tflite import average_pool

CONFIG = VerifyConfig(margin=0.2, parity_images=20)


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
    Precision.INT16X8: 2,
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


def test_no_verdict_outweighs_failed_parity(twin):
    found = _judge(twin, twin, failed(Check.PARITY, "too far"))
    assert (found.verdict, found.passed, found.parity_passed) == (Verdict.FAILED, False, False)


@pytest.fixture
def prepared(tmp_path) -> Path:
    return prepare(tmp_path / "data")


def _exported(folder: Path, precision: Precision) -> Path:
    """A file whose "logits" are the channel means in steps of 1/16."""
    target = folder / precision
    target.mkdir(parents=True)
    (target / "model.tflite").write_bytes(average_pool(px=PX, scale=1 / 16, zero_point=128))
    write_exported(
        target / "model.tflite",
        ModelCard(name="m", precision=precision, input_px=PX, labels=CLASSES, malignant=("mel",)),
    )
    return target


def _trained(folder: Path, dataset: Path, bias: float) -> Path:
    """What a training station leaves: the same channel means, unrounded, plus `bias` on every logit."""
    from edgekd.data.dataset import open_dataset

    folder.mkdir()
    opened = open_dataset(dataset)
    for samples in (opened.validation, opened.test):
        means = samples.images.read(np.arange(len(samples))).mean(axis=(1, 2)) - 128
        predictions = Predictions(
            image_ids=tuple(row.image_id for row in samples.rows),
            labels=samples.malignant,
            logits=(means / 16 + bias).astype(np.float32),
            names=CLASSES,
            malignant=("mel",),
        )
        part = "validation_" if samples.split is Split.VALIDATION else ""
        write_predictions(folder / f"{part}predictions.csv", predictions)
    point = OperatingPoint(rule="sensitivity_at_least(0.9)", threshold=-2.5, fitted_on="validation")
    record = evaluate(
        predictions, operating_point=point, artefact="student", runtime="keras", engine={}, split="test"
    )
    write_json(folder / "evaluation.json", record)
    return folder


def test_the_station_writes_every_record(tmp_path, prepared):
    exported = _exported(tmp_path / "export", Precision.DYNAMIC).parent
    before = file_digest(exported / "dynamic" / "model.tflite")
    student = _trained(tmp_path / "distill", prepared, 0.0)
    out = tmp_path / "verify"
    found = verify(
        dataset_folder=prepared, student=student, qat=None, exported=exported, config=CONFIG, out=out
    )
    assert found["failed"] == 0 and found["passed"] + found["undecided"] == 1
    folder = out / "dynamic"
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.json",
        "evaluation.json",
        "parity.json",
        "predictions.csv",
        "validation_predictions.csv",
        "verdict.json",
    ]
    parity = from_plain(ParityRecord, json.loads((folder / "parity.json").read_text()))
    assert parity.passed and parity.twin == "distill" and parity.n_images == 20
    verdict = from_plain(VerdictRecord, json.loads((folder / "verdict.json").read_text()))
    assert (verdict.reference, verdict.candidate, verdict.n, verdict.n_positive) == (
        "distill",
        "dynamic",
        60,
        20,
    )
    threshold = read_card(folder / "card.json").operating_point.threshold
    called = [
        read_predictions(table, ("mel",)).score[::3] >= limit
        for table, limit in ((folder / "predictions.csv", threshold), (student / "predictions.csv", -2.5))
    ]
    assert threshold != -2.5
    assert verdict.sensitivity_difference.value == pytest.approx(called[0].mean() - called[1].mean())
    assert file_digest(exported / "dynamic" / "model.tflite") == before


def test_the_card_learns_the_operating_point_of_its_own_file(tmp_path, prepared):
    exported = _exported(tmp_path / "export", Precision.DYNAMIC).parent
    student = _trained(tmp_path / "distill", prepared, 0.0)
    out = tmp_path / "verify"
    verify(dataset_folder=prepared, student=student, qat=None, exported=exported, config=CONFIG, out=out)
    card = read_card(out / "dynamic" / "card.json")
    evaluation = read_evaluation(out / "dynamic" / "evaluation.json")
    assert card.operating_point == evaluation.operating_point
    assert card.margin == CONFIG.margin and card.temperature == evaluation.temperature != 1.0
    validation = read_predictions(out / "dynamic" / "validation_predictions.csv", ("mel",))
    called = validation.score >= card.operating_point.threshold
    assert called[validation.labels].mean() >= CONFIG.target
    assert read_embedded_card(exported / "dynamic" / "model.tflite").operating_point is None
    assert evaluation.artefact == "dynamic" and evaluation.runtime == "litert"
    assert evaluation.engine["kernels"] == "xnnpack"


def test_a_file_that_is_another_network_fails_but_keeps_its_records(tmp_path, prepared):
    exported = _exported(tmp_path / "export", Precision.INT8).parent
    student = _trained(tmp_path / "distill", prepared, 0.0)
    qat = _trained(tmp_path / "qat", prepared, 3.0)
    out = tmp_path / "verify"
    found = verify(
        dataset_folder=prepared, student=student, qat=qat, exported=exported, config=CONFIG, out=out
    )
    assert found["failed"] == 1.0
    parity = json.loads((out / "int8" / "parity.json").read_text())
    assert not parity["passed"] and parity["twin"] == "qat"
    assert json.loads((out / "int8" / "verdict.json").read_text())["passed"] is False


def test_what_is_missing_is_named(tmp_path, prepared):
    student = _trained(tmp_path / "distill", prepared, 0.0)
    options = {"dataset_folder": prepared, "config": CONFIG, "out": tmp_path / "verify"}
    with pytest.raises(ModelError, match="run edgekd export first"):
        verify(student=student, qat=None, exported=tmp_path / "nothing", **options)
    exported = _exported(tmp_path / "export", Precision.INT8).parent
    with pytest.raises(ModelError, match="folder of the station qat was not given"):
        verify(student=student, qat=None, exported=exported, **options)
    write_text(student / "predictions.csv", "image_id\n")
    with pytest.raises(DataError, match=r"predictions\.csv"):
        verify(student=student, qat=None, exported=exported, **options)
