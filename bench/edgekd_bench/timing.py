"""The clock: warm-up until steady, timed runs, the precision of the timer."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from statistics import median
from typing import Protocol

from edgekd_bench.device import cpu_waiting_us

BLOCK_RUNS, BLOCK_MS = 5, 20.0
STEADY_BLOCKS, STEADY_WITHIN = 3, 0.05
WARM_UP_MAX_MS = 3000.0
_NS_PER_MS = 1e6


class Clock(Protocol):
    """Something that times runs, as `timed_runs` does."""

    def __call__(self, run: Callable[[], object], *, min_runs: int, min_ms: float) -> list[float]:
        """The milliseconds of each of at least `min_runs` runs that together take at least `min_ms`."""


def timed_runs(run: Callable[[], object], *, min_runs: int, min_ms: float) -> list[float]:
    """The milliseconds of each of at least `min_runs` runs that together take at least `min_ms`."""
    clock, total = time.perf_counter_ns, 0
    took: list[int] = []
    while len(took) < min_runs or total < min_ms * _NS_PER_MS:
        began = clock()
        run()
        spent = clock() - began
        took.append(spent)
        total += spent
    return [nanoseconds / _NS_PER_MS for nanoseconds in took]


def warm_up(run: Callable[[], object], clock: Clock = timed_runs) -> bool:
    """Run in blocks until three medians in a row lie within 5 %; whether that came to pass within 3 s.

    A block is at least 5 runs and 20 ms.
    """
    medians: list[float] = []
    spent = 0.0
    while spent < WARM_UP_MAX_MS:
        block = clock(run, min_runs=BLOCK_RUNS, min_ms=BLOCK_MS)
        spent += sum(block)
        medians = [*medians, median(block)][-STEADY_BLOCKS:]
        if len(medians) == STEADY_BLOCKS and max(medians) <= min(medians) * (1 + STEADY_WITHIN):
            return True
    return False


def timer_precision_ms(tries: int = 1000) -> float:
    """The smallest step of the clock that `tries` readings showed, in milliseconds."""
    readings = [time.perf_counter_ns() for _ in range(tries)]
    steps = (later - earlier for earlier, later in pairwise(readings))
    return min((step for step in steps if step > 0), default=0) / _NS_PER_MS


class Pressure:
    """The share of time, 0..1, in which other tasks waited for a processor; None where unknown."""

    share: float | None = None


@contextmanager
def watched_pressure() -> Iterator[Pressure]:
    """Fill in a `Pressure` over the body, without garbage collection inside it."""
    found, before, began = Pressure(), cpu_waiting_us(), time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        yield found
    finally:
        gc.enable()
        after, seconds = cpu_waiting_us(), time.perf_counter() - began
        if before is not None and after is not None:
            found.share = min(1.0, (after - before) / 1e6 / seconds)
