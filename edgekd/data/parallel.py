"""Work divided among processes that end with the one that started them, or among threads."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from edgekd.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(work: Callable[[Item], Result], items: Sequence[Item], *, workers: int) -> Iterator[Result]:
    """`work(item)` for every item, in order, by `workers` processes (0: one per core; 1: by this one).

    An error in one is raised where its result was due; what was not begun yet is given up.

    Raises:
        DataError: a process was killed.
    """
    processes = min(workers or available_cores(), len(items))
    if processes <= 1:
        yield from map(work, items)
        return
    # Not forked: this process may run threads of TensorFlow.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin) as pool:
            yield from pool.map(work, items)
    except BrokenProcessPool as error:
        raise DataError(
            "a process that reads images was killed (out of memory?), or the calling script lacks "
            "`if __name__ == '__main__':`; finished work is kept, repeat with --set data.workers=1"
        ) from error


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], *, workers: int) -> Iterator[Result]:
    """`work(item)` for every item, in order, by `workers` threads (0: one per core; 1: by this one).

    For work inside NumPy and OpenCV, which other threads need not wait for.
    """
    threads = min(workers or available_cores(), len(items))
    if threads <= 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, items)


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _begin() -> None:
    """Make a worker end at once on Ctrl-C, and whenever its parent does, even by SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
