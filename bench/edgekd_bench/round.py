"""What a worker process is asked for and what it answers: one round of one job.

Nothing here imports more than the engine needs, so that a worker holds nothing else.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgekd.runtimes.base import Engine


class Backend(enum.StrEnum):
    """What can be asked to run a file."""

    CPU = "cpu"


class Status(enum.StrEnum):
    """`ok`: measured; `unavailable`: the backend is not on this machine; `failed`: the file did not run."""

    OK = "ok"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """Shape and dtype of an input."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Delegation:
    """How the graph was divided: `nodes` in the file, those in each piece a delegate runs, and the rest.

    `left_out` counts the operators that no delegate took.
    """

    nodes: int
    nodes_per_partition: tuple[int, ...]
    left_out: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class SplitRequest:
    """What to predict after the timing: the test split of a prepared data set, and where to write it."""

    dataset: str
    labels: tuple[str, ...]
    malignant: tuple[str, ...]
    predictions: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One round: at least `min_runs` runs and `min_seconds` seconds after warm-up."""

    model: str
    backend: Backend
    threads: int
    min_runs: int
    min_seconds: float
    test: SplitRequest | None = None


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one process measured; `pressure` is the share of time in which tasks waited for a processor."""

    engine: Engine
    input: tuple[TensorFacts, ...]
    init_ms: float
    first_ms: float
    runs_ms: tuple[float, ...]
    steady: bool
    pressure: float | None
    peak_memory_bytes: int | None
    timer_precision_ms: float
    delegation: Delegation


@dataclass(frozen=True, kw_only=True)
class Device:
    """The machine when the measurement began; null where the system does not tell.

    `cores` are those this process may use; `load_average_1min` counts running and waiting tasks.
    """

    cpu: str
    isa: str
    cores: int
    os: str
    governor: str | None
    frequency_mhz: float | None
    load_average_1min: float | None
