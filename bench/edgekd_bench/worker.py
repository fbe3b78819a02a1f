"""One round of measuring one model, in a process of its own: `python -m edgekd_bench.worker REQUEST.json`.

Prints one JSON line: the round, or what went wrong. A crash of the engine ends only this process.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Collection
from pathlib import Path
from statistics import median
from typing import Any

from edgekd.errors import DeviceError, EdgekdError, MissingError, MissingExtraError
from edgekd.plain import canonical_json, from_plain
from edgekd.runtimes.base import Runtime
from edgekd_bench.backends import open_backend
from edgekd_bench.device import frequency_mhz, temperature_c
from edgekd_bench.energy import watched_energy
from edgekd_bench.loaded import Loaded
from edgekd_bench.round import Backend, Request, Round, SplitRequest, Status, Window, kind_of, simulated
from edgekd_bench.thread_ticks import thread_ticks, watched_share
from edgekd_bench.timing import timer_precision_ms, warm_up, watched_pressure

_MS = 1000.0
_PROOF_S = 0.2  # of the processor, which is counted in ticks of 10 ms, mostly


def measure_round(request: Request) -> Round:
    """Load, run, warm up and time one model in this process, then predict the split that was asked for.

    Raises:
        ModelError: the file cannot be loaded, or does not take the images as bytes.
        DeviceError, MissingError: the backend is not on this machine.
        DataError: the data set cannot be read, or an output is not finite.
    """
    own = thread_ticks()
    loaded = open_backend(Path(request.model), request.threads, request.backend)
    try:
        found = _timed(loaded, request, own)
        if request.test is not None:
            predict_test(loaded.runtime(), request.test)
    finally:
        loaded.close()
    return found


def _timed(loaded: Loaded, request: Request, own: Collection[int]) -> Round:
    """The round; `own` are the threads there were before the backend was opened."""
    software = simulated([loaded.engine.accelerator]) is not None
    with watched_pressure() as pressure:
        first = loaded.clock(loaded.run, min_runs=1, min_ms=0)
        memory = loaded.opening.first_run() if loaded.opening else None
        steady = software or warm_up(loaded.run, loaded.clock)
        with watched_energy() as energy, watched_share(own) as driver:
            took = _proof(loaded) if software else _runs(loaded, request)
    windows = 0 if software else request.windows
    return Round(
        engine=loaded.engine,
        input=loaded.input,
        init_ms=loaded.init_ms,
        first_ms=first[0] if loaded.first_run else None,
        runs_ms=tuple(took),
        steady=steady,
        pressure=pressure.share,
        peak_memory_bytes=loaded.peak_memory(),
        timer_precision_ms=timer_precision_ms(),
        delegation=loaded.delegation(),
        versions=dict(loaded.versions),
        memory=memory,
        energy_mj=energy.mj,
        driver_share=driver.value if kind_of(request.backend) is Backend.GPU else None,
        sustained=tuple(_window(loaded, request.window_seconds) for _ in range(windows)),
    )


def _runs(loaded: Loaded, request: Request) -> list[float]:
    return loaded.clock(loaded.run, min_runs=request.min_runs, min_ms=request.min_seconds * _MS)


def _proof(loaded: Loaded) -> list[float]:
    """Runs of a software GPU, which have no latency: until the driver was seen at work."""
    began, took = time.process_time(), list[float]()
    while time.process_time() - began < _PROOF_S:
        took += loaded.clock(loaded.run, min_runs=1, min_ms=0)
    return took


def _window(loaded: Loaded, seconds: float) -> Window:
    took = loaded.clock(loaded.run, min_runs=1, min_ms=seconds * _MS)
    return Window(
        p50_ms=median(took), n=len(took), temperature_c=temperature_c(), frequency_mhz=frequency_mhz()
    )


def predict_test(runtime: Runtime, test: SplitRequest) -> None:
    """Write the predictions of the engine that was timed on the test split.

    Raises:
        ModelError: the model failed on an image.
        DataError: the data set cannot be read, or an output is not finite.
    """
    from edgekd.data.dataset import open_dataset  # after the timing: it takes memory
    from edgekd.metrics.predictions import write_predictions
    from edgekd.runtimes.predict import run

    samples = open_dataset(Path(test.dataset)).test
    write_predictions(
        Path(test.predictions), run(runtime, samples, classes=test.labels, malignant=test.malignant)
    )


def _answer(request: Request) -> dict[str, Any]:
    try:
        found = measure_round(request)
    except (DeviceError, MissingExtraError) as error:
        return {"status": Status.UNAVAILABLE, "reason": str(error)}
    except MemoryError:
        return {
            "status": Status.FAILED,
            "reason": f"wants more than {_memory_limit() / 1e9:.1f} GB of memory",
        }
    except (EdgekdError, RuntimeError, ValueError) as error:
        absent = type(error) is MissingError  # a library or environment; its subclasses are about the file
        status = Status.UNAVAILABLE if absent else Status.FAILED
        return {"status": status, "reason": _reason(error, request)}
    return {"status": Status.OK, "round": found}


def _reason(error: Exception, request: Request) -> str:
    """The first line of the message, without the path of the model: the record says which file it is."""
    return str(error).strip().split("\n", maxsplit=1)[0].removeprefix(f"{request.model}: ")


def _memory_limit() -> int:
    """Three quarters of the memory this machine has: beyond it the system would end other processes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4


def _main(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (_memory_limit(), _memory_limit()))
    request = from_plain(Request, json.loads(path.read_text(encoding="utf-8")))
    answer_to = os.dup(1)
    os.dup2(2, 1)  # whatever native code prints must not mix with the answer
    with os.fdopen(answer_to, "w", encoding="utf-8") as out:
        out.write(canonical_json(_answer(request)) + "\n")
    os._exit(0)  # some drivers crash while the process is taken down


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
