"""Backend `tflite-runtime`: the old runtime in its own environment, made on first use and timed there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path

import numpy as np

from edgekd.errors import ModelError
from edgekd.runtimes.base import beside
from edgekd.runtimes.tflite_runtime import TfliteRuntime
from edgekd_bench.loaded import Loaded
from edgekd_bench.round import TensorFacts
from edgekd_bench.timing import Clock

ENVIRONMENT = "tflite-runtime-2.14"
_MOST_AT_ONCE = 1000


def open_tflite_runtime(path: Path, threads: int, environment: str = ENVIRONMENT) -> Loaded:
    """`path` in the environment's worker: load time and memory are the worker's, and so is the clock.

    Raises:
        MissingError: the environment cannot be made.
        ModelError: the file is missing, the runtime refuses it, or it is no image classifier.
    """
    runtime = TfliteRuntime(path, environment, threads=threads, input_range=(-1.0, 1.0))
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 256, runtime.input.shape, np.uint8)
    runtime.logits(pixels, *beside(np.zeros((1, runtime.n_features), np.float32)))
    return Loaded(
        engine=runtime.engine,
        input=tuple(TensorFacts(shape=port.shape, dtype=port.dtype) for port in runtime.inputs),
        run=lambda: runtime.time_runs(1),
        delegation=lambda: None,
        runtime=lambda: _predicting(runtime, path),
        close=runtime.close,
        clock=clock_of(runtime.time_runs),
        init_ms=runtime.init_ms,
        peak_memory=lambda: runtime.peak_memory_bytes,
        first_run=False,
    )


def clock_of(time_runs: Callable[[int], Sequence[float]]) -> Clock:
    """A clock that asks for many runs at once, each timed by itself where the engine lives."""

    def clock(run: Callable[[], object], *, min_runs: int, min_ms: float) -> list[float]:
        del run
        took = list(time_runs(min_runs))
        while (missing := min_ms - sum(took)) > 0:
            took += time_runs(min(_MOST_AT_ONCE, ceil(missing * len(took) / max(sum(took), 1e-6))))
        return took

    return clock


def _predicting(runtime: TfliteRuntime, path: Path) -> TfliteRuntime:
    """`runtime`, if it takes bytes: the range given for a float input was for timing only."""
    if runtime.input.dtype == "float32":
        raise ModelError(f"{path}: the input is float32 and the file does not say what 0 and 255 become")
    return runtime
