"""The worker of `edgekd_bench`, every run made a tenth longer: the slowdown `repeatability.py` plants."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

from edgekd_bench import worker
from edgekd_bench.backends import open_backend
from edgekd_bench.loaded import Loaded

SLOWDOWN = 0.10


def open_slowed(path: Path, threads: int, backend: str) -> Loaded:
    """What `open_backend` gives, slower."""
    loaded = open_backend(path, threads, backend)

    def run() -> object:
        clock = time.perf_counter_ns
        began = clock()
        answer = loaded.run()
        ended = clock()
        until = ended + (ended - began) * SLOWDOWN
        while clock() < until:
            pass
        return answer

    return dataclasses.replace(loaded, run=run)


if __name__ == "__main__":
    vars(worker)["open_backend"] = open_slowed
    worker._main(Path(sys.argv[1]))
