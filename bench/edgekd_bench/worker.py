"""One round of measuring one model, in a process of its own: `python -m edgekd_bench.worker REQUEST.json`.

Prints one JSON line: the round, or what went wrong. A crash of the engine ends only this process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from edgekd.errors import DeviceError, EdgekdError
from edgekd.plain import canonical_json, from_plain
from edgekd_bench import memory
from edgekd_bench.backends import OPEN
from edgekd_bench.round import Request, Round, SplitRequest, Status
from edgekd_bench.timing import timed_runs, timer_precision_ms, warm_up, watched_pressure

_MS = 1000.0


def measure_round(request: Request) -> Round:
    """Load, run, warm up and time one model in this process.

    Raises:
        ModelError: the file cannot be loaded.
        DeviceError: the backend is not on this machine.
    """
    resident = memory.reset_peak()
    began = time.perf_counter()
    loaded = OPEN[request.backend](Path(request.model), request.threads)
    init_ms = (time.perf_counter() - began) * _MS
    with watched_pressure() as pressure:
        (first_ms,) = timed_runs(loaded.run, min_runs=1, min_ms=0)
        steady = warm_up(loaded.run)
        runs = timed_runs(loaded.run, min_runs=request.min_runs, min_ms=request.min_seconds * _MS)
    return Round(
        engine=loaded.engine,
        input=loaded.input,
        init_ms=init_ms,
        first_ms=first_ms,
        runs_ms=tuple(runs),
        steady=steady,
        pressure=pressure.share,
        peak_memory_bytes=memory.peak_since(resident),
        timer_precision_ms=timer_precision_ms(),
        delegation=loaded.delegation(),
    )


def predict_test(request: Request, test: SplitRequest) -> None:
    """Write the predictions of the model on the test split, with the engine and threads of the timing.

    Raises:
        ModelError: the model does not take the images as bytes.
        DataError: the data set cannot be read, or an output is not finite.
    """
    from edgekd.data.dataset import open_dataset  # after the timing: it takes memory
    from edgekd.metrics.predictions import write_predictions
    from edgekd.runtimes.litert import LitertRuntime
    from edgekd.runtimes.predict import run

    runtime = LitertRuntime(Path(request.model), threads=request.threads)
    samples = open_dataset(Path(test.dataset)).test
    write_predictions(
        Path(test.predictions), run(runtime, samples, classes=test.labels, malignant=test.malignant)
    )


def _answer(request: Request) -> dict[str, Any]:
    try:
        found = measure_round(request)
        if request.test is not None:
            predict_test(request, request.test)
    except DeviceError as error:
        return {"status": Status.UNAVAILABLE, "reason": str(error)}
    except (EdgekdError, RuntimeError, ValueError) as error:
        return {"status": Status.FAILED, "reason": _reason(error, request)}
    return {"status": Status.OK, "round": found}


def _reason(error: Exception, request: Request) -> str:
    """The first line of the message, without the path of the model: the record says which file it is."""
    return str(error).strip().split("\n", maxsplit=1)[0].removeprefix(f"{request.model}: ")


def _main(path: Path) -> None:
    request = from_plain(Request, json.loads(path.read_text(encoding="utf-8")))
    answer_to = os.dup(1)
    os.dup2(2, 1)  # whatever native code prints must not mix with the answer
    with os.fdopen(answer_to, "w", encoding="utf-8") as out:
        out.write(canonical_json(_answer(request)) + "\n")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
