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
from edgekd.models.inputs import feed, n_features
from edgekd.training.averaging import WeightAverage, assign, corrected_decay
from edgekd.training.checkpoint import Arrays
from edgekd.training.optimizers import make_optimizer
from edgekd.training.schedule import learning_rate
from edgekd.training.strategy import ALONE, Spread

tf = lazy.tensorflow()

Objective = Callable[[Any, Any, Any], Mapping[str, Any]]
"""From logits [b, k], labels [b] and the teacher's logits [b, k] to scalars by name; `loss` is minimised."""


class Learner:
    """`model`, its optimizer, its averaged weights and the best weights so far.

    `trained` is what learns: `model` itself, or its copies on the replicas of `spread`; `model` then holds
    weights only while they are judged. Images are fed as uint8 [batch_size, px, px, 3] and cast in the graph.
    """

    def __init__(
        self,
        model: Any,
        *,
        config: FitConfig,
        objective: Objective,
        px: int,
        steps_per_epoch: int,
        spread: Spread = ALONE,
    ) -> None:
        self.model = model
        self.trained = spread.copy(model)
        self.steps_per_epoch = steps_per_epoch
        self.spread = spread
        self._config, self._objective = config, objective
        with spread.scope():
            self._optimizer = make_optimizer(config, self.trained.trainable_variables)
            self._average = WeightAverage(self.trained.weights) if config.average_decay else None
        self._best: Arrays = ()
        alone = _signature(config.batch_size, px, n_features(model))
        self._step = tf.function(self._whole_step, input_signature=None if spread.strategy else alone)

    def rate(self, number: int) -> float:
        """The learning rate of step `number` (from 0)."""
        return learning_rate(number, config=self._config, steps_per_epoch=self.steps_per_epoch)

    def step(self, batch: Batch, answers: NDArray[np.float32], number: int) -> dict[str, float]:
        """The losses of step `number` (from 0); `answers` are the teacher's logits [b, k] for `batch`.

        `batch` is this worker's part of the whole one, the losses are those of the whole.
        """
        decay = corrected_decay(self._config.average_decay, number + 1)
        rate = tf.constant(self.rate(number), tf.float32)
        fed = self.spread.values(batch.images, batch.labels, answers, batch.features)
        losses = self._step(fed, rate, tf.constant(decay, tf.float32))
        return {name: float(value) for name, value in losses.items()}

    def _whole_step(self, fed: Sequence[Any], rate: Any, decay: Any) -> Mapping[str, Any]:
        self._optimizer.learning_rate.assign(rate)
        losses = self.spread.run(self._one_replica, fed)
        if self._average is not None:
            self._average.update(decay)
        return losses

    def _one_replica(self, images: Any, labels: Any, answers: Any, features: Any) -> Mapping[str, Any]:
        """The replica's part of the losses; the optimizer adds up the gradients of all."""
        variables = self.trained.trainable_variables
        with tf.GradientTape() as tape:
            fed = feed(self.trained, tf.cast(images, tf.float32), features)
            losses = self._objective(self.trained(fed, training=True), labels, answers)
            losses = {name: value / self.spread.replicas for name, value in losses.items()}
        gradients = tape.gradient(losses["loss"], variables)
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return losses

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Within the block `model` holds the weights to be judged: the averages, where there are any."""
        if self.trained is not self.model:
            self._even_out()
            assign(self.model.weights, self._average.values if self._average else self.trained.weights)
            yield
        elif self._average is None:
            yield
        else:
            with self._average.applied():
                yield

    def _even_out(self) -> None:
        """Give every replica the mean of what each counted for itself: the statistics of batch norm."""
        assign(self.trained.weights, [weight.numpy() for weight in self.trained.weights])

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
            "weights": self.trained.weights,
            "optimizer": list(self._optimizer.variables),
            "averages": self._average.values if self._average is not None else (),
        }


def _signature(size: int, px: int, features: int) -> list[Any]:
    """(Images, labels, answers, features), learning rate, decay of the averages."""
    batch = (
        tf.TensorSpec([size, px, px, 3], tf.uint8),
        tf.TensorSpec([size], tf.int32),
        tf.TensorSpec([size, None], tf.float32),
        tf.TensorSpec([size, features], tf.float32),
    )
    return [batch, tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.float32)]
