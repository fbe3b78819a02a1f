"""The averaged weights that are evaluated and kept: an exponential moving average over the steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edgekd import lazy

tf = lazy.tensorflow()


def corrected_decay(decay: float, step: int) -> float:
    """The decay of step number `step` (from 1) that makes the average unbiased from the first step on.

    decay · (1 − decay^(step − 1)) / (1 − decay^step): the running form of Adam's bias correction (Kingma &
    Ba 2015, section 3). 0 at the first step, so the first weights' random values never enter; `decay` in
    the limit.
    """
    return decay * (1 - decay ** (step - 1)) / (1 - decay**step)


class WeightAverage:
    """The moving average of `weights` (trained ones and batch-norm statistics alike).

    The statistics of batch normalization are averaged with the same decay, so that they belong to the same
    stretch of training as the averaged weights. What is not a float is taken over as it is.
    """

    def __init__(self, weights: Sequence[Any]) -> None:
        self._weights = tuple(weights)
        self.values = tuple(tf.Variable(weight, trainable=False) for weight in self._weights)

    def update(self, decay: Any) -> None:
        """average ← decay · average + (1 − decay) · weight; `decay` is a float32 scalar."""
        for value, weight in zip(self.values, self._weights, strict=True):
            if weight.dtype.is_floating:
                value.assign_sub((1.0 - decay) * (value - weight))
            else:
                value.assign(weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model holds the averages; after it, its own weights again."""
        own = [weight.numpy() for weight in self._weights]
        assign(self._weights, self.values)
        try:
            yield
        finally:
            assign(self._weights, own)


def assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """Set each of `variables` to the value in the same place."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
