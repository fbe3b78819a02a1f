"""The station `bench`: every exported file on every backend and thread count.

    <bench>/<precision>@<backend>-<threads>t.json              the record (edgekd.bench/1)
    <bench>/<precision>@<backend>-<threads>t.predictions.csv   the test split, as this engine answered it

The backend `keras` runs the float student, `distill`, and not the exported files.

Sensitivity is measured by the engine that was timed, in the process that timed it, at the threshold `verify`
fitted on validation. It is never copied from `verify`: kernels of other thread counts, versions and
processors need not agree to the bit, and running the test split costs seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from statistics import median
from typing import Any

from edgekd.card import ModelCard, OperatingPoint, read_card
from edgekd.config import BenchConfig, Precision
from edgekd.console import log
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.errors import ModelError
from edgekd.metrics.evaluation import evaluate, read_evaluation
from edgekd.metrics.predictions import read_predictions
from edgekd.plain import file_digest, write_json
from edgekd.runtimes.predict import attributes, groups
from edgekd_bench.asked import parse_backends, prepare
from edgekd_bench.device import describe_device
from edgekd_bench.measure import Job, Outcome, latency, measure, noise, round_latencies
from edgekd_bench.record import BenchRecord, ModelFacts, file_name
from edgekd_bench.round import (
    Backend,
    Device,
    Round,
    SplitRequest,
    Status,
    file_part,
    kind_of,
    label_of,
    simulated,
)

TFLITE, CARD = "model.tflite", "card.json"
REFERENCE, KERAS, EVALUATION = "distill", "model.keras", "evaluation.json"
_RUNTIMES = {Backend.TFLITE_RUNTIME: "tflite-runtime", Backend.KERAS: "keras"}
_TOOLS = ("edgekd", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class _Verified:
    """A model file, and what is known of it since validation."""

    model: Path
    card: ModelCard
    operating_point: OperatingPoint
    temperature: float


def bench(
    *,
    dataset_folder: Path,
    exported: Path,
    verified: Path,
    config: BenchConfig,
    out: Path,
    student: Path | None = None,
) -> dict[str, float]:
    """Measure every file below `exported`; median latency of each and how many jobs did not run.

    `student` is the folder of the float student, which the backend keras runs; the one beside `exported` when
    not given. A file that does not run is a result with a reason, not an error.

    Raises:
        UnknownNameError: a backend of `config` is not known.
        UsageError: a delegate is written wrongly, or two backends would share a file name.
        MissingError: there is no such delegate library.
        ModelError: there is no exported file, or one was not verified.
        DataError: the data set cannot be read, or keras is asked for and the student was not evaluated.
    """
    backends = parse_backends(config.backends)
    dataset = open_dataset(dataset_folder)
    files = {name: _open_verified(exported, verified, name) for name in _exported(exported)}
    if Backend.KERAS in backends:
        card = next(iter(files.values())).card
        files[REFERENCE] = _open_student(student or exported.parent / REFERENCE, card)
    out.mkdir(parents=True, exist_ok=True)
    jobs = [
        Job(
            name=name,
            model=file.model,
            backend=backend,
            threads=threads,
            test=_test_split(dataset, file.card, out / f"{_stem(name, backend, threads)}.predictions.csv"),
        )
        for name, file in files.items()
        for backend in backends
        for threads in config.threads
        if (backend == Backend.KERAS) is (name == REFERENCE)
    ]
    records = [
        _with_evaluation(record, job, dataset, files[job.name])
        for record, job in zip(_records(jobs, config), jobs, strict=True)
    ]
    for record in records:
        write_json(out / file_name(record), record)
    return _metrics(records)


def bench_files(files: Mapping[str, Path], config: BenchConfig) -> list[BenchRecord]:
    """The records of any model `files` by name (.tflite; for keras .keras or .h5), without an evaluation.

    Raises:
        UnknownNameError: a backend of `config` is not known.
        UsageError: a delegate is written wrongly, or two backends would share a file name.
        MissingError: there is no such delegate library.
        ModelError: a file is missing.
    """
    backends = parse_backends(config.backends)
    for path in files.values():
        if not path.is_file():
            raise ModelError(f"{path}: no such model file")
    jobs = [
        Job(name=name, model=path, backend=backend, threads=threads)
        for name, path in files.items()
        for backend in backends
        for threads in config.threads
    ]
    return _records(jobs, config)


def _stem(name: str, backend: str, threads: int) -> str:
    return f"{name}@{file_part(label_of(backend))}-{threads}t"


def _exported(folder: Path) -> list[str]:
    found = [precision.value for precision in Precision if (folder / precision / TFLITE).is_file()]
    if not found:
        raise ModelError(f"{folder}: no <precision>/{TFLITE} in it; run edgekd export first")
    return found


def _open_verified(exported: Path, verified: Path, name: str) -> _Verified:
    path = verified / name / CARD
    card = read_card(path)
    if card.operating_point is None:
        raise ModelError(f"{path}: the card has no operating point; run edgekd verify first")
    return _Verified(exported / name / TFLITE, card, card.operating_point, card.temperature)


def _open_student(folder: Path, card: ModelCard) -> _Verified:
    """The float student: its outputs mean what those of its files mean, its threshold is its own."""
    found = read_evaluation(folder / EVALUATION)
    return _Verified(folder / KERAS, card, found.operating_point, found.temperature)


def _test_split(dataset: Dataset, card: ModelCard, predictions: Path) -> SplitRequest:
    return SplitRequest(
        dataset=str(dataset.folder.resolve()),
        labels=card.labels,
        malignant=card.malignant,
        predictions=str(predictions.resolve()),
    )


def _records(jobs: Sequence[Job], config: BenchConfig) -> list[BenchRecord]:
    prepare({kind_of(job.backend) for job in jobs})
    device, began = describe_device(), datetime.now(UTC).isoformat(timespec="seconds")
    outcomes = measure(jobs, config)
    records = [_record(job, found, device, began) for job, found in zip(jobs, outcomes, strict=True)]
    for record in records:
        log.info("%-12s %s", file_name(record).removesuffix(".json"), _summary(record))
    return records


def _record(job: Job, found: Outcome, device: Device, began: str) -> BenchRecord:
    rounds, accelerator = found.rounds, found.rounds[0].engine.accelerator if found.rounds else None
    software = simulated([accelerator])
    known = {precision.value for precision in Precision}
    record = BenchRecord(
        model=ModelFacts(
            name=job.name,
            sha256=file_digest(job.model),
            size_bytes=job.model.stat().st_size,
            precision=job.name if job.name in known else None,
            input=rounds[0].input if rounds else (),
        ),
        requested_accelerator=label_of(job.backend),
        actual_accelerator=accelerator,
        device=device,
        versions=_versions() | (rounds[0].versions if rounds else {}),
        threads=job.threads,
        rounds=len(rounds),
        measured_at=began,
        status=found.status,
        reason=found.reason if software is None else f"ran on {software}: correctness only, no latency",
        latency_ms=latency(rounds) if rounds and software is None else None,
    )
    if not rounds:
        return record
    seen = replace(record, engine=rounds[0].engine, **_graph(rounds[0], kind_of(job.backend)))
    return seen if software is not None else _measured(seen, job, found, device)


def _versions() -> dict[str, str]:
    return {**{name: version(name) for name in _TOOLS}, "python": python_version()}


def _graph(first: Round, kind: Backend) -> dict[str, Any]:
    """How the graph was divided; a GPU that left something does not tell in how many pieces."""
    divided = first.delegation
    if divided is None or (kind is Backend.GPU and divided.left_out):
        return {"delegation": divided, "partitions": None}
    return {"delegation": divided, "partitions": len(divided.nodes_per_partition)}


def _measured(record: BenchRecord, job: Job, found: Outcome, device: Device) -> BenchRecord:
    rounds, peaks = found.rounds, [part.peak_memory_bytes for part in found.rounds]
    return replace(
        record,
        rounds_ms=round_latencies(rounds),
        init_ms=median(part.init_ms for part in rounds),
        peak_memory_bytes=max((peak for peak in peaks if peak is not None), default=None),
        timer_precision_ms=max(part.timer_precision_ms for part in rounds),
        noise=noise(rounds, threads=job.threads, cores=device.cores),
    )


def _with_evaluation(record: BenchRecord, job: Job, dataset: Dataset, file: _Verified) -> BenchRecord:
    if record.status is not Status.OK or job.test is None:
        return record
    evaluation = evaluate(
        read_predictions(Path(job.test.predictions), job.test.malignant),
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


def _metrics(records: Sequence[BenchRecord]) -> dict[str, float]:
    found = {
        f"{file_name(record).removesuffix('.json')}_p50_ms": record.latency_ms.p50
        for record in records
        if record.latency_ms is not None
    }
    return {**found, "not_run": float(sum(record.status is not Status.OK for record in records))}


def _summary(record: BenchRecord) -> str:
    if record.latency_ms is None:
        return f"{record.status.value}: {record.reason}"
    noisy = f" (noisy: {'; '.join(record.noise)})" if record.noise else ""
    return f"p50 {record.latency_ms.p50:.2f} ms, p90 {record.latency_ms.p90:.2f} ms{noisy}"
