"""The station `verify`: every exported file, run by LiteRT, against the Keras student it came from.

    <verify>/<precision>/parity.json                  the outputs against the Keras twin's (edgekd.parity/1)
    <verify>/<precision>/validation_predictions.csv   what threshold and temperature were fitted on
    <verify>/<precision>/predictions.csv              the test split
    <verify>/<precision>/evaluation.json              its figures (edgekd.evaluation/1)
    <verify>/<precision>/verdict.json                 against the float student, paired (edgekd.verdict/1)
    <verify>/<precision>/card.json                    the file's card with operating point and temperature

The file itself is not touched: a card that knows its operating point is embedded when the bundle is made.
The Keras side is read from the predictions the training stations left; nothing is computed twice, and no
TensorFlow is needed here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from edgekd.card import ModelCard, read_card
from edgekd.config import Precision, VerifyConfig
from edgekd.console import log
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.errors import ModelError
from edgekd.metrics.calibration import fit_temperature
from edgekd.metrics.evaluation import EvaluationRecord, evaluate, read_evaluation
from edgekd.metrics.operating_point import fit_threshold
from edgekd.metrics.paired import Verdict
from edgekd.metrics.predictions import Predictions, read_predictions, write_predictions
from edgekd.plain import write_json, write_text
from edgekd.runtimes.base import Engine
from edgekd.runtimes.litert import LitertRuntime
from edgekd.runtimes.predict import attributes, groups, run
from edgekd_converters.export import CARD, TFLITE
from edgekd_converters.verdict import VerdictRecord, judge, measure_parity

EVALUATION, PREDICTIONS = "evaluation.json", "predictions.csv"
VALIDATION_PREDICTIONS = "validation_predictions.csv"
PARITY, VERDICT = "parity.json", "verdict.json"


@dataclass(frozen=True)
class _Twin:
    """What a training station left of its Keras model: predictions on both splits, and its threshold."""

    name: str
    validation: Predictions
    test: Predictions
    threshold: float


@dataclass(frozen=True)
class _Outputs:
    """What a file answered on both splits, with what engine, and the step of its output."""

    validation: Predictions
    test: Predictions
    engine: Engine
    step: float


def verify(
    *,
    dataset_folder: Path,
    student: Path,
    qat: Path | None,
    exported: Path,
    config: VerifyConfig,
    out: Path,
) -> dict[str, float]:
    """Verify every file below `exported`; how many `passed`, `failed` and stayed `undecided`, and each AUC.

    The parity twin of int8 is the quantization-aware model of `qat`, of the others the float `student`,
    which is also the reference of every verdict. A failed verdict is a result, not an error: all records
    are written, and the caller decides.

    Raises:
        ModelError: there is no exported file, or one cannot be run.
        DataError: the predictions of a training station are missing or of other images.
    """
    dataset = open_dataset(dataset_folder)
    reference = _open_twin(student, dataset)
    quantized = _open_twin(qat, dataset) if qat is not None else None
    counts = dict.fromkeys(Verdict, 0)
    metrics: dict[str, float] = {}
    for precision in _exported(exported):
        twin = quantized if precision is Precision.INT8 else reference
        if twin is None:
            raise ModelError(
                f"{exported / precision}: int8 is verified against the quantization-aware model, and the "
                "folder of the station qat was not given"
            )
        evaluation, verdict = _verify_file(
            exported / precision,
            out / precision,
            dataset=dataset,
            precision=precision,
            twin=twin,
            reference=reference,
            config=config,
        )
        counts[verdict.verdict] += 1
        if evaluation.auc.value is not None:
            metrics[f"{precision}_auc"] = evaluation.auc.value
    return {verdict.value: float(count) for verdict, count in counts.items()} | metrics


def _exported(folder: Path) -> list[Precision]:
    found = [precision for precision in Precision if (folder / precision / TFLITE).is_file()]
    if not found:
        raise ModelError(f"{folder}: no <precision>/{TFLITE} in it; run edgekd export first")
    return found


def _open_twin(folder: Path, dataset: Dataset) -> _Twin:
    return _Twin(
        name=folder.name,
        validation=read_predictions(folder / VALIDATION_PREDICTIONS, dataset.malignant),
        test=read_predictions(folder / PREDICTIONS, dataset.malignant),
        threshold=read_evaluation(folder / EVALUATION).operating_point.threshold,
    )


def _verify_file(
    folder: Path,
    out: Path,
    *,
    dataset: Dataset,
    precision: Precision,
    twin: _Twin,
    reference: _Twin,
    config: VerifyConfig,
) -> tuple[EvaluationRecord, VerdictRecord]:
    card = read_card(folder / CARD)
    outputs = _run(folder / TFLITE, dataset, card)
    card = _fitted(card, outputs.validation, config)
    parity = measure_parity(
        outputs.validation,
        twin.validation,
        precision=precision,
        twin_name=twin.name,
        twin_threshold=twin.threshold,
        output_step=outputs.step,
        config=config,
    )
    evaluation = _evaluate(outputs, dataset, card)
    verdict = judge(
        outputs.test,
        reference.test,
        thresholds=(evaluation.operating_point.threshold, reference.threshold),
        precision=precision,
        reference_name=reference.name,
        split=dataset.test.split,
        parity_passed=parity.passed,
        config=config,
    )
    out.mkdir(parents=True, exist_ok=True)
    write_predictions(out / VALIDATION_PREDICTIONS, outputs.validation)
    write_predictions(out / PREDICTIONS, outputs.test)
    for name, record in ((PARITY, parity), (EVALUATION, evaluation), (VERDICT, verdict)):
        write_json(out / name, record)
    write_text(out / CARD, card.to_json())
    log.info("%-8s %s", precision, _summary(evaluation, verdict))
    return evaluation, verdict


def _run(path: Path, dataset: Dataset, card: ModelCard) -> _Outputs:
    runtime = LitertRuntime(path)
    try:
        validation, test = (
            run(
                runtime,
                samples,
                classes=card.labels,
                malignant=card.malignant,
                label=f"verify {card.precision} {samples.split}",
            )
            for samples in (dataset.validation, dataset.test)
        )
        return _Outputs(validation, test, runtime.engine, runtime.output_step)
    finally:
        runtime.close()


def _fitted(card: ModelCard, validation: Predictions, config: VerifyConfig) -> ModelCard:
    """`card` with the threshold and the temperature that suit the file's own validation predictions."""
    labels, score = validation.labels, validation.score
    return dataclasses.replace(
        card,
        operating_point=fit_threshold(labels, score, config.rule, config.target),
        temperature=fit_temperature(labels, score),
        margin=config.margin,
    )


def _evaluate(outputs: _Outputs, dataset: Dataset, card: ModelCard) -> EvaluationRecord:
    if card.operating_point is None:
        raise ModelError(f"card of {card.name}: no operating point")
    return evaluate(
        outputs.test,
        operating_point=card.operating_point,
        temperature=card.temperature,
        artefact=card.precision,
        runtime="litert",
        engine=outputs.engine,
        split=dataset.test.split,
        groups=groups(dataset.test),
        attributes=attributes(dataset.test),
    )


def _summary(evaluation: EvaluationRecord, verdict: VerdictRecord) -> str:
    parity = "" if verdict.parity_passed else ", parity failed"
    area = "undefined" if evaluation.auc.value is None else f"{evaluation.auc.value:.3f}"
    return f"AUC {area}, {verdict.verdict}{parity}"
