"""A prepared data set as TFRecord shards, for tf.data and whatever else reads them.

Every shard is whole or absent, and its bytes depend on the data set, the encoding and OpenCV's version alone,
not on the number of processes or on a kill between. The images of a split are spread over its shards by the
hash of their id, so that every shard is a fair sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.console import progress
from edgekd.data.dataset import Dataset, Samples, open_dataset
from edgekd.data.parallel import in_processes
from edgekd.data.store import ImageStore
from edgekd.data.table import Row, Split, image_key
from edgekd.data.tfrecord.example import serialize
from edgekd.data.tfrecord.framing import records, write_record
from edgekd.data.tfrecord.layout import Codes, Writer, codes_of
from edgekd.data.tfrecord.manifest import (
    CODES,
    MANIFEST,
    SCHEMA,
    UNFINISHED,
    Manifest,
    Shard,
    read_manifest,
)
from edgekd.errors import DataError, UsageError, storage_errors
from edgekd.imaging.opencv import cv2
from edgekd.plain import digest, file_digest, write_json, write_text
from edgekd.runs import tool_versions

SHARD_RECORDS = 512
_TOOLS = ("edgekd", "opencv-python-headless")
# Level 6 takes four times as long and saves a tenth of a photograph's bytes.
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One shard to make: where, of which images."""

    path: Path
    split: Split
    rows: tuple[Row, ...]


def write_tfrecords(data: Path, out: Path, *, jpeg: int | None = None, workers: int = 0) -> Manifest:
    """Write the data set prepared in the folder `data` to `out`, by `workers` processes (0: one per core).

    Pictures are PNG, which loses nothing, or JPEG of the quality `jpeg` (1 to 100). Repeated after a kill, it
    goes on from the shards that were finished.

    Raises:
        DataError: the data set is missing or incomplete.
        UsageError: `out` holds something else.
        StorageError: the disk is full or cannot be written.
    """
    dataset = open_dataset(data)
    codes = codes_of((row for part in _parts(dataset) for row in part.rows), dataset.classes)
    key = _key(data, jpeg)
    jobs = [job for part in _parts(dataset) for job in _plan(out, part)]
    with storage_errors(out):
        _claim(out, key)
        write_json(out / CODES, codes)
        shards = _make_all(partial(_make, data / "store", codes, jpeg), jobs, workers)
        manifest = Manifest(
            schema=SCHEMA,
            key=key,
            image="png" if jpeg is None else "jpeg",
            jpeg_quality=jpeg,
            tools=tool_versions(_TOOLS),
            codes_sha256=file_digest(out / CODES),
            counts=_counts(shards),
            shards=shards,
        )
        write_json(out / MANIFEST, manifest)
        (out / UNFINISHED).unlink(missing_ok=True)
    return manifest


def _parts(dataset: Dataset) -> tuple[Samples, ...]:
    return (dataset.train, dataset.validation, dataset.test)


def _key(data: Path, jpeg: int | None) -> str:
    """A digest of all the bytes of the shards depend on."""
    files = ["dataset.json", "table.csv", *(f"store/{split}/manifest.json" for split in Split)]
    content = {name: file_digest(data / name) for name in files}
    return digest([SCHEMA, SHARD_RECORDS, content, jpeg, tool_versions(_TOOLS)])


def _claim(out: Path, key: str) -> None:
    """Take the folder `out` for what `key` stands for.

    Raises:
        UsageError: it holds something else.
    """
    out.mkdir(parents=True, exist_ok=True)
    finished, begun = read_manifest(out), out / UNFINISHED
    known = finished.key if finished else begun.read_text(encoding="utf-8") if begun.exists() else None
    if known == key:
        return
    if any(path.suffix != ".part" for path in out.iterdir()):
        raise UsageError(f"{out} holds other files already: choose another --out, or remove it first")
    write_text(begun, key)


def _plan(out: Path, samples: Samples) -> list[_Job]:
    rows = sorted(samples.rows, key=lambda row: image_key(row.image_id))
    parts = [tuple(rows[begin : begin + SHARD_RECORDS]) for begin in range(0, len(rows), SHARD_RECORDS)]
    return [
        _Job(path=out / f"{samples.split}{number:05d}-{len(part)}.tfrec", split=samples.split, rows=part)
        for number, part in enumerate(parts)
    ]


def _make_all(make: partial[Shard], jobs: list[_Job], workers: int) -> tuple[Shard, ...]:
    shards: list[Shard] = []
    with progress("tfrecord", sum(len(job.rows) for job in jobs), "images") as advance:
        for shard in in_processes(make, jobs, workers=workers):
            shards.append(shard)
            advance(shard.records, "")
    return tuple(shards)


def _make(store: Path, codes: Codes, jpeg: int | None, job: _Job) -> Shard:
    if not _is_whole(job):
        _write(job, ImageStore(store / job.split, [row.image_id for row in job.rows]), Writer(codes), jpeg)
    return Shard(
        file=job.path.name,
        split=job.split,
        records=len(job.rows),
        size_bytes=job.path.stat().st_size,
        sha256=file_digest(job.path),
        diagnoses=Counter(row.diagnosis for row in job.rows),
    )


def _is_whole(job: _Job) -> bool:
    """Whether a run before this one left the shard, every record of it sound by its checksum."""
    try:
        return sum(1 for _ in records(job.path)) == len(job.rows)
    except DataError:
        return False


def _write(job: _Job, images: ImageStore, writer: Writer, jpeg: int | None) -> None:
    """Write the shard, whole or not at all, one image in memory at a time."""
    part = job.path.with_name(f".{job.path.name}.part")
    try:
        with storage_errors(job.path.parent), part.open("wb") as file:
            for number, row in enumerate(job.rows):
                picture = _encode(images.image(number), jpeg)
                write_record(file, serialize(writer.features(row, picture, images.px)))
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(job.path)


def _encode(image: NDArray[np.uint8], jpeg: int | None) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    kind, settings = (".png", _PNG) if jpeg is None else (".jpg", (cv2.IMWRITE_JPEG_QUALITY, jpeg))
    done, data = cv2.imencode(kind, bgr, settings)
    if not done:
        raise ValueError(f"OpenCV cannot write {kind} of {image.shape}")
    return data.tobytes()


def _counts(shards: tuple[Shard, ...]) -> Mapping[str, Mapping[str, int]]:
    found = {split.value: Counter[str]() for split in Split}
    for shard in shards:
        found[shard.split].update(shard.diagnoses)
    return found
