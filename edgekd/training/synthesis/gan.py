"""Two generators and two discriminators with everything that changes while they learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.models.cyclegan import discriminator, generator
from edgekd.plain import digest
from edgekd.training.averaging import assign
from edgekd.training.checkpoint import Arrays
from edgekd.training.synthesis.config import SynthesisConfig
from edgekd.training.synthesis.losses import Translated, discriminator_loss, generator_losses
from edgekd.training.synthesis.pool import ImagePool

tf = lazy.tensorflow()
keras = lazy.keras()

Pixels = NDArray[np.uint8]

_AT_ONCE = 8


def linear_decay(step: int, total: int) -> float:
    """The part of the learning rate at step number `step` (from 0) of `total`: 1, and from half on to 0."""
    return min(1.0, 2.0 * (1.0 - step / total))


def translate(model: Any, pictures: Pixels) -> Pixels:
    """`pictures` (uint8 [n, px, px, 3]) through the generator `model`, eight at a time; the same shape."""
    parts = [pictures[begin : begin + _AT_ONCE] for begin in range(0, len(pictures), _AT_ONCE)]
    return np.concatenate([_bytes(model(signed(part), training=False).numpy()) for part in parts])


def signed(pictures: Any) -> Any:
    """`pictures` from 0 to 255 as float32 from −1 to 1, the same shape."""
    return tf.cast(pictures, tf.float32) / 127.5 - 1.0


@final
class CycleGan:
    """`to_malignant` and `to_benign` are the generators; each discriminator knows one kind of picture.

    One Adam moves both generators, one both discriminators. First weights are drawn from `seed`; photographs
    are fed as uint8 [n, px, px, 3]; `steps` is the length of the whole schedule.
    """

    def __init__(self, config: SynthesisConfig, *, seed: int, steps: int) -> None:
        self._config, self._steps = config, steps
        px, width, seeds = config.px, config.width, _seeds(seed)
        self.to_malignant = generator(px=px, width=width, blocks=config.blocks, seed=next(seeds))
        self.to_benign = generator(px=px, width=width, blocks=config.blocks, seed=next(seeds))
        self._judge_malignant = discriminator(px=px, width=width, seed=next(seeds))
        self._judge_benign = discriminator(px=px, width=width, seed=next(seeds))
        self._making = [*self.to_malignant.trainable_variables, *self.to_benign.trainable_variables]
        self._judging = [
            *self._judge_malignant.trainable_variables,
            *self._judge_benign.trainable_variables,
        ]
        self._maker, self._judge = self._adam(self._making), self._adam(self._judging)
        self._made_malignant = ImagePool(config.pool, seed=seed, name="pool malignant")
        self._made_benign = ImagePool(config.pool, seed=seed, name="pool benign")
        photographs = tf.TensorSpec([None, config.px, config.px, 3], tf.uint8)
        made = tf.TensorSpec([None, config.px, config.px, 3], tf.float32)
        rate = tf.TensorSpec([], tf.float32)
        self._make = tf.function(self._improve_generators, [photographs, photographs, rate])
        self._discern = tf.function(
            self._improve_discriminators, [photographs, photographs, made, made, rate]
        )

    def rate(self, number: int) -> float:
        """The learning rate of step `number` (from 0)."""
        return self._config.learning_rate * linear_decay(number, self._steps)

    def step(self, benign: Pixels, malignant: Pixels, number: int) -> dict[str, float]:
        """The losses of step `number` (from 0) on photographs of both kinds, generators first."""
        rate = np.float32(self.rate(number))
        losses, made_malignant, made_benign = self._make(benign, malignant, rate)
        judged = self._discern(
            benign,
            malignant,
            self._made_benign.exchange(made_benign.numpy(), number),
            self._made_malignant.exchange(made_malignant.numpy(), number),
            rate,
        )
        return {name: float(value) for name, value in {**losses, "discriminators": judged}.items()}

    def state(self) -> dict[str, Arrays]:
        """Everything that changes while learning, as arrays."""
        groups = {name: [value.numpy() for value in group] for name, group in self._variables().items()}
        return {**groups, "made_malignant": self._made_malignant.kept, "made_benign": self._made_benign.kept}

    def restore(self, arrays: Mapping[str, Arrays]) -> None:
        """Go back to a `state`."""
        for name, group in self._variables().items():
            assign(group, arrays[name])
        self._made_malignant.kept = list(arrays["made_malignant"])
        self._made_benign.kept = list(arrays["made_benign"])

    def _adam(self, variables: Sequence[Any]) -> Any:
        adam = keras.optimizers.Adam(
            self._config.learning_rate, beta_1=self._config.beta_1, jit_compile=False
        )
        adam.build(variables)
        return adam

    def _improve_generators(
        self, benign: Any, malignant: Any, rate: Any
    ) -> tuple[Mapping[str, Any], Any, Any]:
        benign, malignant = signed(benign), signed(malignant)
        with tf.GradientTape() as tape:
            made_malignant, same_malignant = _both(self.to_malignant, benign, malignant)
            same_benign, made_benign = _both(self.to_benign, benign, malignant)
            losses = generator_losses(
                Translated(
                    photographs=benign,
                    cycled=self.to_benign(made_malignant, training=True),
                    same=same_benign,
                    judged=self._judge_malignant(made_malignant, training=True),
                ),
                Translated(
                    photographs=malignant,
                    cycled=self.to_malignant(made_benign, training=True),
                    same=same_malignant,
                    judged=self._judge_benign(made_benign, training=True),
                ),
                cycle_weight=self._config.cycle_weight,
                identity_weight=self._config.identity_weight,
            )
        _descend(self._maker, tape.gradient(losses["generators"], self._making), self._making, rate)
        return losses, made_malignant, made_benign

    def _improve_discriminators(
        self, benign: Any, malignant: Any, made_benign: Any, made_malignant: Any, rate: Any
    ) -> Any:
        benign, malignant = signed(benign), signed(malignant)
        with tf.GradientTape() as tape:
            loss = tf.add_n(
                [
                    discriminator_loss(*_both(self._judge_malignant, malignant, made_malignant)),
                    discriminator_loss(*_both(self._judge_benign, benign, made_benign)),
                ]
            )
        _descend(self._judge, tape.gradient(loss, self._judging), self._judging, rate)
        return loss

    def _variables(self) -> dict[str, Sequence[Any]]:
        return {
            "generators": [*self.to_malignant.weights, *self.to_benign.weights],
            "discriminators": [*self._judge_malignant.weights, *self._judge_benign.weights],
            "maker": list(self._maker.variables),
            "judge": list(self._judge.variables),
        }


def _both(model: Any, one: Any, other: Any) -> Any:
    """`model` of two batches of one size, at once: no layer mixes pictures, and large batches are quicker."""
    return tf.split(model(tf.concat([one, other], axis=0), training=True), 2)


def _descend(optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any], rate: Any) -> None:
    optimizer.learning_rate.assign(rate)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


def _seeds(seed: int) -> Iterator[int]:
    return (int(digest([seed, "network", number])[:7], 16) for number in range(4))


def _bytes(pictures: NDArray[np.float32]) -> Pixels:
    rounded: Pixels = np.rint((pictures + 1.0) * 127.5).clip(0, 255).astype(np.uint8)
    return rounded
