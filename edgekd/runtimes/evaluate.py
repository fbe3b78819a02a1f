"""What a network is worth on a data set: threshold and temperature from validation, figures from test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekd.config import VerifyConfig
from edgekd.data.dataset import Dataset
from edgekd.metrics.calibration import fit_temperature
from edgekd.metrics.evaluation import EvaluationRecord, evaluate
from edgekd.metrics.operating_point import fit_threshold
from edgekd.metrics.predictions import Predictions, write_predictions
from edgekd.plain import write_json
from edgekd.runtimes.base import Engine, Runtime
from edgekd.runtimes.predict import attributes, groups, run

EVALUATION, PREDICTIONS = "evaluation.json", "predictions.csv"
VALIDATION_PREDICTIONS = "validation_predictions.csv"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a network answered on both splits, and with what engine."""

    validation: Predictions
    test: Predictions
    engine: Engine


def answer_splits(
    runtime: Runtime, dataset: Dataset, *, classes: tuple[str, ...], malignant: tuple[str, ...], label: str
) -> Answers:
    """The predictions of `runtime` on validation and test, its outputs named by `classes`.

    Raises:
        DataError: there is not one output per class.
        ModelError: the images do not fit the network, it failed on one, or an output is not finite.
    """
    validation, test = (
        run(runtime, samples, classes=classes, malignant=malignant, label=f"{label} on {samples.split}")
        for samples in (dataset.validation, dataset.test)
    )
    return Answers(validation=validation, test=test, engine=runtime.engine)


def evaluate_splits(
    answers: Answers, dataset: Dataset, *, config: VerifyConfig, artefact: str, runtime: str
) -> EvaluationRecord:
    """Every figure on the test split, at the threshold and temperature that suit the validation split.

    The test split is looked at once, after both were fitted.

    Raises:
        DataError: the validation split lacks a class.
    """
    labels, score = answers.validation.labels, answers.validation.score
    return evaluate(
        answers.test,
        operating_point=fit_threshold(labels, score, config.rule, config.target),
        temperature=fit_temperature(labels, score),
        artefact=artefact,
        runtime=runtime,
        engine=answers.engine,
        split=dataset.test.split,
        groups=groups(dataset.test),
        attributes=attributes(dataset.test),
    )


def write_results(folder: Path, answers: Answers, evaluation: EvaluationRecord) -> None:
    """Write validation_predictions.csv, predictions.csv (test) and evaluation.json into `folder`."""
    write_predictions(folder / VALIDATION_PREDICTIONS, answers.validation)
    write_predictions(folder / PREDICTIONS, answers.test)
    write_json(folder / EVALUATION, evaluation)
