"""`BenchRecord`: one model file on one backend with one number of threads, and every circumstance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import DataError, UsageError
from edgekd.metrics.evaluation import EvaluationRecord
from edgekd.metrics.intervals import Estimate
from edgekd.plain import from_plain
from edgekd.runtimes.base import Engine
from edgekd_bench.round import (
    SUSTAINED_WINDOW_S,
    Backend,
    Delegation,
    Device,
    MemorySteps,
    Status,
    TensorFacts,
    Window,
    file_part,
)

SCHEMA = "edgekd.bench/1"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The file that was measured.

    `precision` is null for a file that edgekd did not export; `input` is empty when the file did not load,
    and where the engine does not tell.
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
class ToolLatency:
    """Milliseconds of one run, as a phone's benchmark tool timed them itself, with its own warm-up.

    It tells no single runs: `min` is that of all rounds, `p50`, `p95` and `first` the medians of what it
    said in each, `mean` that of all `n` runs. `p95` and `first` are null from builds that do not print them.
    """

    min: float
    p50: float
    p95: float | None
    mean: float
    first: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class RoundLatency:
    """Milliseconds of one run in one round, a process of its own: nearest-rank percentiles of `n` runs.

    `p90` is null from a tool that does not tell it.
    """

    p50: float
    p90: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Sustained:
    """Uninterrupted load in windows of `window_s` seconds.

    `last_to_first` is the p50 of the last window over that of the first: above 1, the device slowed down.
    """

    window_s: float
    windows: tuple[Window, ...]
    last_to_first: float


@dataclass(frozen=True, kw_only=True)
class EngineDifference:
    """This engine against the engine of the record `reference`: the same file, images and threshold.

    Differences are this − reference, paired. `discordant` of `n` images are called differently;
    `largest_score_change` is in log odds.
    """

    reference: str
    sensitivity: Estimate
    specificity: Estimate
    discordant: int
    n: int
    largest_score_change: float


@dataclass(frozen=True, kw_only=True)
class BenchRecord:
    """What was measured (schema edgekd.bench/1); everything from `engine` on may be null unless `ok`.

    `init_ms` is loading and allocating with a warm file cache, the median of the rounds;
    `peak_memory_bytes` the resident memory that loading and running added at its highest, the largest of
    the rounds, and `memory` what each step added (null where the engine is not opened in steps);
    `timer_precision_ms` the smallest step of the clock; `energy_per_run_mj` what the processor packages used
    for one run, idling and the work of others included (null where it may not be read). `noise` says why the
    latencies are not to be trusted (empty: quiet). `evaluation` is of the test split, run by this very engine
    at the threshold the file got on validation; null for a file without labelled images. `measured_at` is
    UTC, the beginning of the command: records that share it were measured in interleaved rounds. `rounds_ms`
    holds each round by itself, in the order of measuring; empty in records of earlier versions.

    `requested_accelerator` is a `Backend`, or `delegate:` and the name of a library with its options. What
    ran on a software GPU is `ok` with a `reason` and without any latency: it shows correctness only. Of a
    phone (`adb:SERIAL`) `device` is the phone, and `tool_ms` stands in place of `latency_ms`. `sustained` is
    null unless a sustained load was asked for, `against_reference` unless this file was evaluated on the
    backend `cpu` in the same command, too.

    `driver_share` proves that a software GPU worked: the share of the processor time in the timed runs that
    went to threads its driver started, the smallest of the rounds. Of hardware it is what the driver costs:
    there the adapter in `actual_accelerator` is the proof. Null on other backends, and where the system does
    not tell.
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
    tool_ms: ToolLatency | None = None
    rounds_ms: tuple[RoundLatency, ...] = ()
    init_ms: float | None = None
    peak_memory_bytes: int | None = None
    memory: MemorySteps | None = None
    energy_per_run_mj: float | None = None
    driver_share: float | None = None
    timer_precision_ms: float | None = None
    partitions: int | None = None
    delegation: Delegation | None = None
    noise: tuple[str, ...] = ()
    sustained: Sustained | None = None
    evaluation: EvaluationRecord | None = None
    against_reference: EngineDifference | None = None

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"bench: schema is {self.schema!r}, expected {SCHEMA!r}")
        timed = self.latency_ms is not None or self.tool_ms is not None
        if timed == (self.reason is not None) or (timed and self.status is not Status.OK):
            raise UsageError(
                f"bench: status {self.status} with latency {self.latency_ms}, reason {self.reason}"
            )

    @property
    def timed_ms(self) -> Latency | ToolLatency | None:
        """The latency, whoever timed it."""
        return self.latency_ms or self.tool_ms


def sustained(windows: Sequence[Window], window_s: float = SUSTAINED_WINDOW_S) -> Sustained | None:
    """A sustained load of these `windows`; None of none."""
    if not windows:
        return None
    drift = windows[-1].p50_ms / windows[0].p50_ms
    return Sustained(window_s=window_s, windows=tuple(windows), last_to_first=drift)


def figures(record: BenchRecord) -> str:
    """Median and tail in milliseconds, "1.25 (1.50)": p50 and p90; p95, and said so, of a phone's tool."""
    if record.latency_ms is not None:
        return f"{record.latency_ms.p50:.2f} ({record.latency_ms.p90:.2f})"
    if record.tool_ms is None:
        return "–"
    tail = record.tool_ms.p95
    return f"{record.tool_ms.p50:.2f}" + (f" (p95 {tail:.2f})" if tail is not None else "")


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
