"""The teacher is paid for once: its logits for every augmented image the student will see, stored.

    teacher_cache/plan.json      what the answers depend on: teacher, images, augmentation, seed
    teacher_cache/pairs.npy      int64 [n, 2]: the distinct (image, variant) pairs, sorted
    teacher_cache/00000.npy …    float32 [rows, k]: the logits of `SHARD_PAIRS` pairs each, in that order
    teacher_cache/manifest.json  written last: sha256 of every shard

The pairs are those of the student's own schedule and the pixels those of its own batches, byte for byte,
so that teacher and student look at the same picture (Beyer et al. 2022; Faghri et al. 2023). A killed pass
goes on behind the last whole shard.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.config import FitConfig
from edgekd.console import progress
from edgekd.data.batches import Batch, Batches, Draws, draws
from edgekd.data.dataset import Dataset
from edgekd.errors import ModelError, storage_errors
from edgekd.plain import canonical_json, digest, file_digest, write_json, write_text
from edgekd.runtimes.base import Runtime, beside
from edgekd.training.strategy import ALONE, Spread

FOLDER = "teacher_cache"
SCHEMA = "edgekd.teacher_cache/1"
SHARD_PAIRS = 2048
_PLAN, _PAIRS, _MANIFEST = "plan.json", "pairs.npy", "manifest.json"


class TeacherCache:
    """The stored logits, found by (image, variant).

    `pairs` int64 [n, 2], sorted; `logits` float32 [n, k] (4 · k + 8 bytes of memory a pair).
    """

    def __init__(self, pairs: NDArray[np.int64], logits: NDArray[np.float32], identity: str) -> None:
        self._width = int(pairs[:, 1].max()) + 1
        self._keys = pairs[:, 0] * self._width + pairs[:, 1]
        self._logits = logits
        self._identity = identity

    @property
    def identity(self) -> str:
        """The digest of the plan."""
        return self._identity

    def __len__(self) -> int:
        return len(self._keys)

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """The teacher's raw logits [b, k] for the images of `batch`.

        Raises:
            ModelError: the batch holds a pair the teacher was never asked for.
        """
        wanted = batch.index * self._width + batch.variant
        found = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        missing = (self._keys[found] != wanted) | (batch.variant >= self._width)
        if missing.any():
            image, variant = batch.index[missing][0], batch.variant[missing][0]
            raise ModelError(
                f"the teacher's answer for image {image}, variant {variant} is not stored: the cache belongs "
                "to another schedule; remove it and repeat"
            )
        return self._logits[found]


def schedule_pairs(
    dataset: Dataset, config: FitConfig, *, seed: int, variants: int, spread: Spread = ALONE
) -> NDArray[np.int64]:
    """The distinct (image, variant) pairs that all epochs of `config` draw, int64 [n, 2], sorted.

    Of several workers, those of this one's part of every batch.
    """
    epochs = (
        draws(dataset.train, fit=config, shares=dataset.shares, seed=seed, epoch=epoch, variants=variants)
        for epoch in range(config.epochs)
    )
    shown = (spread.own(epoch, config.batch_size) for epoch in epochs)
    return np.unique(np.concatenate([np.stack([e.index, e.variant], axis=1) for e in shown]), axis=0)


def ask_teacher(
    teachers: Sequence[Runtime],
    *,
    digests: Sequence[str],
    dataset: Dataset,
    config: FitConfig,
    seed: int,
    variants: int,
    out: Path,
    spread: Spread = ALONE,
) -> TeacherCache:
    """The logits of `teachers` (their mean) for the student's schedule, stored below `out`.

    `digests` identify the teachers. What an earlier pass with the same plan left there is used. Each of
    several workers asks for its own part alone; the identity is that of the whole.

    Raises:
        ModelError: a teacher's outputs are not the data set's classes, or are not finite.
        StorageError: the disk is full or cannot be written.
    """
    for teacher in teachers:
        _check_outputs(teacher, dataset)
    pairs = schedule_pairs(dataset, config, seed=seed, variants=variants)
    plan = _plan(pairs, digests, dataset, config, seed)
    identity, folder = digest(plan), out / FOLDER
    if spread.workers > 1:
        pairs = schedule_pairs(dataset, config, seed=seed, variants=variants, spread=spread)
        plan["part"] = [spread.worker, spread.workers]
    with storage_errors(folder):
        _open_folder(folder, plan, pairs)
        shards = _fill(folder, pairs, lambda part: _answers(part, teachers, dataset, config, seed))
        write_json(folder / _MANIFEST, {"schema": SCHEMA, "shards": {p.name: file_digest(p) for p in shards}})
    logits = np.concatenate([np.load(path) for path in shards])
    return TeacherCache(pairs, logits, identity)


def _plan(
    pairs: NDArray[np.int64], digests: Sequence[str], dataset: Dataset, config: FitConfig, seed: int
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "teachers": list(digests),
        "classes": dataset.classes,
        "images": digest([row.image_id for row in dataset.train.rows]),
        "patient": hashlib.sha256(dataset.train.features.tobytes()).hexdigest(),
        "pairs": hashlib.sha256(pairs.tobytes()).hexdigest(),
        "px": dataset.input_px,
        "augment": config.augment,
        "seed": seed,
    }


def _open_folder(folder: Path, plan: dict[str, Any], pairs: NDArray[np.int64]) -> None:
    """An empty folder with this plan, unless it is there already: another plan's shards are removed."""
    text = canonical_json(plan) + "\n"
    if (folder / _PLAN).is_file() and (folder / _PLAN).read_text(encoding="utf-8") == text:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    np.save(folder / _PAIRS, pairs)
    write_text(folder / _PLAN, text)


def _fill(
    folder: Path,
    pairs: NDArray[np.int64],
    answer: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> list[Path]:
    """Every shard of `folder`, in order; those that are missing are computed."""
    paths = []
    with progress("ask the teacher", len(pairs), "images") as advance:
        for number, begin in enumerate(range(0, len(pairs), SHARD_PAIRS)):
            part = pairs[begin : begin + SHARD_PAIRS]
            path = folder / f"{number:05d}.npy"
            if not path.exists():
                _write_shard(path, answer(part))
            advance(len(part), "")
            paths.append(path)
    return paths


def _answers(
    pairs: NDArray[np.int64], teachers: Sequence[Runtime], dataset: Dataset, config: FitConfig, seed: int
) -> NDArray[np.float32]:
    batches = Batches(
        dataset.train,
        Draws(index=pairs[:, 0], variant=pairs[:, 1]),
        px=dataset.input_px,
        batch_size=config.batch_size,
        config=config.augment,
        seed=seed,
    )
    return np.concatenate(
        [
            _mean(teacher.logits(batch.images, *beside(batch.features)) for teacher in teachers)
            for batch in batches
        ]
    )


def _mean(members: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    answers: NDArray[np.float32] = np.stack(list(members)).mean(axis=0, dtype=np.float64).astype(np.float32)
    if not np.isfinite(answers).all():
        raise ModelError("a teacher's logit is not finite: its training diverged; train the teacher again")
    return answers


def _write_shard(path: Path, logits: NDArray[np.float32]) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        np.save(file, logits)
    part.replace(path)


def _check_outputs(teacher: Runtime, dataset: Dataset) -> None:
    if (teacher.n_logits, teacher.input_px) != (len(dataset.classes), dataset.input_px):
        raise ModelError(
            f"the teacher gives {teacher.n_logits} logits at {teacher.input_px} px, expected "
            f"{len(dataset.classes)} ({', '.join(dataset.classes)}) at {dataset.input_px} px: "
            "train the teacher on this data set"
        )
