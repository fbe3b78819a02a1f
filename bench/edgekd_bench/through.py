"""Sensitivity through an engine: the labelled split answered by the very engine that was timed.

It is never copied from `verify`: kernels of other thread counts, versions and processors need not agree to
the bit. Where the same file ran on the backend `cpu` in the same command, every other engine is held against
that one, image by image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekd.card import ModelCard, OperatingPoint
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.errors import DataError, ModelError
from edgekd.metrics.evaluation import evaluate
from edgekd.metrics.paired import paired_difference, pairs
from edgekd.metrics.predictions import Predictions, read_predictions
from edgekd.runtimes.predict import attributes, groups
from edgekd_bench.measure import Job
from edgekd_bench.record import BenchRecord, EngineDifference, file_name
from edgekd_bench.round import Backend, SplitRequest, Status, file_part, kind_of, label_of

_RUNTIMES = {Backend.TFLITE_RUNTIME: "tflite-runtime", Backend.KERAS: "keras"}
_REFERENCE = Backend.CPU


@dataclass(frozen=True)
class Verified:
    """A model file, and what is known of it since validation."""

    model: Path
    card: ModelCard
    operating_point: OperatingPoint
    temperature: float


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Labelled images for anybody's files: a prepared data set, cards by name, where predictions go."""

    dataset: Dataset
    files: Mapping[str, Verified]
    out: Path


def labelled(data: Path, files: Mapping[str, Path], cards: Mapping[str, ModelCard], out: Path) -> Labelled:
    """The test split of `data`, a run or a prepared data set, for `files` at the thresholds of `cards`.

    Raises:
        DataError: it cannot be read, or its images were prepared otherwise than a file takes them.
        ModelError: a card has no operating point.
    """
    dataset = open_dataset(data / "data" if (data / "experiment.json").is_file() else data)
    for name, card in cards.items():
        _require_its_pixels(dataset, card, name)
    verified = {name: opened(files[name], card, name) for name, card in cards.items()}
    out.mkdir(parents=True, exist_ok=True)
    return Labelled(dataset=dataset, files=verified, out=out)


def _require_its_pixels(dataset: Dataset, card: ModelCard, name: str) -> None:
    for what, prepared, taken in (
        ("size", f"{dataset.input_px} px", f"{card.input_px} px"),
        ("hair removal", dataset.hair.value, card.hair_removal),
    ):
        if prepared != taken:
            raise DataError(
                f"{dataset.folder}: the {what} of its images is {prepared} and {name} takes {taken}: prepare "
                "them again (edgekd data prepare) for this file"
            )


def opened(model: Path, card: ModelCard, where: object) -> Verified:
    """`model` with the operating point of its card; `where` names the card in the error.

    Raises:
        ModelError: the card has none.
    """
    if card.operating_point is None:
        raise ModelError(f"{where}: the card has no operating point; run edgekd verify first")
    return Verified(model, card, card.operating_point, card.temperature)


def split_request(
    dataset: Dataset, card: ModelCard, out: Path, *, name: str, backend: str, threads: int
) -> SplitRequest | None:
    """The test split for one job, its predictions in `out`; None for a phone, whose tool shows no output."""
    if kind_of(backend) is Backend.ADB:
        return None
    stem = f"{name}@{file_part(label_of(backend))}-{threads}t"
    return SplitRequest(
        dataset=str(dataset.folder.resolve()),
        labels=card.labels,
        malignant=card.malignant,
        predictions=str((out / f"{stem}.predictions.csv").resolve()),
    )


def with_evaluations(
    records: Sequence[BenchRecord], jobs: Sequence[Job], dataset: Dataset, files: Mapping[str, Verified]
) -> list[BenchRecord]:
    """`records` of `jobs` with the evaluation of each and its difference to the reference engine."""
    evaluated = [
        _with_evaluation(record, job, dataset, files[job.name])
        for record, job in zip(records, jobs, strict=True)
    ]
    return [_with_difference(number, evaluated, jobs) for number in range(len(jobs))]


def _with_evaluation(record: BenchRecord, job: Job, dataset: Dataset, file: Verified) -> BenchRecord:
    if record.status is not Status.OK or job.test is None:
        return record
    evaluation = evaluate(
        _said(job),
        operating_point=file.operating_point,
        temperature=file.temperature,
        artefact=record.model.name,
        runtime=_RUNTIMES.get(kind_of(job.backend), "litert"),
        engine=record.engine,
        split=dataset.test.split,
        groups=groups(dataset.test),
        attributes=attributes(dataset.test),
    )
    return replace(record, evaluation=evaluation)


def _with_difference(number: int, records: Sequence[BenchRecord], jobs: Sequence[Job]) -> BenchRecord:
    job, record = jobs[number], records[number]
    same = [
        (other.threads, place)
        for place, other in enumerate(jobs)
        if other.name == job.name and other.backend == _REFERENCE and records[place].evaluation is not None
    ]
    if not same or record.evaluation is None or (job.backend, job.threads) == (_REFERENCE, min(same)[0]):
        return record
    reference = min(same)[1]
    threshold = record.evaluation.operating_point.threshold
    return replace(
        record,
        against_reference=_difference(
            file_name(records[reference]).removesuffix(".json"), _said(jobs[reference]), _said(job), threshold
        ),
    )


def _difference(name: str, reference: Predictions, found: Predictions, threshold: float) -> EngineDifference:
    before, now, labels = reference.score >= threshold, found.score >= threshold, reference.labels
    return EngineDifference(
        reference=name,
        sensitivity=paired_difference(pairs(before[labels], now[labels])),
        specificity=paired_difference(pairs(~before[~labels], ~now[~labels])),
        discordant=int(np.sum(before != now)),
        n=len(labels),
        largest_score_change=float(np.max(np.abs(found.score - reference.score), initial=0.0)),
    )


def _said(job: Job) -> Predictions:
    if job.test is None:
        raise DataError(f"{job.name}: no split was asked for")
    return read_predictions(Path(job.test.predictions), job.test.malignant)
