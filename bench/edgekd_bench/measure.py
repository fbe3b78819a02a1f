"""Rounds of fresh processes over every model and thread count, merged into one result per job."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edgekd.config import BenchConfig, Precision
from edgekd.console import duration, log, progress
from edgekd.errors import MissingError
from edgekd.plain import file_digest, from_plain, write_json
from edgekd.runtimes.vulkan import driver_environment
from edgekd_bench.arm64 import emulated_environment, emulated_python
from edgekd_bench.record import Latency, ModelFacts, RoundLatency
from edgekd_bench.round import (
    SUSTAINED_WINDOW_S,
    Backend,
    Request,
    Round,
    SplitRequest,
    Status,
    TensorFacts,
    Window,
    kind_of,
    simulated,
)

WORKER_TIMEOUT_S = 900.0
ROUNDS_APART, PRESSURE, TAIL = 0.10, 0.05, 1.5
PASSING = 0.1
"""The share of the rounds that may be disturbed before the machine counts as noisy."""
WORKER = ("-m", "edgekd_bench.worker")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One model file on one backend with one number of threads; `test` is predicted once, in round one.

    `backend` stands as it was asked for, `delegate:PATH` with its path.
    """

    name: str
    model: Path
    backend: str
    threads: int
    test: SplitRequest | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The rounds of a job, or why there are none; `sustained` where a sustained load was asked for."""

    status: Status
    reason: str | None
    rounds: tuple[Round, ...]
    sustained: tuple[Window, ...] = ()


def model_facts(job: Job, inputs: tuple[TensorFacts, ...]) -> ModelFacts:
    """The file of `job`."""
    return ModelFacts(
        name=job.name,
        sha256=file_digest(job.model),
        size_bytes=job.model.stat().st_size,
        precision=job.name if job.name in {precision.value for precision in Precision} else None,
        input=inputs,
    )


def measure(jobs: Sequence[Job], config: BenchConfig, *, worker: Sequence[str] = WORKER) -> list[Outcome]:
    """The outcome of each job, in the order of `jobs`.

    A round goes through all jobs, every other round backwards, so that a machine that grows warm or busy
    grows so for all of them. A job that failed once is not tried again, and failed it stays. A sustained load
    comes last, one job after the other, so that its warmth is in no round. `worker` is what Python runs in
    every process, with the file of the request as its argument.
    """
    found: list[list[Round]] = [[] for _ in jobs]
    broken: dict[int, tuple[Status, str]] = {}
    sustained: dict[int, tuple[Window, ...]] = {}
    with progress("bench", len(jobs) * config.rounds, "rounds") as advance:
        for turn in range(config.rounds):
            for number in _order(len(jobs), turn):
                if number not in broken:
                    answer = _round(jobs[number], config, worker, with_test=turn == 0)
                    if isinstance(answer, Round):
                        found[number].append(answer)
                    else:
                        broken[number] = answer
                advance(1, jobs[number].name)
    for number, job in enumerate(jobs):
        if config.sustained_minutes and number not in broken and not _software(found[number]):
            answer = sustained_load(job, window_count(config), worker=worker)
            if isinstance(answer, Round):
                sustained[number] = answer.sustained
            else:
                broken[number] = answer[0], f"under sustained load: {answer[1]}"
    return [
        _outcome(rounds, broken.get(number), sustained.get(number, ())) for number, rounds in enumerate(found)
    ]


def window_count(config: BenchConfig) -> int:
    """How many windows make the minutes of sustained load that `config` asks for."""
    return ceil(config.sustained_minutes * 60 / SUSTAINED_WINDOW_S)


def sustained_load(
    job: Job, windows: int, *, seconds: float = SUSTAINED_WINDOW_S, worker: Sequence[str] = WORKER
) -> Round | tuple[Status, str]:
    """A round with `windows` of `seconds` each, one after the other, in a process of its own."""
    log.info("%s on %s: %s under load", job.name, job.backend, duration(windows * seconds))
    request = Request(
        model=str(job.model.resolve()),
        backend=job.backend,
        threads=job.threads,
        min_runs=1,
        min_seconds=0.0,
        windows=windows,
        window_seconds=seconds,
    )
    return run_worker(request, worker=worker, timeout_s=WORKER_TIMEOUT_S + 2 * windows * seconds)


def _software(rounds: Sequence[Round]) -> bool:
    return simulated([part.engine.accelerator for part in rounds]) is not None


def _order(count: int, turn: int) -> Sequence[int]:
    return range(count) if turn % 2 == 0 else range(count - 1, -1, -1)


def _outcome(
    rounds: list[Round], broken: tuple[Status, str] | None, sustained: tuple[Window, ...]
) -> Outcome:
    if broken is not None:
        return Outcome(status=broken[0], reason=broken[1], rounds=())
    return Outcome(status=Status.OK, reason=None, rounds=tuple(rounds), sustained=sustained)


def _round(
    job: Job, config: BenchConfig, worker: Sequence[str], *, with_test: bool
) -> Round | tuple[Status, str]:
    return run_worker(
        Request(
            model=str(job.model.resolve()),
            backend=job.backend,
            threads=job.threads,
            min_runs=ceil(config.min_runs / config.rounds),
            min_seconds=config.min_seconds / config.rounds,
            test=job.test if with_test else None,
        ),
        worker=worker,
    )


def run_worker(
    request: Request, *, worker: Sequence[str] = WORKER, timeout_s: float = WORKER_TIMEOUT_S
) -> Round | tuple[Status, str]:
    """One round in a process of its own; where that gave no figures, status and reason."""
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        path = Path(folder) / "request.json"
        write_json(path, request)
        kind = kind_of(request.backend)
        try:
            python = emulated_python() if kind is Backend.ARM64 else [sys.executable]
            command = [*python, *worker, str(path)]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
                env=_environment(kind, Path(folder)),
            )
        except MissingError as error:
            return Status.UNAVAILABLE, str(error)
        except subprocess.TimeoutExpired:
            return Status.FAILED, f"not done after {timeout_s:g} s"
    if done.returncode != 0:
        return Status.FAILED, _crash(done)
    answer = json.loads(done.stdout)
    if answer["status"] == Status.OK:
        return from_plain(Round, answer["round"], "round")
    return Status(answer["status"]), answer["reason"]


def _environment(kind: Backend, folder: Path) -> dict[str, str] | None:
    if kind is Backend.ARM64:
        return emulated_environment()
    return driver_environment(folder) if kind is Backend.GPU else None


def _crash(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"the engine crashed ({signal.Signals(-done.returncode).name})"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return f"the worker ended with status {done.returncode}: {lines[-1] if lines else 'it said nothing'}"


def latency(rounds: Sequence[Round]) -> Latency:
    """The milliseconds of all runs of all `rounds`; percentiles by nearest rank."""
    runs = np.array([ms for part in rounds for ms in part.runs_ms])
    firsts = [part.first_ms for part in rounds if part.first_ms is not None]
    p50, p90, p95, p99 = (_percentile(runs, q) for q in (0.5, 0.9, 0.95, 0.99))
    return Latency(
        min=float(runs.min()),
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        mean=float(runs.mean()),
        first=median(firsts) if firsts else None,
        n=runs.size,
    )


def round_latencies(rounds: Sequence[Round]) -> tuple[RoundLatency, ...]:
    """Each of `rounds` by itself."""
    return tuple(
        RoundLatency(
            p50=_percentile(np.array(part.runs_ms), 0.5),
            p90=_percentile(np.array(part.runs_ms), 0.9),
            n=len(part.runs_ms),
        )
        for part in rounds
    )


def _percentile(runs: NDArray[np.float64], q: float) -> float:
    return float(np.quantile(runs, q, method="inverted_cdf"))


def noise(rounds: Sequence[Round], *, threads: int, cores: int) -> tuple[str, ...]:
    """Why the latencies of `rounds` are not to be trusted; empty for a quiet machine.

    What disturbed a tenth of the rounds or fewer is passed over, as it is when latencies are compared.
    """
    checks: tuple[Callable[[], str | None], ...] = (
        lambda: f"{threads} threads on {cores} cores" if threads > cores else None,
        lambda: _unsteady(rounds),
        lambda: apart([median(part.runs_ms) for part in rounds]),
        lambda: _pressed([part.pressure for part in rounds if part.pressure is not None]),
        lambda: _tailed(latency(rounds)),
    )
    return tuple(reason for check in checks if (reason := check()) is not None)


def _unsteady(rounds: Sequence[Round]) -> str | None:
    bad = sum(not part.steady for part in rounds)
    return f"not steady after warm-up in {bad} of {len(rounds)} rounds" if bad > _passing(rounds) else None


def apart(medians: Sequence[float]) -> str | None:
    """That the `medians` of the rounds differ by more than a tenth; None when they agree.

    A tenth of the rounds is left out at either end.
    """
    left_out, ordered = _passing(medians), sorted(medians)
    spread = ordered[len(ordered) - 1 - left_out] / ordered[left_out] - 1
    return f"medians of the rounds differ by {spread:.0%}" if spread > ROUNDS_APART else None


def _pressed(shares: Sequence[float]) -> str | None:
    worst = sorted([0.0, *shares])[len(shares) - _passing(shares)]
    return f"tasks waited for a processor {worst:.0%} of the time" if worst > PRESSURE else None


def _passing(rounds: Sequence[object]) -> int:
    return int(PASSING * len(rounds))


def _tailed(found: Latency) -> str | None:
    ratio = found.p90 / found.p50
    return f"p90 is {ratio:.1f} times p50" if ratio > TAIL else None
