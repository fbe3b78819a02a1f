"""Processes that train together: the place of this one, from TF_CONFIG, and the folder it may write.

All run the same command. Worker 0, the chief, writes the run folder; the others work in temporary ones.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekd.config import Strategy
from edgekd.console import log
from edgekd.errors import UsageError
from edgekd.runs import RECORD, Run

VARIABLE = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_JOBS = ("chief", "worker")


def read_place() -> tuple[int, int]:
    """The number of this process (0: the chief) and how many there are, as TF_CONFIG says.

    Raises:
        UsageError: TF_CONFIG is missing or malformed.
    """
    if not os.environ.get(VARIABLE):
        raise UsageError(_wrong("is not set"))
    try:
        config = json.loads(os.environ[VARIABLE])
        cluster, task = dict(config["cluster"]), (config["task"]["type"], config["task"]["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(_wrong(f"is not readable ({type(error).__name__}: {error})")) from error
    if not set(cluster) <= set(_JOBS):
        raise UsageError(_wrong(f"names the jobs {', '.join(sorted(cluster))}"))
    places = [(job, number) for job in _JOBS for number, _ in enumerate(_addresses(cluster.get(job, [])))]
    if task not in places:
        raise UsageError(_wrong(f"has no {task[0]} {task[1]} in its cluster"))
    return places.index(task), len(places)


def place_among_workers(strategy: Strategy) -> tuple[int, int]:
    """This process' number and how many train together: (0, 1) without workers, or where none are named.

    Raises:
        UsageError: TF_CONFIG is malformed.
    """
    alone = strategy is not Strategy.MULTIWORKER or not os.environ.get(VARIABLE)
    return (0, 1) if alone else read_place()


@contextmanager
def own_run(run: Run, strategy: Strategy) -> Iterator[Run]:
    """The run folder this process may write: `run`, held for it, or a temporary one beside the chief.

    The temporary one begins with the finished stations of `run` and is removed afterwards.

    Raises:
        RunBusyError: another process holds `run`.
        UsageError: TF_CONFIG is malformed.
    """
    worker, workers = place_among_workers(strategy)
    if worker == 0:
        with run.locked():
            yield run
        return
    with tempfile.TemporaryDirectory(prefix="edgekd-worker-") as folder:
        log.info(
            "worker %d of %d: the chief writes the records, this one works in %s", worker, workers, folder
        )
        own = Run(Path(folder))
        for record in run.root.glob(f"[!.]*/{RECORD}"):
            own.folder(record.parent.name).symlink_to(record.parent.resolve(), target_is_directory=True)
        yield own


def _addresses(found: Any) -> list[str]:
    """The addresses of a job, checked."""
    texts = isinstance(found, list) and all(isinstance(text, str) for text in found)
    if not texts or len(set(found)) < len(found) or not all(t.rpartition(":")[2].isdigit() for t in found):
        raise UsageError(_wrong(f"has the addresses {found}, expected different ones as host:port"))
    return list(found)


def _wrong(what: str) -> str:
    return f"--strategy multiworker reads {VARIABLE}, which {what}: expected the like of {_EXAMPLE}"
