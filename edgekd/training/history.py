"""What happened epoch by epoch, which epoch is the best, and when to stop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.config import FitConfig
from edgekd.plain import from_plain

SMOOTHED_EPOCHS = 3


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch (from 1), ending with step number `step` (from 1, over all epochs).

    `losses` are means over the epoch's steps; `learning_rate` is that of the last step; `validation_loss`
    the mean cross-entropy of the diagnoses in nats. `validation_auc` is the area for malignancy on the
    validation split, `validation_auc_smoothed` its mean over the last three epochs. The smoothed area
    chooses: validation splits are small, and one lucky epoch is not a better network. `best` tells whether
    no epoch before had a greater one.
    """

    epoch: int
    step: int
    learning_rate: float
    losses: dict[str, float]
    validation_loss: float
    validation_auc: float
    validation_auc_smoothed: float
    best: bool


def smoothed(history: Sequence[Epoch], auc: float) -> float:
    """The mean of `auc` and the areas of the last two epochs of `history` (as many as there are)."""
    recent = [*(epoch.validation_auc for epoch in history), auc][-SMOOTHED_EPOCHS:]
    return sum(recent) / len(recent)


def is_best(history: Sequence[Epoch], area: float) -> bool:
    """Whether no epoch of `history` has a greater smoothed area than `area`; the later of equals wins."""
    return all(area >= epoch.validation_auc_smoothed for epoch in history)


def kept(history: Sequence[Epoch]) -> Epoch:
    """The epoch whose weights are the best of a `history` that is not empty."""
    return next(epoch for epoch in reversed(history) if epoch.best)


def finished(history: Sequence[Epoch], config: FitConfig) -> bool:
    """Whether all epochs are done, or the last `patience_epochs` brought no greater smoothed area."""
    if len(history) >= config.epochs:
        return True
    if not history or not config.patience_epochs:
        return False
    areas = [epoch.validation_auc_smoothed for epoch in history]
    return len(areas) - 1 - areas.index(max(areas)) >= config.patience_epochs


def read_history(path: Path) -> tuple[Epoch, ...]:
    """The epochs in the metrics.jsonl of a training.

    Raises:
        OSError: it is not there.
        ValueError, UsageError: it is no such file.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(from_plain(Epoch, json.loads(line), "epoch") for line in lines)
