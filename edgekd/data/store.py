"""The prepared store: the images of one split as raw uint8 records in a few shards.

    store/train/00000.u8 …       `SHARD_RECORDS` records of px · px · 3 bytes (RGB rows), the last shard fewer
    store/train/manifest.json    written last: px, image ids in record order, count and sha256 of every shard

A record is one open, seek and read of its own: nothing is mapped and no file stays open, so memory does not
grow with the store and any number of threads may read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import DataError, UsageError, storage_errors
from edgekd.plain import from_plain, write_json

SCHEMA = "edgekd.store/1"
SHARD_RECORDS = 128
_AGAIN = "prepare the data again (edgekd data prepare --force)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One file of the store: its name, how many records it holds, and the sha256 of its bytes."""

    file: str
    records: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the store of one split holds: side of the images in pixels, ids in record order, shards."""

    schema: str
    px: int
    image_ids: tuple[str, ...]
    shards: tuple[Shard, ...]


def shard_name(number: int) -> str:
    """The file name of shard `number`."""
    return f"{number:05d}.u8"


def write_shard(path: Path, images: Iterable[NDArray[np.uint8]], *, px: int) -> Shard:
    """Write `images` (uint8 [px,px,3] each) to `path`, whole or not at all, one image in memory at a time.

    Raises:
        StorageError: the disk is full or cannot be written.
        ValueError: an image has another shape or type.
    """
    part = path.with_name(f".{path.name}.part")
    sha256, records = hashlib.sha256(), 0
    try:
        with storage_errors(path.parent), part.open("wb") as file:
            for image in images:
                record = _record(image, px)
                file.write(record)
                sha256.update(record)
                records += 1
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)
    return Shard(file=path.name, records=records, sha256=sha256.hexdigest())


def write_manifest(folder: Path, *, px: int, image_ids: Sequence[str], shards: Sequence[Shard]) -> None:
    """Declare the store in `folder` whole: `image_ids` in record order, `shards` in order."""
    with storage_errors(folder):
        write_json(
            folder / "manifest.json",
            Manifest(schema=SCHEMA, px=px, image_ids=tuple(image_ids), shards=tuple(shards)),
        )


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the store in `folder`.

    Raises:
        DataError: there is none, it cannot be read, or its counts contradict each other.
    """
    path = folder / "manifest.json"
    try:
        manifest = from_plain(Manifest, json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no prepared images (no manifest.json); {_AGAIN}") from error
    except (ValueError, UsageError) as error:
        raise DataError(f"{path} cannot be read: {error}; {_AGAIN}") from error
    if manifest.schema != SCHEMA:
        raise DataError(f"{path}: schema is {manifest.schema!r}, expected {SCHEMA!r}; {_AGAIN}")
    records = sum(shard.records for shard in manifest.shards)
    if records != len(manifest.image_ids):
        raise DataError(f"{path}: {records} records for {len(manifest.image_ids)} image ids; {_AGAIN}")
    return manifest


class ImageStore:
    """The prepared images of one split, uint8 [px,px,3] each, read from disk when asked for.

    `image_ids` chooses images, in that order (default: all, in record order). Safe to use from threads.

    Raises:
        DataError: no store, a shard missing or of the wrong size, or an id that is not in the store.
    """

    def __init__(self, folder: Path, image_ids: Sequence[str] | None = None) -> None:
        manifest = read_manifest(folder)
        self.folder = folder
        self.px = manifest.px
        self._bytes = manifest.px * manifest.px * 3
        self._paths = [folder / shard.file for shard in manifest.shards]
        self._first = np.cumsum([0] + [shard.records for shard in manifest.shards])
        for path, shard in zip(self._paths, manifest.shards, strict=True):
            _check_size(path, shard.records * self._bytes)
        self._records = _records(manifest.image_ids, image_ids, folder)

    def __len__(self) -> int:
        return len(self._records)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Image number `index`, uint8 [px,px,3], a copy of its own.

        Raises:
            DataError: its shard was removed or cut since the store was opened.
        """
        image = np.empty((self.px, self.px, 3), np.uint8)
        self._read_into(image, int(self._records[index]))
        return image

    def read(
        self, indices: Sequence[int] | NDArray[np.integer], out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """The images `indices`, uint8 [n,px,px,3], into `out` (C-contiguous, that shape) when given.

        Raises:
            DataError: a shard was removed or cut since the store was opened.
        """
        images = np.empty((len(indices), self.px, self.px, 3), np.uint8) if out is None else out
        for image, record in zip(images, self._records[np.asarray(indices, np.int64)], strict=True):
            self._read_into(image, int(record))
        return images

    def _read_into(self, image: NDArray[np.uint8], record: int) -> None:
        number = int(np.searchsorted(self._first, record, side="right")) - 1
        path, offset = self._paths[number], (record - int(self._first[number])) * self._bytes
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(offset)
                received = file.readinto(image.data)
        except FileNotFoundError as error:
            raise DataError(f"{path} is missing; {_AGAIN}") from error
        if received != self._bytes:
            found = f"{received} of {self._bytes} bytes"
            raise DataError(f"{path} ends early: record {record} has {found}; {_AGAIN}")


def _record(image: NDArray[np.uint8], px: int) -> bytes:
    if image.shape != (px, px, 3) or image.dtype != np.uint8:
        raise ValueError(f"received {image.dtype} {image.shape}, expected uint8 {(px, px, 3)}")
    return image.tobytes()


def _check_size(path: Path, expected: int) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; {_AGAIN}") from error
    if size != expected:
        raise DataError(f"{path} has {size} bytes, expected {expected}; {_AGAIN}")


def _records(known: Sequence[str], wanted: Sequence[str] | None, folder: Path) -> NDArray[np.int64]:
    if wanted is None:
        return np.arange(len(known), dtype=np.int64)
    number = {image_id: record for record, image_id in enumerate(known)}
    missing = [image_id for image_id in wanted if image_id not in number]
    if missing:
        raise DataError(f"{folder} has no prepared image {missing[0]!r} ({len(missing)} missing); {_AGAIN}")
    return np.array([number[image_id] for image_id in wanted], dtype=np.int64)
