"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from edgekd.config import FitConfig


def learning_rate(step: int, *, config: FitConfig, steps_per_epoch: int) -> float:
    """The rate of step number `step` (from 0): linear warm-up, then a cosine that ends at 0.

    Over w warm-up steps the rate is peak · (step + 1) / w; over the remaining r steps it is
    peak · (1 + cos(π · t)) / 2 with t = (step − w) / r from 0 (Loshchilov & Hutter 2017, eq. 5, one period).
    A warm-up longer than the schedule is cut to it.
    """
    total = config.epochs * steps_per_epoch
    warmup = min(round(config.warmup_epochs * steps_per_epoch), total)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return config.learning_rate * (1 + math.cos(math.pi * progress)) / 2
