"""The station `bench`: every exported file on every backend and thread count.

    <bench>/<precision>@<backend>-<threads>t.json              the record (edgekd.bench/1)
    <bench>/<precision>@<backend>-<threads>t.predictions.csv   the test split, as this engine answered it

The backend `keras` runs the float student, `distill`, and not the exported files. A phone (`adb:SERIAL`) is
measured by a tool that times and does not answer: its records hold no evaluation.

Sensitivity is measured by the engine that was timed, in the process that timed it, at the threshold `verify`
fitted on validation. It is never copied from `verify`: kernels of other thread counts, versions and
processors need not agree to the bit, and running the test split costs seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from statistics import median
from typing import Any

from edgekd.card import ModelCard, read_card
from edgekd.config import BenchConfig, Precision
from edgekd.console import log
from edgekd.data.dataset import open_dataset
from edgekd.errors import ModelError
from edgekd.metrics.evaluation import read_evaluation
from edgekd.plain import write_json
from edgekd_bench.asked import parse_backends, prepare
from edgekd_bench.backend_adb import phone_records
from edgekd_bench.device import describe_device
from edgekd_bench.measure import Job, Outcome, latency, measure, model_facts, noise, round_latencies
from edgekd_bench.record import BenchRecord, file_name, sustained
from edgekd_bench.round import (
    Backend,
    Device,
    MemorySteps,
    Round,
    SplitRequest,
    Status,
    kind_of,
    label_of,
    simulated,
)
from edgekd_bench.through import Labelled, Verified, opened, split_request, with_evaluations

TFLITE, CARD = "model.tflite", "card.json"
REFERENCE, KERAS, EVALUATION = "distill", "model.keras", "evaluation.json"
_TOOLS = ("edgekd", "ai-edge-litert", "numpy")


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
        MissingError: there is no such delegate library, no adb or no benchmark tool for phones.
        DeviceError: phones are asked for and none is ready.
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
            test=split_request(dataset, file.card, out, name=name, backend=backend, threads=threads),
        )
        for name, file in files.items()
        for backend in backends
        for threads in config.threads
        if (backend == Backend.KERAS) is (name == REFERENCE)
    ]
    records = with_evaluations(_records(jobs, config), jobs, dataset, files)
    for record in records:
        write_json(out / file_name(record), record)
    return _metrics(records)


def bench_files(
    files: Mapping[str, Path], config: BenchConfig, images: Labelled | None = None
) -> list[BenchRecord]:
    """The records of any model `files` by name (.tflite; for keras .keras or .h5), evaluated on `images`.

    Raises:
        UnknownNameError: a backend of `config` is not known.
        UsageError: a delegate is written wrongly, or two backends would share a file name.
        MissingError: there is no such delegate library, no adb or no benchmark tool for phones.
        DeviceError: phones are asked for and none is ready.
        ModelError: a file is missing.
    """
    backends = parse_backends(config.backends)
    for path in files.values():
        if not path.is_file():
            raise ModelError(f"{path}: no such model file")
    jobs = [
        Job(
            name=name,
            model=path,
            backend=backend,
            threads=threads,
            test=_asked_of(images, name, backend, threads),
        )
        for name, path in files.items()
        for backend in backends
        for threads in config.threads
    ]
    records = _records(jobs, config)
    return records if images is None else with_evaluations(records, jobs, images.dataset, images.files)


def _asked_of(images: Labelled | None, name: str, backend: str, threads: int) -> SplitRequest | None:
    if images is None:
        return None
    card = images.files[name].card
    return split_request(images.dataset, card, images.out, name=name, backend=backend, threads=threads)


def _exported(folder: Path) -> list[str]:
    found = [precision.value for precision in Precision if (folder / precision / TFLITE).is_file()]
    if not found:
        raise ModelError(f"{folder}: no <precision>/{TFLITE} in it; run edgekd export first")
    return found


def _open_verified(exported: Path, verified: Path, name: str) -> Verified:
    path = verified / name / CARD
    return opened(exported / name / TFLITE, read_card(path), path)


def _open_student(folder: Path, card: ModelCard) -> Verified:
    """The float student: its outputs mean what those of its files mean, its threshold is its own."""
    found = read_evaluation(folder / EVALUATION)
    return Verified(folder / KERAS, card, found.operating_point, found.temperature)


def _records(jobs: Sequence[Job], config: BenchConfig) -> list[BenchRecord]:
    """One record for each of `jobs`: those of this machine first, then those of the phones."""
    prepare({kind_of(job.backend) for job in jobs})
    began = datetime.now(UTC).isoformat(timespec="seconds")
    phones = [job for job in jobs if kind_of(job.backend) is Backend.ADB]
    here = [job for job in jobs if job not in phones]
    device = describe_device()
    found = dict(
        zip(here, (record_of(*one, device, began) for one in _measured_here(here, config)), strict=True)
    )
    if phones:
        found |= dict(zip(phones, phone_records(phones, config, began), strict=True))
    for job in jobs:
        log.info("%-12s %s", file_name(found[job]).removesuffix(".json"), _summary(found[job]))
    return [found[job] for job in jobs]


def _measured_here(jobs: Sequence[Job], config: BenchConfig) -> Iterator[tuple[Job, Outcome]]:
    return zip(jobs, measure(jobs, config), strict=True)


def record_of(job: Job, found: Outcome, device: Device, began: str) -> BenchRecord:
    """What `found` says of `job`; `device` is the machine at `began`, the beginning of the command."""
    rounds, accelerator = found.rounds, found.rounds[0].engine.accelerator if found.rounds else None
    software = simulated([accelerator])
    record = BenchRecord(
        model=model_facts(job, rounds[0].input if rounds else ()),
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
    shares = [part.driver_share for part in rounds if part.driver_share is not None]
    seen = replace(
        record,
        engine=rounds[0].engine,
        driver_share=min(shares, default=None),
        **_graph(rounds[0], kind_of(job.backend)),
    )
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
        memory=_memory(rounds),
        energy_per_run_mj=_energy_per_run(rounds),
        timer_precision_ms=max(part.timer_precision_ms for part in rounds),
        noise=noise(rounds, threads=job.threads, cores=device.cores),
        sustained=sustained(found.sustained),
    )


def _memory(rounds: Sequence[Round]) -> MemorySteps | None:
    """The largest of the rounds, each step by itself."""
    known = [part.memory for part in rounds if part.memory is not None]
    if not known:
        return None
    return MemorySteps(
        load=max(one.load for one in known),
        allocate=max(one.allocate for one in known),
        invoke=max(one.invoke for one in known),
    )


def _energy_per_run(rounds: Sequence[Round]) -> float | None:
    known = [part.energy_mj for part in rounds if part.energy_mj is not None]
    if len(known) < len(rounds):
        return None
    return sum(known) / sum(len(part.runs_ms) for part in rounds)


def _metrics(records: Sequence[BenchRecord]) -> dict[str, float]:
    found = {
        f"{file_name(record).removesuffix('.json')}_p50_ms": record.timed_ms.p50
        for record in records
        if record.timed_ms is not None
    }
    return {**found, "not_run": float(sum(record.status is not Status.OK for record in records))}


def _summary(record: BenchRecord) -> str:
    if record.timed_ms is None:
        return f"{record.status.value}: {record.reason}"
    noisy = f" (noisy: {'; '.join(record.noise)})" if record.noise else ""
    tail = f", p90 {record.latency_ms.p90:.2f} ms" if record.latency_ms else " by the tool's clock"
    return f"p50 {record.timed_ms.p50:.2f} ms{tail}{noisy}"
