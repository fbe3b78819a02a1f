"""Teachers for images they never saw: the training split in folds, and who may answer for which image.

    <teach>/folds.json                 who is who, and the fold of every training image (edgekd.folds/1)
    <teach>/fold-0.keras …             member k, trained on all folds but k; then those of the next repeat
    <teach>/fold-0/metrics.jsonl …     its epochs

A network is surer of what it was trained on than it will ever be again, and a student who hears that learns
to be as sure. For a training image, therefore, the one member of every repeat answers that saw neither it nor
another picture of its lesion or patient; elsewhere the mean of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.data.dataset import Dataset, Samples
from edgekd.data.store import ImageStore
from edgekd.errors import ModelError, UsageError
from edgekd.plain import from_plain, read_json, write_json
from edgekd.runtimes.base import Engine, Features, Runtime

RECORD, SCHEMA = "folds.json", "edgekd.folds/1"


@dataclass(frozen=True, kw_only=True)
class FoldsRecord:
    """The `members` (file names), and for each training image the number of the one that did not see it.

    `again` are the folds of each further repeat, whose members follow in their order and are counted anew.
    """

    schema: str = SCHEMA
    members: tuple[str, ...]
    folds: Mapping[str, int]
    again: tuple[Mapping[str, int], ...] = ()

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"folds: schema is {self.schema!r}, expected {SCHEMA!r}")


def without_fold(dataset: Dataset, folds: NDArray[np.int64], fold: int) -> Dataset:
    """`dataset` whose training split lacks the images of `fold` (`folds` int64 [n], one a training image)."""
    return replace(dataset, train=subset(dataset.train, np.flatnonzero(folds != fold)))


def subset(samples: Samples, numbers: NDArray[np.int64]) -> Samples:
    """The `samples` with these `numbers` (int64 [m]), in their order."""
    rows = tuple(samples.rows[number] for number in numbers.tolist())
    return replace(
        samples,
        rows=rows,
        labels=samples.labels[numbers],
        malignant=samples.malignant[numbers],
        features=samples.features[numbers],
        images=ImageStore(samples.images.folder, [row.image_id for row in rows]),
    )


def write_folds(
    folder: Path, dataset: Dataset, repeats: Sequence[NDArray[np.int64]], members: Sequence[str]
) -> None:
    """Write folds.json into `folder`; `repeats` are the folds of each, int64 [n], one a training image."""
    names = dataset.train.ids()
    first, *again = (dict(zip(names, folds.tolist(), strict=True)) for folds in repeats)
    write_json(folder / RECORD, FoldsRecord(members=tuple(members), folds=first, again=tuple(again)))


def members_of(folder: Path) -> list[Path]:
    """The teachers' files in `folder`, those of folds in their order.

    Raises:
        ModelError: there is none, or one that folds.json names is missing.
    """
    record = read_folds(folder)
    found = [folder / name for name in record.members] if record else sorted(folder.glob("*.keras"))
    if not found:
        raise ModelError(f"{folder} holds no .keras file: train a teacher first (edgekd teach)")
    missing = [path for path in found if not path.is_file()]
    if missing:
        raise ModelError(f"{missing[0]} is missing, {RECORD} names it: train the teacher again")
    return found


def read_folds(folder: Path) -> FoldsRecord | None:
    """The record in `folder`; None where its teachers were not trained on folds.

    Raises:
        ModelError: it is no such record.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        return from_plain(FoldsRecord, read_json(path), RECORD)
    except (OSError, ValueError, UsageError) as error:
        raise ModelError(f"{path} is not readable as folds ({error}): train the teacher again") from error


def answering(folder: Path, samples: Samples) -> NDArray[np.bool_] | None:
    """Who of `members_of(folder)` may answer for which of `samples`, bool [members, n]; None: all for all.

    A member of folds answers for what it did not see; images that no fold knows are answered by all.

    Raises:
        ModelError: folds.json is no such record.
    """
    record = read_folds(folder)
    if record is None:
        return None
    repeats = (record.folds, *record.again)
    count = len(record.members) // len(repeats)
    return np.concatenate([_unseen(folds, count, samples) for folds in repeats])


def _unseen(folds: Mapping[str, int], count: int, samples: Samples) -> NDArray[np.bool_]:
    """Which of the `count` members of one repeat did not see which of `samples`, bool [count, n]."""
    fold = np.array([folds.get(name, -1) for name in samples.ids()], np.int64)
    unseen: NDArray[np.bool_] = (fold < 0) | (fold == np.arange(count)[:, None])
    return unseen


class Mean:
    """Several networks as one `Runtime`: the mean of their logits.

    Raises:
        ModelError: they take pictures of different sizes or give different outputs.
    """

    def __init__(self, members: Sequence[Runtime]) -> None:
        shapes = {(one.input_px, one.n_logits, one.n_features) for one in members}
        if len(shapes) != 1:
            raise ModelError(f"members of one teacher differ in (side, outputs, patient values): {shapes}")
        self._members = tuple(members)

    @property
    def engine(self) -> Engine:
        """That of the members."""
        return self._members[0].engine

    @property
    def input_px(self) -> int:
        """The side of the square input, in pixels."""
        return self._members[0].input_px

    @property
    def n_logits(self) -> int:
        """The number of outputs."""
        return self._members[0].n_logits

    @property
    def n_features(self) -> int:
        """The length of the patient vector; 0 for models of pictures alone."""
        return self._members[0].n_features

    def logits(self, images: NDArray[np.uint8], features: Features | None = None) -> NDArray[np.float32]:
        """The mean of the members' raw outputs [n, k]."""
        said = np.stack([member.logits(images, features) for member in self._members])
        return np.asarray(said.mean(axis=0, dtype=np.float64), np.float32)

    def close(self) -> None:
        """Give the members' memory back."""
        for member in self._members:
            member.close()
