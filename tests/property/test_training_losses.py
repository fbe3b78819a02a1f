"""The supervised losses against their formulas, written anew in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

import tolerances

pytestmark = pytest.mark.tf
few = settings(max_examples=25, deadline=None)


@st.composite
def examples(draw):
    """Logits float32 [b, k], labels int32 [b] and counts int64 [k]."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    b, k = draw(st.integers(1, 6)), draw(st.integers(2, 8))
    logits = rng.uniform(-8, 8, (b, k)).astype(np.float32)
    return logits, rng.integers(0, k, b).astype(np.int32), rng.integers(0, 500, k)


def reference(logits, labels, smoothing, factor=1.0):
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    targets = np.full(logits.shape, smoothing / logits.shape[1])
    targets[np.arange(len(labels)), labels] += 1 - smoothing
    return -(targets * (factor if np.isscalar(factor) else factor(np.exp(log_p))) * log_p).sum(axis=1)


def close(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=tolerances.LOSS_FLOAT32)


@few
@given(examples(), st.sampled_from([0.0, 0.05, 0.3]))
def test_cross_entropy(case, smoothing):
    from edgekd.training.losses import cross_entropy

    logits, labels, _ = case
    close(cross_entropy(logits, labels, smoothing=smoothing).numpy(), reference(logits, labels, smoothing))


@few
@given(examples(), st.sampled_from([0.0, 0.1]))
def test_class_weights_are_inverse_to_the_draws(case, smoothing):
    from edgekd.training.losses import class_weighted

    logits, labels, counts = case
    drawn = np.maximum(counts, 1)
    weights = drawn.sum() / (len(drawn) * drawn)
    expected = weights[labels] * reference(logits, labels, smoothing)
    found = class_weighted(logits, labels, counts=counts, smoothing=smoothing).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=tolerances.LOSS_FLOAT32 * weights.max())
    assert np.average(weights, weights=drawn) == pytest.approx(1.0)


@few
@given(examples(), st.sampled_from([0.0, 0.1]), st.sampled_from([0.0, 0.5, 2.0, 5.0]))
def test_focal(case, smoothing, gamma):
    from edgekd.training.losses import focal

    logits, labels, _ = case
    expected = reference(logits, labels, smoothing, lambda p: (1 - p) ** gamma)
    close(focal(logits, labels, gamma=gamma, smoothing=smoothing).numpy(), expected)


@few
@given(examples(), st.sampled_from([0.0, 0.1]), st.sampled_from([0.25, 0.9]))
def test_focal_weighs_malignant_against_benign_classes(case, smoothing, alpha):
    from edgekd.training.losses import focal, focal_weights

    logits, labels, counts = case
    malignant = counts % 2 == 0
    weights = focal_weights(alpha, malignant)
    expected = reference(
        logits, labels, smoothing, lambda p: np.where(malignant, alpha, 1 - alpha) * (1 - p) ** 2.0
    )
    close(focal(logits, labels, gamma=2.0, smoothing=smoothing, weights=weights).numpy(), expected)
    assert focal_weights(0.0, malignant) is None


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_with_two_classes_is_the_sigmoid_one(gamma):
    """The score of two classes is the difference of their logits."""
    from edgekd.training.distillation import binary_focal
    from edgekd.training.losses import focal, focal_weights

    rng = np.random.default_rng(2)
    logits, labels = rng.uniform(-4, 4, (9, 2)).astype(np.float32), rng.integers(0, 2, 9).astype(np.int32)
    expected = binary_focal(logits[:, 1] - logits[:, 0], labels == 1, alpha=0.25, gamma=gamma).numpy()
    weights = focal_weights(0.25, np.array([False, True]))
    close(focal(logits, labels, gamma=gamma, weights=weights).numpy(), expected)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_with_two_classes_the_weights_are_n_over_2_n_c(benign, malignant):
    from edgekd.training.losses import class_weighted, cross_entropy

    logits, labels = np.array([[1.0, -2.0], [0.5, 0.25]], np.float32), np.array([0, 1], np.int32)
    counts, n = np.array([benign, malignant]), benign + malignant
    found = class_weighted(logits, labels, counts=counts) / cross_entropy(logits, labels)
    np.testing.assert_allclose(found, [n / (2 * benign), n / (2 * malignant)], rtol=1e-6)


@few
@given(examples(), st.sampled_from([0.0, 0.1]))
def test_logit_adjustment_adds_the_log_prior(case, smoothing):
    from edgekd.training.losses import logit_adjusted

    logits, labels, counts = case
    prior = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    expected = reference(logits + np.log(prior), labels, smoothing)
    close(logit_adjusted(logits, labels, counts=counts, smoothing=smoothing).numpy(), expected)


def test_logit_adjustment_with_equal_classes_is_cross_entropy():
    from edgekd.training.losses import cross_entropy, logit_adjusted

    logits, labels = np.array([[2.0, -1.0, 0.5]], np.float32), np.array([1], np.int32)
    close(
        logit_adjusted(logits, labels, counts=np.array([7, 7, 7])).numpy(),
        cross_entropy(logits, labels).numpy(),
    )


@pytest.mark.parametrize("name", ["cross_entropy", "class_weighted", "focal", "logit_adjusted"])
def test_extreme_logits_give_finite_losses_and_gradients(name):
    import tensorflow as tf

    from edgekd.config import Loss
    from edgekd.training.losses import supervised

    loss = supervised(Loss(name), counts=np.array([5, 0, 9]), gamma=2.0, smoothing=0.05)
    logits = tf.Variable([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [0.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        losses = loss(logits, np.array([1, 1, 2], np.int32))
    assert np.isfinite(losses).all()
    assert np.isfinite(tape.gradient(losses, logits)).all()
    assert losses[0] > losses[1]


def test_every_configured_loss_is_a_different_function():
    from edgekd.config import Loss
    from edgekd.training.losses import supervised

    logits, labels = np.array([[2.0, -1.0, 0.5]], np.float32), np.array([1], np.int32)
    counts = np.array([60, 10, 30])
    found = {
        float(supervised(loss, counts=counts, gamma=2.0, smoothing=0.0)(logits, labels)[0]) for loss in Loss
    }
    assert len(found) == len(Loss)
