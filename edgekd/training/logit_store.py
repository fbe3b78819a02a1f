"""What one network said about augmented images: a store that grows and that several processes share.

    <root>/<key>/plan.json          everything the answers depend on; <key> is its sha256
    <root>/<key>/0003-00001.logits  [rows, k] float16 or float32: variant 3 of the second block of images
    <root>/<key>/manifest.json      the sha256 of every shard
    <root>/<key>/.lock              held while shards are written

The place of an answer follows from its image and variant: nothing is indexed, nothing stays in memory or
open, any number of threads and processes may read. A row that nobody asked for yet is NaN. Shards are
replaced whole (a reader has the old one or the new one, both true), and one whose hash is not the
manifest's is made again.

An answer is float16 unless that could be felt: `stored_type`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.console import log
from edgekd.plain import canonical_json, digest, read_json, write_json, write_text

SCHEMA = "edgekd.logits/1"
TOLERANCE = 0.1
_PLAN, _MANIFEST, _LOCK = "plan.json", "manifest.json", ".lock"
_TYPES: Mapping[int, type[np.floating[Any]]] = {2: np.float16, 4: np.float32}


def stored_type(logits: NDArray[np.float32]) -> type[np.floating[Any]]:
    """float16, or float32 where rounding `logits` [n, k] could be felt by a student.

    Let rounding move the logits z of an image by at most δ (|z| · 2⁻¹¹, so 2⁻⁹ for |z| < 8). Hinton's loss
    L = T² · KL(softmax(z/T) ‖ softmax(s/T)) has ∂L/∂zᵢ = T · pᵢ · (rᵢ − Σ pⱼrⱼ) with r = log p − log q, whose
    absolute values sum to at most T · range(r)/2 ≤ (range z + range s)/2: L moves by no more than
    δ · (range z + 2δ + range s)/2, at any temperature. float16 is chosen when this stays within `TOLERANCE`
    for every image and every student whose logits range no wider than the teacher's. Signs of rounding
    vary, so the mean over a batch moves far less.
    """
    with np.errstate(over="ignore"):
        moved = np.abs(logits.astype(np.float16) - logits.astype(np.float64)).max(axis=1)
    felt = moved * (np.ptp(logits, axis=1) + moved)
    return np.float16 if bool((felt <= TOLERANCE).all()) else np.float32


class LogitStore:
    """The answers of one network about `images` images, `width` logits each, in blocks of `block` images.

    `plan` says what they depend on, as plain JSON. Nothing is written before `add`.
    """

    def __init__(self, root: Path, plan: Mapping[str, Any], *, images: int, width: int, block: int) -> None:
        self._plan = {"schema": SCHEMA, **plan, "images_count": images, "width": width, "block": block}
        self.key = digest(self._plan)
        self.folder = root / self.key
        self._images, self._width, self._block = images, width, block

    def missing(self, variant: int, images: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `images` (int64 [m], of one block) have no whole answer for `variant`: bool [m]."""
        block = int(images[0]) // self._block
        unknown: NDArray[np.bool_] = np.isnan(self._shard(variant, block)[images % self._block, 0])
        return unknown

    def add(self, variant: int, images: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """Store `logits` float32 [m, k], finite, for `variant` of `images` (int64 [m], of one block).

        The caller holds the lock. What the shard held already stays as it is.
        """
        block = int(images[0]) // self._block
        rows = self._shard(variant, block)
        name = self._name(variant, block)
        if (self.folder / name).exists() and np.isnan(rows).all():
            log.warning("%s is not whole: it is made again", self.folder / name)
        rows[images % self._block] = logits
        # A shard that was float32 stays so: its values must not change.
        stored = stored_type(rows[~np.isnan(rows[:, 0])])
        data = rows.astype(stored).tobytes()
        _write_whole(self.folder / name, data)
        shards = {**self._manifest(), name: hashlib.sha256(data).hexdigest()}
        write_json(self.folder / _MANIFEST, {"schema": SCHEMA, "shards": shards})

    def read(self, images: NDArray[np.int64], variants: NDArray[np.int64]) -> NDArray[np.float32]:
        """The answers float32 [n, k] for variant `variants[i]` of `images[i]`; NaN where there is none."""
        answers = np.full((len(images), self._width), np.nan, np.float32)
        for answer, image, variant in zip(answers, images.tolist(), variants.tolist(), strict=True):
            if 0 <= image < self._images:
                self._read_into(answer, image, variant)
        return answers

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store for writing; waits for another process that does. The lock dies with the process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("another process asks the same teacher: waiting for %s", self.folder)
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.folder / _PLAN).is_file():
                write_text(self.folder / _PLAN, canonical_json(self._plan) + "\n")
            yield

    def _read_into(self, answer: NDArray[np.float32], image: int, variant: int) -> None:
        block, row = divmod(image, self._block)
        try:
            file = os.open(self.folder / self._name(variant, block), os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            kind = self._type(os.fstat(file).st_size, block)
            size = kind().itemsize * self._width if kind else 0
            data = os.pread(file, size, row * size)
        finally:
            os.close(file)
        if kind and len(data) == size:
            answer[:] = np.frombuffer(data, kind)

    def _shard(self, variant: int, block: int) -> NDArray[np.float32]:
        """The rows of a shard float32 [rows, k]; all NaN where it is missing or its hash is another."""
        name = self._name(variant, block)
        wanted = self._manifest().get(name)
        data = _bytes(self.folder / name) if wanted else b""
        kind = self._type(len(data), block)
        shape = (self._rows(block), self._width)
        if kind is None or hashlib.sha256(data).hexdigest() != wanted:
            return np.full(shape, np.nan, np.float32)
        return np.frombuffer(data, kind).astype(np.float32).reshape(shape)

    def _manifest(self) -> dict[str, str]:
        try:
            shards: dict[str, str] = read_json(self.folder / _MANIFEST)["shards"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}
        return shards

    def _type(self, size: int, block: int) -> type[np.floating[Any]] | None:
        """The type of the numbers in a shard of `size` bytes; None when it is not a whole one."""
        each, rest = divmod(size, self._rows(block) * self._width)
        return None if rest else _TYPES.get(each)

    def _rows(self, block: int) -> int:
        return min(self._block, self._images - block * self._block)

    @staticmethod
    def _name(variant: int, block: int) -> str:
        return f"{variant:04d}-{block:05d}.logits"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
