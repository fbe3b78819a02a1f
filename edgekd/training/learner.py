"""A model with everything that changes while it learns, and the one compiled step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.config import FitConfig
from edgekd.data.batches import Batch
from edgekd.training.averaging import WeightAverage, assign, corrected_decay
from edgekd.training.checkpoint import Arrays
from edgekd.training.schedule import learning_rate

tf = lazy.tensorflow()
keras = lazy.keras()

Objective = Callable[[Any, Any, Any], Mapping[str, Any]]
"""From logits [b, k], labels [b] and the teacher's logits [b, k] to scalars by name; `loss` is minimised."""


class Learner:
    """`model`, its optimizer, its averaged weights and the best weights so far.

    AdamW (Loshchilov & Hutter 2019); biases and batch normalization take no weight decay. Images are fed as
    uint8 [batch_size, px, px, 3] and cast in the graph.
    """

    def __init__(
        self, model: Any, *, config: FitConfig, objective: Objective, px: int, steps_per_epoch: int
    ) -> None:
        self.model = model
        self.steps_per_epoch = steps_per_epoch
        self._config, self._objective = config, objective
        self._optimizer = _optimizer(model, config)
        self._average = WeightAverage(model.weights) if config.average_decay else None
        self._best: Arrays = ()
        size = config.batch_size
        self._step = tf.function(
            self._one_step,
            input_signature=[
                tf.TensorSpec([size, px, px, 3], tf.uint8),
                tf.TensorSpec([size], tf.int32),
                tf.TensorSpec([size, None], tf.float32),
                tf.TensorSpec([], tf.float32),
                tf.TensorSpec([], tf.float32),
            ],
        )

    def rate(self, number: int) -> float:
        """The learning rate of step `number` (from 0)."""
        return learning_rate(number, config=self._config, steps_per_epoch=self.steps_per_epoch)

    def step(self, batch: Batch, answers: NDArray[np.float32], number: int) -> dict[str, float]:
        """The losses of step `number` (from 0) on `batch`; `answers` are the teacher's logits [b, k]."""
        decay = corrected_decay(self._config.average_decay, number + 1)
        losses = self._step(
            batch.images, batch.labels, answers, np.float32(self.rate(number)), np.float32(decay)
        )
        return {name: float(value) for name, value in losses.items()}

    def _one_step(self, images: Any, labels: Any, answers: Any, rate: Any, decay: Any) -> Mapping[str, Any]:
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            losses = self._objective(self.model(tf.cast(images, tf.float32), training=True), labels, answers)
        gradients = tape.gradient(losses["loss"], variables)
        self._optimizer.learning_rate.assign(rate)
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        if self._average is not None:
            self._average.update(decay)
        return losses

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Within the block the model holds the weights to be judged: the averages, where there are any."""
        if self._average is None:
            yield
            return
        with self._average.applied():
            yield

    def keep(self) -> None:
        """Remember the weights the model holds now as the best."""
        self._best = [weight.numpy() for weight in self.model.weights]

    def restore_best(self) -> None:
        """Give the model the best weights."""
        assign(self.model.weights, self._best)

    def state(self) -> dict[str, Arrays]:
        """Everything that changes while learning, as arrays."""
        groups = {name: [value.numpy() for value in group] for name, group in self._variables().items()}
        return {**groups, "best": self._best}

    def restore(self, arrays: Mapping[str, Arrays]) -> None:
        """Go back to a `state`."""
        for name, group in self._variables().items():
            assign(group, arrays[name])
        self._best = arrays["best"]

    def _variables(self) -> dict[str, Sequence[Any]]:
        return {
            "weights": self.model.weights,
            "optimizer": list(self._optimizer.variables),
            "averages": self._average.values if self._average is not None else (),
        }


def _optimizer(model: Any, config: FitConfig) -> Any:
    optimizer = keras.optimizers.AdamW(weight_decay=config.weight_decay, jit_compile=False)
    variables = model.trainable_variables
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])
    optimizer.build(variables)
    return optimizer
