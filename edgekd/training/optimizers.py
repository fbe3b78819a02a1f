"""What turns gradients into steps, by name.

All take the learning rate of the schedule, step by step. Weight decay belongs to AdamW alone, where it is
decoupled from the gradient (Loshchilov & Hutter 2019); the others are used as published, without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgekd import lazy
from edgekd.config import FitConfig, Optimizer

tf = lazy.tensorflow()
keras = lazy.keras()

SYNC_STEPS = 6
"""How many fast steps Lookahead waits; TensorFlow Addons' number. Zhang et al. 2019 use 5 on CIFAR."""
SLOW_SHARE = 0.5


def make_optimizer(config: FitConfig, variables: Sequence[Any]) -> Any:
    """The optimizer `config.optimizer` names, its state made for `variables`.

    Biases and batch normalization take no weight decay.
    """
    optimizer = _MAKE[config.optimizer](config)
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])
    optimizer.build(variables)
    return optimizer


class RAdamLookahead(keras.optimizers.Optimizer):  # type: ignore[misc,name-defined]
    """Rectified Adam (Liu et al. 2020, algorithm 2) inside Lookahead (Zhang et al. 2019, algorithm 1).

    With g the gradient, t the step from 1 and ρ∞ = 2 / (1 − β₂) − 1:

        m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²         m̂ = m / (1 − β₁^t)
        ρ = ρ∞ − 2 t β₂^t / (1 − β₂^t)
        θ ← θ − α r m̂ / (√(v / (1 − β₂^t)) + ε)   where ρ > 4, with
            r² = (ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ);        θ ← θ − α m̂   elsewhere
        every k-th step                φ ← φ + s (θ − φ)              θ ← φ

    β₁ = 0.9, β₂ = 0.999, ε = 1e-7; k is `SYNC_STEPS`, s is `SLOW_SHARE`. The slow weights φ begin as the
    first weights and are part of the state, like m, v and the step.
    """

    _BETAS = (0.9, 0.999)
    _EPSILON = 1e-7

    def __init__(self, learning_rate: float = 1e-3) -> None:
        super().__init__(name="RAdamLookahead", weight_decay=None, jit_compile=False)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self._built = False

    def build(self, var_list: Sequence[Any]) -> None:
        """Make m, v and the slow weights of every variable, once."""
        super().build(var_list)
        if self._built:
            return
        self._built = True
        new = self.add_variable_from_reference
        self._means = [new(variable, "m") for variable in var_list]
        self._squares = [new(variable, "v") for variable in var_list]
        self._slow = [new(variable, "slow", initial_value=variable) for variable in var_list]

    def update_step(self, gradient: Any, variable: Any) -> None:
        """One step of one variable."""
        number = self._index_dict[self._var_key(variable)]
        mean, square, slow = self._means[number], self._squares[number], self._slow[number]
        first, second = self._BETAS
        step = self.iterations + 1
        mean.assign_add((gradient - mean) * (1 - first))
        square.assign_add((tf.square(gradient) - square) * (1 - second))
        steady, plain, correction = _rectification(step, first, second)
        rate = self.learning_rate
        rectified = rate * steady * mean / (tf.sqrt(square) * correction + self._EPSILON)
        fast = variable - tf.where(steady > 0, rectified, rate * plain * mean)
        meets = tf.equal(step % SYNC_STEPS, 0)
        slow.assign(tf.where(meets, slow + SLOW_SHARE * (fast - slow), slow))
        variable.assign(tf.where(meets, slow, fast))

    def get_config(self) -> dict[str, Any]:
        """The learning rate; all else is fixed."""
        return {"learning_rate": self._serialize_hyperparameter(self._learning_rate)}


def _rectification(step: Any, first: float, second: float) -> tuple[Any, Any, Any]:
    """r / (1 − β₁^t) (0 where ρ ≤ 4), 1 / (1 − β₁^t) and 1 / √(1 − β₂^t), float32 scalars.

    In double precision: ρ is the difference of two numbers near 2000 at the first steps.
    """
    t = tf.cast(step, tf.float64)
    power = tf.pow(tf.constant(second, tf.float64), t)
    most = 2 / (1 - second) - 1
    rho = most - 2 * t * power / (1 - power)
    safe = tf.maximum(rho, 4.0)
    ratio = tf.sqrt((safe - 4) * (safe - 2) * most / ((most - 4) * (most - 2) * safe))
    plain = 1 / (1 - tf.pow(tf.constant(first, tf.float64), t))
    return tuple(tf.cast(value, tf.float32) for value in (ratio * plain, plain, tf.math.rsqrt(1 - power)))


_MAKE: Mapping[Optimizer, Callable[[FitConfig], Any]] = {
    Optimizer.ADAMW: lambda fit: keras.optimizers.AdamW(weight_decay=fit.weight_decay, jit_compile=False),
    Optimizer.ADAM: lambda _: keras.optimizers.Adam(jit_compile=False),
    Optimizer.ADADELTA: lambda _: keras.optimizers.Adadelta(jit_compile=False),
    Optimizer.RADAM_LOOKAHEAD: lambda _: RAdamLookahead(),
}
