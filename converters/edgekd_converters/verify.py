"""The station `verify`: every exported artefact, run by its engine, against the Keras student it came from.

    <verify>/<precision>/parity.json                  the outputs against the Keras twin's (edgekd.parity/1)
    <verify>/<precision>/validation_predictions.csv   what threshold and temperature were fitted on
    <verify>/<precision>/predictions.csv              the test split
    <verify>/<precision>/evaluation.json              its figures (edgekd.evaluation/1)
    <verify>/<precision>/verdict.json                 against the float student, paired (edgekd.verdict/1)
    <verify>/<precision>/card.json                    the file's card with operating point, temperature and
                                                      what photos can be judged

The file itself is not touched: a card that knows its operating point is embedded when the bundle is made.
The Keras side is read from the predictions the training stations left; nothing is computed twice, and no
TensorFlow is needed here. Of a file that cannot be run there is only the verdict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekd.card import ModelCard, read_card
from edgekd.config import Precision, VerifyConfig
from edgekd.console import log
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.errors import ModelError
from edgekd.imaging.quality_fit import fit_quality
from edgekd.metrics.evaluation import EvaluationRecord, read_evaluation
from edgekd.metrics.paired import Verdict
from edgekd.metrics.predictions import Predictions, read_predictions
from edgekd.photo_quality import PhotoQuality
from edgekd.plain import write_json, write_text
from edgekd.runtimes.base import Runtime
from edgekd.runtimes.evaluate import (
    EVALUATION,
    PREDICTIONS,
    VALIDATION_PREDICTIONS,
    Answers,
    answer_splits,
    evaluate_splits,
    write_results,
)
from edgekd.runtimes.predict import attributes
from edgekd.runtimes.second_view import Band, fit_band
from edgekd_converters.artefacts import MLPACKAGE, ROUTES, TFLITE, artefact_file
from edgekd_converters.artefacts import exported as found_in
from edgekd_converters.export import CARD
from edgekd_converters.verdict import VERDICT, Check, Finding, VerdictRecord, failed
from edgekd_converters.verdict_gate import artefact_digest
from edgekd_converters.verdict_judge import judge, refuse
from edgekd_converters.verdict_parity import ParityRecord, measure_parity
from edgekd_converters.verify_findings import (
    calibration_findings,
    card_findings,
    operating_point_findings,
    parity_findings,
)

PARITY = "parity.json"


@dataclass(frozen=True)
class _Twin:
    """What a training station left of its Keras model: predictions on both splits, and its threshold."""

    name: str
    validation: Predictions
    test: Predictions
    threshold: float


@dataclass(frozen=True)
class _Opened:
    """An artefact ready to run, the name of its engine, and the step of its output (0: float)."""

    runtime: Runtime
    engine: str
    step: float


@dataclass(frozen=True)
class _Job:
    """One artefact to be verified, and everything it is verified against."""

    precision: Precision
    artefact: Path
    dataset: Dataset
    twin: _Twin
    reference: _Twin
    config: VerifyConfig
    quality: PhotoQuality | None
    out: Path


def verify(
    *,
    dataset_folder: Path,
    student: Path,
    qat: Path | None,
    exported: Path,
    config: VerifyConfig,
    out: Path,
) -> dict[str, float]:
    """Verify every artefact below `exported`; how many `passed`, `failed` and stayed `undecided`, each AUC.

    The parity twin of int8 is the quantization-aware model of `qat`, of the others the float `student`,
    which is also the reference of every verdict. A failed verdict is a result, not an error, and so is a
    file that cannot be run: the records are written, and the caller decides.

    Raises:
        ModelError: there is no exported file, a card is missing, or int8 is there without `qat`.
        DataError: the predictions of a training station are missing or of other images, or the validation
            split lacks a class.
    """
    dataset = open_dataset(dataset_folder)
    reference = _open_twin(student, dataset)
    quantized = _open_twin(qat, dataset) if qat is not None else None
    quality = fit_quality(dataset.validation.images, dataset.validation.split)
    counts = dict.fromkeys(Verdict, 0)
    metrics: dict[str, float] = {}
    for precision in _exported(exported):
        twin = quantized if ROUTES[precision].trained else reference
        if twin is None:
            raise ModelError(
                f"{exported / precision}: {precision} is verified against the quantization-aware model, and "
                "the folder of the station qat was not given"
            )
        artefact = artefact_file(exported, precision)
        job = _Job(precision, artefact, dataset, twin, reference, config, quality, out / precision)
        evaluation, verdict = _verify(job)
        counts[verdict.verdict] += 1
        if evaluation is not None and evaluation.auc.value is not None:
            metrics[f"{precision}_auc"] = evaluation.auc.value
        _tell(precision, evaluation, verdict)
    return {verdict.value: float(count) for verdict, count in counts.items()} | metrics


def _exported(folder: Path) -> list[Precision]:
    found = found_in(folder)
    if not found:
        raise ModelError(f"{folder}: no <precision>/{TFLITE} or {MLPACKAGE} in it; run edgekd export first")
    return found


def _open_twin(folder: Path, dataset: Dataset) -> _Twin:
    return _Twin(
        name=folder.name,
        validation=read_predictions(folder / VALIDATION_PREDICTIONS, dataset.malignant),
        test=read_predictions(folder / PREDICTIONS, dataset.malignant),
        threshold=read_evaluation(folder / EVALUATION).operating_point.threshold,
    )


def _verify(job: _Job) -> tuple[EvaluationRecord | None, VerdictRecord]:
    """Verify one artefact and write its records."""
    card = read_card(job.artefact.parent / CARD)
    findings = (
        *card_findings(card, job.dataset),
        *calibration_findings(job.artefact.parent, job.precision, job.dataset),
    )
    job.out.mkdir(parents=True, exist_ok=True)
    try:
        opened, answers, band = _answer(job, card)
    except ModelError as error:
        verdict = _refuse(job, (*findings, failed(Check.RUNS, str(error))))
        write_json(job.out / VERDICT, verdict)
        return None, verdict
    evaluation = evaluate_splits(
        answers, job.dataset, config=job.config, artefact=job.precision, runtime=opened.engine
    )
    parity = _parity(job, answers, opened.step)
    findings += operating_point_findings(card, evaluation.operating_point) + parity_findings(parity)
    verdict = _judge(job, answers.test, evaluation, findings)
    write_results(job.out, answers, evaluation)
    write_json(job.out / PARITY, parity)
    write_json(job.out / VERDICT, verdict)
    write_text(job.out / CARD, _completed(card, evaluation, band, job).to_json())
    return evaluation, verdict


def _answer(job: _Job, card: ModelCard) -> tuple[_Opened, Answers, Band | None]:
    if sorted(card.labels) != sorted(job.dataset.classes):
        raise ModelError(
            f"{job.artefact}: its card has other labels than the data set: it cannot be judged on it"
        )
    opened = _OPEN[job.artefact.suffix](job.artefact)
    try:
        if opened.runtime.n_logits != len(card.labels):
            raise ModelError(
                f"{job.artefact}: {opened.runtime.n_logits} outputs and {len(card.labels)} labels in its card"
            )
        answers = answer_splits(
            opened.runtime,
            job.dataset,
            classes=card.labels,
            malignant=job.dataset.malignant,
            label=f"verify {job.precision}",
        )
        band = fit_band(
            opened.runtime,
            job.dataset.validation,
            answers.validation,
            label=f"verify {job.precision}",
        )
    finally:
        opened.runtime.close()
    return opened, answers, band


def _open_tflite(path: Path) -> _Opened:
    from edgekd.runtimes.litert import LitertRuntime
    from edgekd.runtimes.probe import probe

    probe(path)  # a file with NaN in it can crash the interpreter
    runtime = LitertRuntime(path)
    return _Opened(runtime, "litert", runtime.output_step)


def _open_coreml(path: Path) -> _Opened:
    from edgekd.runtimes.coreml import CoremlRuntime

    return _Opened(CoremlRuntime(path), "coreml", 0.0)


_OPEN: Mapping[str, Callable[[Path], _Opened]] = {
    Path(TFLITE).suffix: _open_tflite,
    Path(MLPACKAGE).suffix: _open_coreml,
}


def _parity(job: _Job, answers: Answers, output_step: float) -> ParityRecord:
    return measure_parity(
        answers.validation,
        job.twin.validation,
        precision=job.precision,
        twin_name=job.twin.name,
        twin_threshold=job.twin.threshold,
        output_step=output_step,
        config=job.config,
    )


def _judge(
    job: _Job, test: Predictions, evaluation: EvaluationRecord, findings: tuple[Finding, ...]
) -> VerdictRecord:
    return judge(
        test,
        job.reference.test,
        thresholds=(evaluation.operating_point.threshold, job.reference.threshold),
        precision=job.precision,
        reference_name=job.reference.name,
        split=job.dataset.test.split,
        config=job.config,
        findings=findings,
        attributes=attributes(job.dataset.test),
        artefact_sha256=artefact_digest(job.artefact),
    )


def _refuse(job: _Job, findings: tuple[Finding, ...]) -> VerdictRecord:
    return refuse(
        findings,
        precision=job.precision,
        reference_name=job.reference.name,
        split=job.dataset.test.split,
        config=job.config,
        artefact_sha256=artefact_digest(job.artefact),
    )


def _completed(card: ModelCard, evaluation: EvaluationRecord, band: Band | None, job: _Job) -> ModelCard:
    """`card` with threshold, `band` and temperature that suit the file's own validation predictions.

    And with the limits of photos, which are those of the validation pictures, whatever the file.
    """
    point = dataclasses.replace(
        evaluation.operating_point,
        borderline_halfwidth=band.halfwidth if band else None,
        borderline_rule=band.rule if band else None,
    )
    return dataclasses.replace(
        card,
        operating_point=point,
        temperature=evaluation.temperature,
        margin=job.config.margin,
        quality=job.quality,
    )


def _tell(precision: Precision, evaluation: EvaluationRecord | None, verdict: VerdictRecord) -> None:
    area = evaluation.auc.value if evaluation else None
    told = "undefined" if area is None else f"{area:.3f}"
    log.info("%-12s AUC %s, %s", precision, told, verdict.verdict)
    for finding in verdict.reasons:
        log.info("%-12s   %s: %s", "", finding.check, finding.message)
