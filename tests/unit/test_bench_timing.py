from __future__ import annotations

import dataclasses
import gc
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_data import one_round
from edgekd_bench import memory, timing
from edgekd_bench.measure import latency, noise
from edgekd_bench.timing import timed_runs, timer_precision_ms, warm_up, watched_pressure

QUIET = {"threads": 1, "cores": 4}


class Clock:
    """A clock that stands still but for `spend`, so that no test depends on the machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, each_ms: list[float]) -> None:
        self.now, self.runs, self.each_ms = 0, 0, each_ms
        monkeypatch.setattr(timing.time, "perf_counter_ns", lambda: self.now)

    def spend(self) -> None:
        self.now += int(self.each_ms[min(self.runs, len(self.each_ms) - 1)] * 1e6)
        self.runs += 1


def test_runs_reach_both_minima(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, [2.0])
    assert timed_runs(clock.spend, min_runs=3, min_ms=0) == [2.0, 2.0, 2.0]
    assert timed_runs(clock.spend, min_runs=1, min_ms=9) == [2.0] * 5


def test_each_run_is_timed_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, [5.0, 1.0, 3.0])
    assert timed_runs(clock.spend, min_runs=3, min_ms=0) == [5.0, 1.0, 3.0]


def test_warm_up_ends_when_three_blocks_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    # Blocks of five runs of 10, 8, 6, 6, 6 ms: steady with the fifth block.
    clock = Clock(monkeypatch, [10.0] * 5 + [8.0] * 5 + [6.0])
    assert warm_up(clock.spend)
    assert clock.runs == 25


def test_warm_up_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, [1.1**n for n in range(400)])
    assert not warm_up(clock.spend)


def test_five_percent_is_steady_and_six_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert warm_up(Clock(monkeypatch, [100.0] * 5 + [102.0] * 5 + [105.0]).spend)
    clock = Clock(monkeypatch, [100.0] * 5 + [102.0] * 5 + [106.0])
    assert warm_up(clock.spend)
    assert clock.runs == 20  # the fourth block makes 102, 106, 106


def test_the_clock_has_a_smallest_step() -> None:
    assert 0 < timer_precision_ms() < 1000


def test_nothing_is_collected_while_timing() -> None:
    with watched_pressure() as pressure:
        assert not gc.isenabled()
        time.sleep(0.001)
    assert gc.isenabled()
    assert pressure.share is None or 0 <= pressure.share <= 1


def test_percentiles_are_runs_that_happened() -> None:
    found = latency(
        [one_round([float(n) for n in range(1, 61)]), one_round([float(n) for n in range(61, 101)])]
    )
    assert (found.min, found.p50, found.p90, found.p95, found.p99) == (1, 50, 90, 95, 99)
    assert (found.mean, found.n) == (50.5, 100)


def test_the_first_run_is_the_median_of_the_rounds() -> None:
    assert latency([one_round([1.0], first_ms=ms) for ms in (9.0, 2.0, 4.0)]).first == 4.0


@given(st.lists(st.lists(st.floats(0.001, 1000), min_size=1, max_size=20), min_size=1, max_size=4))
def test_percentiles_are_ordered(parts: list[list[float]]) -> None:
    found, runs = latency([one_round(part) for part in parts]), np.concatenate(parts)
    assert runs.min() == found.min <= found.p50 <= found.p90 <= found.p95 <= found.p99 <= runs.max()
    assert found.n == runs.size
    assert {found.p50, found.p90, found.p99} <= set(runs.tolist())


def test_a_quiet_machine_makes_no_noise() -> None:
    assert noise([one_round([1.0] * 9), one_round([1.05] * 9)], **QUIET) == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steady": False}, "not steady after warm-up in 1 of 2 rounds"),
        ({"runs_ms": (1.2,) * 9}, "medians of the rounds differ by 20%"),
        ({"pressure": 0.06}, "tasks waited for a processor 6% of the time"),
        ({"runs_ms": (1.0,) * 5 + (1.7,) * 4}, "p90 is 1.7 times p50"),
    ],
)
def test_noise_is_named(changed: dict[str, object], message: str) -> None:
    (reason,) = noise([one_round([1.0] * 9), dataclasses.replace(one_round([1.0] * 9), **changed)], **QUIET)
    assert reason == message


def test_too_many_threads_and_an_unknown_pressure() -> None:
    assert noise([one_round([1.0], pressure=None)], threads=2, cores=1) == ("2 threads on 1 cores",)


def test_memory_rises_by_what_is_allocated() -> None:
    resident = memory.reset_peak()
    if resident is None:
        pytest.skip("this system does not tell the peak memory of a process")
    size = np.ones(8_000_000).nbytes  # given back at once: only the peak remembers it
    peak = memory.peak_since(resident)
    # 64 MB of ones, less what the allocator may have had resident already.
    assert peak is not None and peak >= 0.9 * size
    assert memory.peak_since(None) is None
