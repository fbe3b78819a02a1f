"""What a trained network is worth: predictions on both splits, and every figure on the test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd.config import VerifyConfig
from edgekd.data.dataset import Dataset
from edgekd.metrics.calibration import fit_temperature
from edgekd.metrics.evaluation import EvaluationRecord, evaluate
from edgekd.metrics.operating_point import fit_threshold
from edgekd.metrics.predictions import write_predictions
from edgekd.plain import write_json
from edgekd.runtimes.keras import KerasRuntime
from edgekd.runtimes.predict import attributes, groups, run

EVALUATION, PREDICTIONS = "evaluation.json", "predictions.csv"
VALIDATION_PREDICTIONS = "validation_predictions.csv"


def evaluate_station(
    model: Any, *, dataset: Dataset, verify: VerifyConfig, out: Path, artefact: str
) -> dict[str, float]:
    """The figures of a Keras `model` (raw 0..255 RGB in, diagnosis logits out), also written below `out`.

    Threshold and temperature are fitted on validation; the test split is looked at once, after that.
    Writes validation_predictions.csv, predictions.csv (test) and evaluation.json (test).

    Raises:
        DataError: a logit is not finite, or a split lacks a class.
    """
    runtime = KerasRuntime(model)
    validation, test = (
        run(
            runtime,
            samples,
            classes=dataset.classes,
            malignant=dataset.malignant,
            label=f"{artefact} on {samples.split}",
        )
        for samples in (dataset.validation, dataset.test)
    )
    write_predictions(out / VALIDATION_PREDICTIONS, validation)
    write_predictions(out / PREDICTIONS, test)
    labels, score = validation.labels, validation.score
    record = evaluate(
        test,
        operating_point=fit_threshold(labels, score, verify.rule, verify.target),
        temperature=fit_temperature(labels, score),
        artefact=artefact,
        runtime="keras",
        engine=runtime.engine,
        split=dataset.test.split,
        groups=groups(dataset.test),
        attributes=attributes(dataset.test),
    )
    write_json(out / EVALUATION, record)
    return _metrics(record)


def _metrics(record: EvaluationRecord) -> dict[str, float]:
    """The headline of `record`; what is undefined for want of a class is left out."""
    found = {
        "test_auc": record.auc.value,
        "sensitivity": record.sensitivity.value,
        "specificity": record.specificity.value,
        "brier": record.brier,
        "ece": record.ece,
    }
    return {name: value for name, value in found.items() if value is not None}
