"""The teacher is paid for once: its logits for every augmented image the student will see, stored.

The pixels are those of the student's own batches, byte for byte, so that teacher and student look at the same
picture (Beyer et al. 2022; Faghri et al. 2023). Each member of an ensemble has a store of its own
(`edgekd.training.logit_store`), keyed by its weights, its engine, the images, the augmentation, the seed, its
input side and the versions of what computes; the mean is taken on reading. So another member, more variants
or more epochs cost what is missing, and any number of students and runs may share a folder. A killed pass
goes on behind the last whole shard.

A member whose input is larger or smaller than the student's sees the same view at its own side: the same
rectangle of the stored picture, the same turn, mirrors and colours, from the same draw of
`edgekd.imaging.augment`, scaled once, straight from the stored picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.config import FitConfig
from edgekd.console import progress
from edgekd.data.batches import Batch, Batches, Draws, draws
from edgekd.data.dataset import Dataset
from edgekd.data.store import read_manifest
from edgekd.errors import ModelError, storage_errors
from edgekd.plain import digest
from edgekd.runs import tool_versions
from edgekd.runtimes.base import Runtime, beside
from edgekd.runtimes.predict import BATCH
from edgekd.training.logit_store import LogitStore
from edgekd.training.strategy import ALONE, Spread

FOLDER = "teacher_cache"
SHARD_PAIRS = 2048
# Raised by hand when the code changes the pixels that a teacher is shown.
VERSION = 1
_TOOLS = ("numpy", "opencv-python-headless", "tensorflow", "tf-keras")


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """The augmented training images of `dataset`, as a student of `config` and `seed` sees them."""

    dataset: Dataset
    config: FitConfig
    seed: int

    def show(self, images: NDArray[np.int64], variant: NDArray[np.int64] | int, px: int) -> Batches:
        """The `variant` (one, or int64 [m]) of `images` (int64 [m]) at side `px`, in batches, in order."""
        return Batches(
            self.dataset.train,
            Draws(index=images, variant=np.broadcast_to(np.int64(variant), images.shape)),
            px=px,
            batch_size=BATCH,
            config=self.config.augment,
            seed=self.seed,
        )

    def plan(self) -> dict[str, Any]:
        """What they depend on, whoever looks at them."""
        train = self.dataset.train
        pixels = read_manifest(train.images.folder)
        return {
            "version": VERSION,
            "classes": self.dataset.classes,
            "images": digest(train.ids()),
            "pixels": digest([pixels.px, pixels.image_ids, [shard.sha256 for shard in pixels.shards]]),
            "patient": hashlib.sha256(train.features.tobytes()).hexdigest(),
            "augment": self.config.augment,
            "seed": self.seed,
            "tools": tool_versions(_TOOLS),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """A teacher, its store, and for which training images it answers, bool [n]."""

    teacher: Runtime
    store: LogitStore
    answers: NDArray[np.bool_]

    def missing(self, variant: int, images: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For which of `images` (int64 [m], of one shard) it still has to be asked: bool [m]."""
        return self.store.missing(variant, images) & self.answers[images]


class TeacherCache:
    """The stored logits of one or more teachers, found by (image, variant); `pairs` is how many were asked.

    `stores` and `answers` (bool [members, n]: who answers for which image) belong together. Nothing is held
    in memory.
    """

    def __init__(self, stores: Sequence[LogitStore], answers: NDArray[np.bool_], pairs: int) -> None:
        self._stores, self._answers, self._pairs = tuple(stores), answers, pairs

    @property
    def identity(self) -> str:
        """The digest of everything the answers depend on."""
        who = hashlib.sha256(self._answers.tobytes()).hexdigest()
        return digest([[store.key for store in self._stores], who])

    def __len__(self) -> int:
        return self._pairs

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """The teacher's raw logits [b, k] for the images of `batch`: the mean of those who answer for each.

        Raises:
            ModelError: the batch holds a pair the teacher was never asked for.
        """
        members = np.stack([store.read(batch.index, batch.variant) for store in self._stores])
        heard = self._answers[:, batch.index, None]
        total = members.sum(axis=0, dtype=np.float64, where=heard)
        answers: NDArray[np.float32] = (total / heard.sum(axis=0)).astype(np.float32)
        missing = np.isnan(answers).any(axis=1)
        if missing.any():
            image, variant = batch.index[missing][0], batch.variant[missing][0]
            raise ModelError(
                f"the teacher's answer for image {image}, variant {variant} is not stored: the cache belongs "
                "to another schedule, or was removed; repeat the command"
            )
        return answers


def schedule_pairs(
    dataset: Dataset, config: FitConfig, *, seed: int, variants: int, spread: Spread = ALONE
) -> NDArray[np.int64]:
    """The distinct (image, variant) pairs that all epochs of `config` draw, int64 [n, 2], sorted.

    Of several workers, those of this one's part of every batch. Fewer `variants` or epochs draw a part of
    what more of them draw.
    """
    pairs = np.empty((0, 2), np.int64)
    for epoch in range(config.epochs):
        shown = draws(
            dataset.train, fit=config, shares=dataset.shares, seed=seed, epoch=epoch, variants=variants
        )
        own = spread.own(shown, config.batch_size)
        pairs = np.unique(np.concatenate([pairs, np.stack([own.index, own.variant], axis=1)]), axis=0)
    return pairs


def ask_teacher(
    teachers: Sequence[Runtime],
    *,
    digests: Sequence[str],
    dataset: Dataset,
    config: FitConfig,
    seed: int,
    variants: int,
    out: Path,
    store: Path | None = None,
    answering: NDArray[np.bool_] | None = None,
    spread: Spread = ALONE,
) -> TeacherCache:
    """The logits of `teachers` (their mean) for the student's schedule, stored below `out`, or in `store`.

    `digests` identify the teachers. `answering` bool [members, n] says which member answers for which
    training image (default: all for all): with it, members trained on folds answer for the images they never
    saw. What is stored already is used, whoever asked for it; several processes may share `store`. Each of
    several workers asks for its own part alone; the identity is that of the whole.

    Raises:
        ModelError: a teacher's outputs are not the data set's classes, or are not finite; or nobody answers
            for an image.
        StorageError: the disk is full or cannot be written.
    """
    for teacher in teachers:
        _check_outputs(teacher, dataset)
    heard = np.ones((len(teachers), len(dataset.train)), np.bool_) if answering is None else answering
    _check_answering(heard, len(teachers), dataset)
    root, views = store or out / FOLDER, Views(dataset=dataset, config=config, seed=seed)
    plan = views.plan()
    members = [
        Member(teacher=teacher, store=_store(root, plan, told, teacher, dataset), answers=own)
        for teacher, told, own in zip(teachers, digests, heard, strict=True)
    ]
    pairs = schedule_pairs(dataset, config, seed=seed, variants=variants, spread=spread)
    with storage_errors(root):
        _fill(members, pairs, views)
    return TeacherCache([member.store for member in members], heard, len(pairs))


def _store(root: Path, plan: dict[str, Any], told: str, teacher: Runtime, dataset: Dataset) -> LogitStore:
    engine = teacher.engine
    return LogitStore(
        root,
        {**plan, "teacher": told, "px": teacher.input_px, "engine": [engine.name, engine.version]},
        images=len(dataset.train),
        width=len(dataset.classes),
        block=SHARD_PAIRS,
    )


def _fill(members: Sequence[Member], pairs: NDArray[np.int64], views: Views) -> None:
    """Ask every member for what is missing of `pairs`; those of one input side look at the same views."""
    sides = sorted({member.teacher.input_px for member in members})
    with progress("ask the teacher", len(pairs) * len(sides), "images") as advance:
        for px in sides:
            beholders = [member for member in members if member.teacher.input_px == px]
            for variant, images in _shards(pairs):
                _fill_shard(beholders, variant, images, views)
                advance(len(images), "")


def _shards(pairs: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The variant and the images, int64 [m], of every shard that holds some of `pairs`."""
    for variant in np.unique(pairs[:, 1]).tolist():
        images = pairs[pairs[:, 1] == variant, 0]
        blocks = images // SHARD_PAIRS
        for block in np.unique(blocks):
            yield variant, images[blocks == block]


def _fill_shard(members: Sequence[Member], variant: int, images: NDArray[np.int64], views: Views) -> None:
    """Complete one shard of each of `members`; what another process is just writing is not asked again."""
    lacking = [member for member in members if member.missing(variant, images).any()]
    stores = {member.store.key: member.store for member in lacking}
    with ExitStack() as held:
        for _, store in sorted(stores.items()):  # everybody in this order, or two would wait for each other
            held.enter_context(store.locked())
        wanted = [member.missing(variant, images) for member in lacking]
        answers = _answers(lacking, wanted, variant, images, views)
        for member, own, logits in zip(lacking, wanted, answers, strict=True):
            if own.any():
                member.store.add(variant, images[own], np.concatenate(logits))


def _answers(
    members: Sequence[Member],
    wanted: Sequence[NDArray[np.bool_]],
    variant: int,
    images: NDArray[np.int64],
    views: Views,
) -> list[list[NDArray[np.float32]]]:
    """What each of `members`, of one input side, says of those of `images` that are `wanted` of it.

    Members that lack the same images look at the same views, made once.
    """
    answers: list[list[NDArray[np.float32]]] = [[] for _ in members]
    for own in {one.tobytes(): one for one in wanted if one.any()}.values():
        group = [number for number, other in enumerate(wanted) if np.array_equal(own, other)]
        for batch in views.show(images[own], variant, members[0].teacher.input_px):
            for number in group:
                answers[number].append(_ask(members[number].teacher, batch))
    return answers


def _ask(teacher: Runtime, batch: Batch) -> NDArray[np.float32]:
    """The logits [b, k] of `teacher` for `batch`, shown as `BATCH` pictures whatever their number.

    An engine may round otherwise in a batch of another size: so an answer is the same whoever was asked about
    beside it.
    """
    shown = np.resize(np.arange(len(batch.labels)), BATCH)
    logits = teacher.logits(batch.images[shown], *beside(batch.features[shown]))[: len(batch.labels)]
    if not np.isfinite(logits).all():
        raise ModelError("a teacher's logit is not finite: its training diverged; train the teacher again")
    return logits


def _check_outputs(teacher: Runtime, dataset: Dataset) -> None:
    if teacher.n_logits != len(dataset.classes):
        raise ModelError(
            f"the teacher gives {teacher.n_logits} logits at {teacher.input_px} px, expected "
            f"{len(dataset.classes)} ({', '.join(dataset.classes)}): train the teacher on this data set"
        )


def _check_answering(answering: NDArray[np.bool_], members: int, dataset: Dataset) -> None:
    if answering.shape != (members, len(dataset.train)):
        expected = f"[{members}, {len(dataset.train)}]"
        raise ModelError(
            f"who answers for which image is {list(answering.shape)}, expected {expected}: one row a teacher"
        )
    silent = ~answering.any(axis=0)
    if silent.any():
        image = dataset.train.rows[int(np.argmax(silent))].image_id
        raise ModelError(
            f"no teacher answers for {silent.sum()} training image(s), {image!r} first: add a teacher that "
            "did not see them"
        )
