"""The optimizers: formulas against NumPy, state that comes back, and what takes no weight decay."""

from __future__ import annotations

import numpy as np
import pytest

import tolerances
from edgekd.config import FitConfig, Optimizer
from edgekd.data.batches import Batch
from edgekd.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

pytestmark = pytest.mark.tf

STEPS, RATE = 20, 0.01
RANDOM = np.random.default_rng(8)
FIRST = RANDOM.normal(size=(3, 4)).astype(np.float32)
GRADIENTS = RANDOM.normal(size=(STEPS, 3, 4)).astype(np.float32)


def radam_lookahead(start, gradients, rate):
    """The weights after every step, float64: Liu et al. 2020, algorithm 2; Zhang et al. 2019, algorithm 1."""
    beta1, beta2, epsilon, every, alpha = 0.9, 0.999, 1e-7, 6, 0.5
    fast = slow = start.astype(np.float64)
    m, v, most = np.zeros_like(fast), np.zeros_like(fast), 2 / (1 - beta2) - 1
    found = []
    for t, g in enumerate(gradients.astype(np.float64), start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        unbiased = m / (1 - beta1**t)
        rho = most - 2 * t * beta2**t / (1 - beta2**t)
        if rho > 4:
            r = np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
            fast = fast - rate * r * unbiased / (np.sqrt(v / (1 - beta2**t)) + epsilon)
        else:
            fast = fast - rate * unbiased
        if t % every == 0:
            slow = slow + alpha * (fast - slow)
            fast = slow
        found.append(fast)
    return found


def adam(start, gradients, rate):
    """Kingma & Ba 2015, algorithm 1, with ε as its section 2 moves it."""
    weight, m, v, found = start.astype(np.float64), 0.0, 0.0, []
    for t, g in enumerate(gradients.astype(np.float64), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        weight = weight - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
        found.append(weight)
    return found


def adadelta(start, gradients, rate):
    """Zeiler 2012, algorithm 1, its update times `rate`."""
    weight, squares, moves, found = start.astype(np.float64), 0.0, 0.0, []
    for g in gradients.astype(np.float64):
        squares = 0.95 * squares + 0.05 * g**2
        move = -np.sqrt(moves + 1e-7) / np.sqrt(squares + 1e-7) * g
        moves = 0.95 * moves + 0.05 * move**2
        weight = weight + rate * move
        found.append(weight)
    return found


@pytest.mark.parametrize(
    ("name", "reference", "rate"),
    [
        (Optimizer.RADAM_LOOKAHEAD, radam_lookahead, RATE),
        (Optimizer.ADAM, adam, RATE),
        (Optimizer.ADADELTA, adadelta, 1.0),
    ],
)
def test_twenty_steps_are_those_of_the_paper(name, reference, rate):
    import tensorflow as tf

    from edgekd.training.optimizers import make_optimizer

    weight = tf.Variable(FIRST)
    optimizer = make_optimizer(FitConfig(optimizer=name), [weight])
    for gradient, expected in zip(GRADIENTS, reference(FIRST, GRADIENTS, rate), strict=True):
        optimizer.learning_rate.assign(rate)
        optimizer.apply_gradients([(tf.constant(gradient), weight)])
        np.testing.assert_allclose(weight, expected, rtol=0, atol=tolerances.TWENTY_STEPS)


def learner(optimizer):
    from edgekd import lazy
    from edgekd.training.determinism import begin
    from edgekd.training.learner import Learner

    keras = lazy.keras()
    begin(1)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(keras.layers.AveragePooling2D(4)(image))
    dense = keras.layers.Dense(2, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    model = keras.Model(image, dense(keras.layers.Flatten()(x)))
    config = FitConfig(batch_size=4, epochs=5, optimizer=optimizer, learning_rate=0.1, average_decay=0.9)
    return Learner(model, config=config, objective=objective, px=8, steps_per_epoch=4)


def objective(logits, labels, teacher):
    import tensorflow as tf

    del teacher
    return {"loss": tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))}


def batch(number):
    random = np.random.default_rng(number)
    return Batch(
        images=random.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8),
        labels=random.integers(0, 2, 4).astype(np.int32),
        features=np.zeros((4, 0), np.float32),
        index=np.arange(4),
        variant=np.zeros(4, np.int64),
    )


def walk(learner, steps):
    return [learner.step(batch(n), np.zeros((4, 0), np.float32), n)["loss"] for n in steps]


@pytest.mark.parametrize("name", list(Optimizer))
def test_a_stored_state_goes_on_with_the_same_bytes(name, tmp_path):
    """Stored in the middle of a round of Lookahead, where fast and slow weights differ."""
    whole = learner(name)
    losses = walk(whole, range(14))
    first = learner(name)
    walk(first, range(8))
    write_checkpoint(tmp_path, Checkpoint(identity="x", history=(), arrays=first.state()))
    stored = read_checkpoint(tmp_path, "x")
    assert stored is not None
    second = learner(name)
    second.restore(stored.arrays)
    assert walk(second, range(8, 14)) == losses[8:]
    for expected, found in zip(whole.state().items(), second.state().items(), strict=True):
        assert expected[0] == found[0]
        assert [a.tobytes() for a in expected[1]] == [a.tobytes() for a in found[1]]
    assert losses[-1] < losses[0]


def test_only_adamw_decays_and_only_kernels():
    import tensorflow as tf

    from edgekd.training.optimizers import make_optimizer

    for name in Optimizer:
        kernel, bias = tf.Variable(FIRST), tf.Variable(FIRST[0])
        optimizer = make_optimizer(FitConfig(optimizer=name, weight_decay=0.5), [kernel, bias])
        optimizer.learning_rate.assign(0.1)
        optimizer.apply_gradients([(tf.zeros_like(kernel), kernel), (tf.zeros_like(bias), bias)])
        factor = 0.95 if name is Optimizer.ADAMW else 1.0
        np.testing.assert_allclose(kernel, factor * FIRST, rtol=1e-6)
        np.testing.assert_array_equal(bias, FIRST[0])
