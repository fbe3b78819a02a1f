"""`BenchRecord`: one model file on one backend with one number of threads, and every circumstance."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import DataError, UsageError
from edgekd.metrics.evaluation import EvaluationRecord
from edgekd.plain import from_plain
from edgekd.runtimes.base import Engine
from edgekd_bench.round import Backend, Delegation, Device, Status, TensorFacts, file_part

SCHEMA = "edgekd.bench/1"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The file that was measured.

    `precision` is null for a file that edgekd did not export; `input` is empty when the file did not load.
    """

    name: str
    sha256: str
    size_bytes: int
    precision: str | None
    input: tuple[TensorFacts, ...]


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of one run of the network, over the `n` runs of all rounds after warm-up.

    `p50` … `p99` are nearest-rank percentiles, runs that happened. `first` is the run after loading, the
    median of the rounds; it is not among the `n`, and null where loading ran the network already.
    """

    min: float
    p50: float
    p90: float
    p95: float
    p99: float
    mean: float
    first: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class RoundLatency:
    """Milliseconds of one run in one round, a process of its own: nearest-rank percentiles of `n` runs."""

    p50: float
    p90: float
    n: int


@dataclass(frozen=True, kw_only=True)
class BenchRecord:
    """What was measured (schema edgekd.bench/1); everything from `engine` on may be null unless `ok`.

    `init_ms` is loading and allocating with a warm file cache, the median of the rounds;
    `peak_memory_bytes` the resident memory that loading and running added at its highest, the largest of
    the rounds; `timer_precision_ms` the smallest step of the clock. `noise` says why the latencies are not to
    be trusted (empty: quiet). `evaluation` is of the test split, run by this very engine at the threshold
    the file got on validation; null for a file without labelled images. `measured_at` is UTC, the beginning
    of the command: records that share it were measured in interleaved rounds. `rounds_ms` holds each round by
    itself, in the order of measuring; empty in records of earlier versions.

    `requested_accelerator` is a `Backend`, or `delegate:` and the name of a library with its options. What
    ran on a software GPU is `ok` with a `reason` and without any latency: it shows correctness only.
    """

    schema: str = SCHEMA
    model: ModelFacts
    requested_accelerator: str | Backend
    actual_accelerator: str | None
    device: Device
    versions: dict[str, str]
    threads: int
    rounds: int
    measured_at: str
    status: Status
    reason: str | None
    engine: Engine | None = None
    latency_ms: Latency | None = None
    rounds_ms: tuple[RoundLatency, ...] = ()
    init_ms: float | None = None
    peak_memory_bytes: int | None = None
    timer_precision_ms: float | None = None
    partitions: int | None = None
    delegation: Delegation | None = None
    noise: tuple[str, ...] = ()
    evaluation: EvaluationRecord | None = None

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"bench: schema is {self.schema!r}, expected {SCHEMA!r}")
        timed = self.latency_ms is not None
        if timed == (self.reason is not None) or (timed and self.status is not Status.OK):
            raise UsageError(
                f"bench: status {self.status} with latency {self.latency_ms}, reason {self.reason}"
            )


def file_name(record: BenchRecord) -> str:
    """Where a record lies: `<name>@<backend>-<threads>t.json`, e.g. int8@cpu-1t.json."""
    return f"{record.model.name}@{file_part(record.requested_accelerator)}-{record.threads}t.json"


def read_bench(path: Path) -> BenchRecord:
    """The record in the JSON file `path`.

    Raises:
        DataError: the file is missing or is not a benchmark record.
    """
    try:
        return from_plain(BenchRecord, json.loads(path.read_text(encoding="utf-8")), "bench")
    except (OSError, ValueError, UsageError) as error:
        raise DataError(f"{path}: no readable benchmark record ({error})") from error
