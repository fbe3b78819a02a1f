"""Images to shards: every worker reads, inspects, resizes and writes its own shard.

Pixels never pass between processes; what comes back is the record of the shard and the facts of its images.
Beside each finished shard lies `<shard>.json`, written last, with the key of the job, the sha256 of the
bytes and the facts: a shard that a killed run finished is recognized by it, checked, and kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.config import HairRemoval
from edgekd.console import progress
from edgekd.data.audit import ImageFacts, inspect_image
from edgekd.data.parallel import in_processes
from edgekd.data.source import DataSource
from edgekd.data.store import SHARD_RECORDS, Shard, shard_name, write_shard
from edgekd.data.table import Row
from edgekd.errors import DataError, ImageError, UsageError, storage_errors
from edgekd.imaging.hair import remove_hair
from edgekd.imaging.resample import prepare as resample
from edgekd.plain import digest, file_digest, from_plain, write_json

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One shard to make: where, at which size, of which images, without their hairs where `hair` says so.

    `key` says what its bytes depend on.
    """

    path: Path
    px: int
    rows: tuple[Row, ...]
    key: str
    hair: HairRemoval


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A finished shard with the facts of its images in record order, or what in it was `unreadable`."""

    key: str
    shard: Shard
    facts: tuple[ImageFacts, ...]
    unreadable: tuple[str, ...]


def plan(
    folder: Path,
    rows: Sequence[Row],
    *,
    px: int,
    fingerprint: str,
    hair: HairRemoval = HairRemoval.NONE,
) -> tuple[Job, ...]:
    """The jobs that store the images of `rows` at `px`, in this order, as shards in `folder`.

    `fingerprint` stands for the content of the sources; `hair` is taken out of the whole picture first.
    """
    parts = [tuple(rows[first : first + SHARD_RECORDS]) for first in range(0, len(rows), SHARD_RECORDS)]
    return tuple(
        Job(
            path=folder / shard_name(number),
            px=px,
            rows=part,
            key=digest([fingerprint, px, hair, [[row.source, row.path] for row in part]]),
            hair=hair,
        )
        for number, part in enumerate(parts)
    )


def make(jobs: Sequence[Job], sources: Mapping[str, DataSource], *, workers: int) -> tuple[Made, ...]:
    """The shards of `jobs`, in order, made by `workers` processes (0: one per core).

    Raises:
        DataError: images cannot be read (all are counted, the first are named), or a worker was killed.
        StorageError: the disk is full or cannot be written.
    """
    made: list[Made] = []
    with progress("prepare", sum(len(job.rows) for job in jobs), "images") as advance:
        for one in in_processes(partial(_make, sources), jobs, workers=workers):
            made.append(one)
            advance(len(one.facts) + len(one.unreadable), "")
    unreadable = dict.fromkeys(text for one in made for text in one.unreadable)
    _require_readable(list(unreadable), len({row.image_id for job in jobs for row in job.rows}))
    return tuple(made)


def forget(jobs: Sequence[Job]) -> None:
    """Remove what lies beside the shards only to continue after a kill."""
    for job in jobs:
        _note(job).unlink(missing_ok=True)


def _make(sources: Mapping[str, DataSource], job: Job) -> Made:
    kept = _kept(job)
    if kept is not None:
        return kept
    facts: list[ImageFacts] = []
    unreadable: list[str] = []
    shard = write_shard(job.path, _images(job, sources, facts, unreadable), px=job.px)
    made = Made(key=job.key, shard=shard, facts=tuple(facts), unreadable=tuple(unreadable))
    if not unreadable:
        with storage_errors(job.path.parent):
            write_json(_note(job), made)
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
        yield resample(remove_hair(image, job.hair), job.px)


def _kept(job: Job) -> Made | None:
    """What a killed run left of `job`, if it is whole and still what is wanted."""
    try:
        made = from_plain(Made, json.loads(_note(job).read_bytes()))
        whole = made.key == job.key and file_digest(job.path) == made.shard.sha256
    except (OSError, ValueError, UsageError):
        return None
    return made if whole else None


def _note(job: Job) -> Path:
    return job.path.with_name(f"{job.path.name}.json")


def _require_readable(unreadable: Sequence[str], total: int) -> None:
    if unreadable:
        more = "; …" if len(unreadable) > _SHOWN else ""
        raise DataError(
            f"{len(unreadable)} of {total} images cannot be read: {'; '.join(unreadable[:_SHOWN])}{more} "
            "(edgekd data audit lists them all); replace or remove them"
        )
