"""Images to shards in parallel processes: every worker reads, checks, resizes and writes its own shard.

Pixels never pass between processes; what comes back is the record of the shard and the facts of its images.
Beside each finished shard lies `<shard>.json`, written last, with the key of the job, the sha256 of the
bytes and the facts: a shard that a killed run finished is recognized by it, checked, and kept.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.console import progress
from edgekd.data.audit import ImageFacts, inspect_image
from edgekd.data.source import DataSource
from edgekd.data.store import SHARD_RECORDS, Shard, shard_name, write_shard
from edgekd.data.table import Row
from edgekd.errors import DataError, ImageError, UsageError, storage_errors
from edgekd.imaging.resample import prepare as resample
from edgekd.plain import digest, file_digest, from_plain, write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One shard to make: where, at which size, of which images; `key` says what its bytes depend on."""

    path: Path
    px: int
    rows: tuple[Row, ...]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A finished shard (None: an image could not be read), its facts in record order, and what was unreadable."""

    key: str
    shard: Shard | None
    facts: tuple[ImageFacts, ...]
    unreadable: tuple[str, ...]


def plan(folder: Path, rows: Sequence[Row], *, px: int, fingerprint: str) -> tuple[Job, ...]:
    """The jobs that store the images of `rows` at `px`, in this order, as shards in `folder`.

    `fingerprint` stands for the content of the sources.
    """
    parts = [tuple(rows[first : first + SHARD_RECORDS]) for first in range(0, len(rows), SHARD_RECORDS)]
    return tuple(
        Job(
            path=folder / shard_name(number),
            px=px,
            rows=part,
            key=digest([fingerprint, px, [[row.source, row.image_id] for row in part]]),
        )
        for number, part in enumerate(parts)
    )


def make(jobs: Sequence[Job], sources: Mapping[str, DataSource], *, workers: int) -> tuple[Made, ...]:
    """The shards of `jobs`, in order, made by `workers` processes (1: by this one, 0: one per core).

    Raises:
        DataError: images cannot be read (all of them are counted, the first are named), or a worker died.
        StorageError: the disk is full or cannot be written.
    """
    total = sum(len(job.rows) for job in jobs)
    made: list[Made] = []
    with progress("prepare", total, "images") as advance:
        for one, job in zip(_results(jobs, sources, workers or available_cores()), jobs, strict=True):
            made.append(one)
            advance(len(job.rows), "")
    _require_readable([text for one in made for text in one.unreadable], total)
    return tuple(made)


def forget(jobs: Sequence[Job]) -> None:
    """Remove what only served to continue after a kill."""
    for job in jobs:
        _sidecar(job.path).unlink(missing_ok=True)


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _results(jobs: Sequence[Job], sources: Mapping[str, DataSource], workers: int) -> Iterator[Made]:
    work = partial(_make_shard, sources)
    processes = min(workers, len(jobs))
    if processes <= 1:
        yield from map(work, jobs)
        return
    # Not forked: this process may run threads of TensorFlow.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin) as pool:
            yield from pool.map(work, jobs)
    except BrokenProcessPool as error:
        raise DataError(
            "a process that prepares images was killed (out of memory?), or this script lacks "
            "`if __name__ == '__main__':`; repeat with --set data.workers=1, finished work is kept"
        ) from error


def _begin() -> None:
    """Make a worker die with its parent, and at once on Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make_shard(sources: Mapping[str, DataSource], job: Job) -> Made:
    kept = _kept(job)
    if kept is not None:
        return kept
    facts: list[ImageFacts] = []
    unreadable: list[str] = []
    shard = write_shard(job.path, _images(job, sources, facts, unreadable), px=job.px)
    if unreadable:
        job.path.unlink()
        return Made(key=job.key, shard=None, facts=(), unreadable=tuple(unreadable))
    made = Made(key=job.key, shard=shard, facts=tuple(facts), unreadable=())
    with storage_errors(job.path.parent):
        write_json(_sidecar(job.path), made)
    return made


def _images(
    job: Job, sources: Mapping[str, DataSource], facts: list[ImageFacts], unreadable: list[str]
) -> Iterator[NDArray[np.uint8]]:
    for row in job.rows:
        try:
            image = sources[row.source].image(row)
        except ImageError as error:
            unreadable.append(str(error))
            continue
        facts.append(inspect_image(image, row.image_id))
        yield resample(image, job.px)


def _kept(job: Job) -> Made | None:
    """What a killed run left of `job`, if it is whole and still what is wanted."""
    try:
        made = from_plain(Made, json.loads(_sidecar(job.path).read_bytes()))
        whole = made.shard is not None and file_digest(job.path) == made.shard.sha256
    except (OSError, ValueError, UsageError):
        return None
    return made if whole and made.key == job.key else None


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _require_readable(unreadable: Sequence[str], total: int) -> None:
    if not unreadable:
        return
    shown = "; ".join(unreadable[:5]) + ("; …" if len(unreadable) > 5 else "")
    raise DataError(
        f"{len(unreadable)} of {total} images cannot be read: {shown}. Remove or replace them "
        "(edgekd data audit lists them all)"
    )
