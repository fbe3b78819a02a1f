"""The station `bench`: every exported file on every backend and thread count.

    <bench>/<precision>@<backend>-<threads>t.json              the record (edgekd.bench/1)
    <bench>/<precision>@<backend>-<threads>t.predictions.csv   the test split, as this engine answered it

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

from edgekd.card import ModelCard, OperatingPoint, read_card
from edgekd.config import BenchConfig, Precision
from edgekd.console import log
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.errors import ModelError
from edgekd.metrics.evaluation import evaluate
from edgekd.metrics.predictions import read_predictions
from edgekd.plain import file_digest, parse_enum, write_json
from edgekd.runtimes.predict import attributes, groups
from edgekd_bench.device import describe_device
from edgekd_bench.measure import Job, Outcome, latency, measure, noise, round_latencies
from edgekd_bench.record import BenchRecord, ModelFacts, file_name
from edgekd_bench.round import Backend, Device, SplitRequest, Status

TFLITE, CARD = "model.tflite", "card.json"
_TOOLS = ("edgekd", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class _Verified:
    """What `verify` found out about a file."""

    card: ModelCard
    operating_point: OperatingPoint


def bench(
    *, dataset_folder: Path, exported: Path, verified: Path, config: BenchConfig, out: Path
) -> dict[str, float]:
    """Measure every file below `exported`; median latency of each and how many jobs did not run.

    A file that does not run is a result with a reason, not an error.

    Raises:
        UnknownNameError: a backend of `config` is not known.
        ModelError: there is no exported file, or one was not verified.
        DataError: the data set cannot be read.
    """
    backends = _backends(config)
    dataset = open_dataset(dataset_folder)
    files = {name: _open_verified(verified / name / CARD) for name in _exported(exported)}
    out.mkdir(parents=True, exist_ok=True)
    jobs = [
        Job(
            name=name,
            model=exported / name / TFLITE,
            backend=backend,
            threads=threads,
            test=_test_split(dataset, file.card, out / f"{name}@{backend}-{threads}t.predictions.csv"),
        )
        for name, file in files.items()
        for backend in backends
        for threads in config.threads
    ]
    records = [
        _with_evaluation(record, job, dataset, files[job.name])
        for record, job in zip(_records(jobs, config), jobs, strict=True)
    ]
    for record in records:
        write_json(out / file_name(record), record)
    return _metrics(records)


def bench_files(files: Mapping[str, Path], config: BenchConfig) -> list[BenchRecord]:
    """The records of any .tflite `files` by name, without an evaluation.

    Raises:
        UnknownNameError: a backend of `config` is not known.
        ModelError: a file is missing.
    """
    backends = _backends(config)
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


def _backends(config: BenchConfig) -> list[Backend]:
    return [parse_enum(Backend, name, "backend") for name in config.backends]


def _exported(folder: Path) -> list[str]:
    found = [precision.value for precision in Precision if (folder / precision / TFLITE).is_file()]
    if not found:
        raise ModelError(f"{folder}: no <precision>/{TFLITE} in it; run edgekd export first")
    return found


def _open_verified(path: Path) -> _Verified:
    card = read_card(path)
    if card.operating_point is None:
        raise ModelError(f"{path}: the card has no operating point; run edgekd verify first")
    return _Verified(card, card.operating_point)


def _test_split(dataset: Dataset, card: ModelCard, predictions: Path) -> SplitRequest:
    return SplitRequest(
        dataset=str(dataset.folder.resolve()),
        labels=card.labels,
        malignant=card.malignant,
        predictions=str(predictions.resolve()),
    )


def _records(jobs: Sequence[Job], config: BenchConfig) -> list[BenchRecord]:
    device, began = describe_device(), datetime.now(UTC).isoformat(timespec="seconds")
    outcomes = measure(jobs, config)
    records = [_record(job, found, device, began) for job, found in zip(jobs, outcomes, strict=True)]
    for record in records:
        log.info("%-12s %s", file_name(record).removesuffix(".json"), _summary(record))
    return records


def _record(job: Job, found: Outcome, device: Device, began: str) -> BenchRecord:
    rounds = found.rounds
    known = {precision.value for precision in Precision}
    record = BenchRecord(
        model=ModelFacts(
            name=job.name,
            sha256=file_digest(job.model),
            size_bytes=job.model.stat().st_size,
            precision=job.name if job.name in known else None,
            input=rounds[0].input if rounds else (),
        ),
        requested_accelerator=job.backend,
        actual_accelerator=rounds[0].engine.accelerator if rounds else None,
        device=device,
        versions={**{name: version(name) for name in _TOOLS}, "python": python_version()},
        threads=job.threads,
        rounds=len(rounds),
        measured_at=began,
        status=found.status,
        reason=found.reason,
        latency_ms=latency(rounds) if rounds else None,
    )
    return record if not rounds else _measured(record, job, found, device)


def _measured(record: BenchRecord, job: Job, found: Outcome, device: Device) -> BenchRecord:
    rounds, peaks = found.rounds, [part.peak_memory_bytes for part in found.rounds]
    return replace(
        record,
        engine=rounds[0].engine,
        rounds_ms=round_latencies(rounds),
        init_ms=median(part.init_ms for part in rounds),
        peak_memory_bytes=max((peak for peak in peaks if peak is not None), default=None),
        timer_precision_ms=max(part.timer_precision_ms for part in rounds),
        partitions=len(rounds[0].delegation.nodes_per_partition),
        delegation=rounds[0].delegation,
        noise=noise(rounds, threads=job.threads, cores=device.cores),
    )


def _with_evaluation(record: BenchRecord, job: Job, dataset: Dataset, file: _Verified) -> BenchRecord:
    if record.status is not Status.OK or job.test is None:
        return record
    evaluation = evaluate(
        read_predictions(Path(job.test.predictions), job.test.malignant),
        operating_point=file.operating_point,
        temperature=file.card.temperature,
        artefact=record.model.name,
        runtime="litert",
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
        return f"{record.status}: {record.reason}"
    noisy = f" (noisy: {'; '.join(record.noise)})" if record.noise else ""
    return f"p50 {record.latency_ms.p50:.2f} ms, p90 {record.latency_ms.p90:.2f} ms{noisy}"
