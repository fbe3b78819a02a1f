"""The stations teach, distill and qat, end to end on the smallest network that can be quantized."""

from __future__ import annotations

import dataclasses
import json
import logging

import numpy as np
import pytest

from edgekd.config import (
    DistillConfig,
    DistillMethod,
    FitConfig,
    Loss,
    ModelConfig,
    QatConfig,
    TeachConfig,
    ThresholdRule,
    VerifyConfig,
)
from edgekd.errors import ModelError, UsageError
from edgekd.metrics.evaluation import read_evaluation
from edgekd.metrics.operating_point import fit_threshold
from edgekd.metrics.predictions import read_predictions
from edgekd.plain import file_digest
from training_data import write_dataset

pytestmark = pytest.mark.tf

MODEL = ModelConfig(name="dsnet", width=0.1, weights="none")
FIT = FitConfig(epochs=2, batch_size=8, learning_rate=3e-3, average_decay=0.5)
VERIFY = VerifyConfig(rule=ThresholdRule.SENSITIVITY_AT_LEAST, target=0.8)
DISTILL = DistillConfig(model=MODEL, fit=FIT, variants=2)
RECORDS = {
    "evaluation.json",
    "metrics.jsonl",
    "predictions.csv",
    "timing.jsonl",
    "validation_predictions.csv",
}
SEED = 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


def run_teach(dataset, out, config=None):
    from edgekd.training.teach import teach

    out.mkdir(exist_ok=True)
    config = config or TeachConfig(model=MODEL, fit=FIT)
    return teach(dataset=dataset, config=config, verify=VERIFY, seed=SEED, out=out)


def run_distill(dataset, teacher, out, **changes):
    from edgekd.training.distill import distill

    out.mkdir(exist_ok=True)
    config = dataclasses.replace(DISTILL, **changes)
    return distill(dataset=dataset, teacher=teacher, config=config, verify=VERIFY, seed=SEED, out=out)


def run_qat(dataset, student, out):
    from edgekd.training.qat import qat

    out.mkdir(exist_ok=True)
    config = QatConfig(fit=FitConfig(epochs=1, batch_size=8, learning_rate=1e-4))
    return qat(dataset=dataset, student=student, config=config, verify=VERIFY, seed=SEED, out=out)


@pytest.fixture(scope="module")
def taught(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("teach")
    return out, run_teach(dataset, out)


@pytest.fixture(scope="module")
def student(dataset, taught, tmp_path_factory):
    out = tmp_path_factory.mktemp("distill")
    return out, run_distill(dataset, taught[0], out)


def names(out):
    return {path.name for path in out.iterdir()}


def digests(out):
    return {
        path.relative_to(out).as_posix(): file_digest(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "timing.jsonl"
    }


def test_teach_leaves_its_outputs_and_no_checkpoint(taught):
    out, metrics = taught
    assert names(out) == RECORDS | {"model.keras"}
    expected = {"validation_auc", "kept_epoch", "parameters", "test_auc", "sensitivity", "specificity"}
    assert expected <= set(metrics)


def test_the_same_seed_gives_the_same_bytes(dataset, taught, tmp_path):
    run_teach(dataset, tmp_path)
    assert digests(tmp_path) == digests(taught[0])


def test_the_threshold_is_fitted_on_validation_and_the_figures_are_the_tests(dataset, taught):
    out, metrics = taught
    validation = read_predictions(out / "validation_predictions.csv", dataset.malignant)
    test = read_predictions(out / "predictions.csv", dataset.malignant)
    assert validation.image_ids == tuple(row.image_id for row in dataset.validation.rows)
    assert test.image_ids == tuple(row.image_id for row in dataset.test.rows)
    record = read_evaluation(out / "evaluation.json")
    point = fit_threshold(validation.labels, validation.score, VERIFY.rule, VERIFY.target)
    assert record.operating_point == point
    called = test.score >= point.threshold
    assert record.sensitivity.value == pytest.approx(called[test.labels].mean())
    assert record.specificity.value == pytest.approx((~called[~test.labels]).mean())
    assert metrics["test_auc"] == record.auc.value
    assert record.split == "test"


def test_distill_stores_the_teachers_answers(student):
    out, _ = student
    assert names(out) == RECORDS | {"model.keras", "teacher_cache"}
    losses = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])["losses"]
    mixed = 0.3 * losses["supervised"] + 0.7 * losses["distillation"]
    assert losses["loss"] == pytest.approx(mixed, rel=1e-5)


def test_a_killed_distillation_goes_on_exactly(dataset, taught, student, tmp_path, monkeypatch):
    from edgekd.training import teacher_cache

    asked = teacher_cache.TeacherCache.logits
    calls = iter(range(8))

    def killed(self, batch):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return asked(self, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(teacher_cache.TeacherCache, "logits", killed)
        run_distill(dataset, taught[0], tmp_path)
    assert "checkpoint" in names(tmp_path)
    run_distill(dataset, taught[0], tmp_path)
    assert digests(tmp_path) == digests(student[0])


def test_the_undistilled_twin_differs_by_the_teacher_alone(dataset, taught, tmp_path):
    """A student that gives the teacher no weight is the twin, byte for byte: same weights, draws, pixels."""
    run_distill(dataset, taught[0], tmp_path / "deaf", teacher_weight=0.0)
    run_distill(dataset, None, tmp_path / "twin", method=DistillMethod.NONE)
    assert names(tmp_path / "twin") == RECORDS | {"model.keras"}
    assert file_digest(tmp_path / "deaf" / "model.keras") == file_digest(tmp_path / "twin" / "model.keras")


@pytest.mark.parametrize("method", ["dkd", "dist", "focal_kl"])
def test_every_other_method_trains(dataset, taught, tmp_path, method):
    loss = Loss.FOCAL if method == "focal_kl" else Loss.LOGIT_ADJUSTED
    fit = dataclasses.replace(FIT, epochs=1)
    metrics = run_distill(dataset, taught[0], tmp_path, method=DistillMethod(method), loss=loss, fit=fit)
    assert np.isfinite(metrics["validation_auc"])


def test_contradictions_are_refused(dataset, taught, tmp_path):
    with pytest.raises(UsageError, match=r"set distill\.loss=focal"):
        run_distill(dataset, taught[0], tmp_path, method=DistillMethod.FOCAL_KL)
    with pytest.raises(UsageError, match="needs a teacher"):
        run_distill(dataset, None, tmp_path)
    with pytest.raises(ModelError, match=r"holds no \.keras file"):
        run_distill(dataset, tmp_path, tmp_path)
    two = write_dataset(tmp_path / "data", classes=("mel", "nv"))
    with pytest.raises(UsageError, match="dkd needs three or more classes, got 2"):
        run_distill(two, taught[0], tmp_path, method=DistillMethod.DKD)
    with pytest.raises(ModelError, match="3 logits at 32 px, expected 2"):
        run_distill(two, taught[0], tmp_path)


def test_qat_keeps_the_student_and_loads_again(dataset, student, tmp_path, caplog):
    from edgekd.models.quantize import load_quantized
    from edgekd.runtimes.keras import KerasRuntime

    with caplog.at_level(logging.INFO, logger="edgekd"):
        run_qat(dataset, student[0], tmp_path / "first")
    assert names(tmp_path / "first") == RECORDS | {"model.h5"}
    rounded = read_predictions(tmp_path / "first" / "predictions.csv", dataset.malignant)
    exact = read_predictions(student[0] / "predictions.csv", dataset.malignant)
    assert np.corrcoef(rounded.score, exact.score)[0, 1] > 0.9
    loaded = KerasRuntime(load_quantized(tmp_path / "first" / "model.h5"))
    images = dataset.test.images.read(np.arange(len(dataset.test)))
    np.testing.assert_array_equal(loaded.logits(images), rounded.logits)
    run_qat(dataset, student[0], tmp_path / "second")
    assert digests(tmp_path / "first") == digests(tmp_path / "second")
