"""What a trained network is worth: predictions on both splits, and every figure on the test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd.config import VerifyConfig
from edgekd.data.dataset import Dataset
from edgekd.metrics.evaluation import EvaluationRecord
from edgekd.metrics.predictions import write_predictions
from edgekd.runtimes.base import Runtime
from edgekd.runtimes.evaluate import (
    VALIDATION_PREDICTIONS,
    Answers,
    answer_splits,
    evaluate_splits,
    write_results,
)
from edgekd.runtimes.keras import KerasRuntime
from edgekd.runtimes.predict import run


def evaluate_station(
    model: Any, *, dataset: Dataset, verify: VerifyConfig, out: Path, artefact: str
) -> dict[str, float]:
    """The figures of a Keras `model` (raw 0..255 RGB in, diagnosis logits out), also written below `out`.

    Threshold and temperature are fitted on validation; the test split is looked at once, after that.
    Writes validation_predictions.csv, predictions.csv (test) and evaluation.json (test). Of a data set whose
    test split is withheld (`edgekd.data.withhold`) the first alone, and no figures.

    Raises:
        ModelError: a logit is not finite.
        DataError: the validation split lacks a class.
    """
    runtime = KerasRuntime(model)
    return evaluate_runtime(runtime, dataset=dataset, verify=verify, out=out, artefact=artefact)


def evaluate_runtime(
    runtime: Runtime, *, dataset: Dataset, verify: VerifyConfig, out: Path, artefact: str
) -> dict[str, float]:
    """The figures of a Keras model, or of several as one, as `evaluate_station`, whose files it writes.

    Raises:
        ModelError: a logit is not finite.
        DataError: the validation split lacks a class.
    """
    if not len(dataset.test):
        said = run(
            runtime,
            dataset.validation,
            classes=dataset.classes,
            malignant=dataset.malignant,
            label=f"{artefact} on {dataset.validation.split}",
        )
        write_predictions(out / VALIDATION_PREDICTIONS, said)
        return {}
    answers = answer_splits(
        runtime, dataset, classes=dataset.classes, malignant=dataset.malignant, label=artefact
    )
    return evaluate_answers(answers, dataset=dataset, verify=verify, out=out, artefact=artefact)


def evaluate_answers(
    answers: Answers, *, dataset: Dataset, verify: VerifyConfig, out: Path, artefact: str
) -> dict[str, float]:
    """The figures of what a Keras model answered, as `evaluate_station`, whose files it writes.

    Raises:
        DataError: the validation split lacks a class.
    """
    record = evaluate_splits(answers, dataset, config=verify, artefact=artefact, runtime="keras")
    write_results(out, answers, record)
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
