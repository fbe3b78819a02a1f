"""Supervised losses on raw diagnosis logits.

Each takes `logits` float32 [b, k] (k ≥ 2) and `labels` int32 [b] and gives the loss of every example,
float32 [b] in nats. With label smoothing s the target is y = (1 − s) · onehot + s / k (Szegedy et al. 2016,
section 7); all four are Σ_c y_c · m_c · (−log p_c) with p = softmax(logits) and a factor m of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.config import Loss

tf = lazy.tensorflow()

SupervisedLoss = Callable[[Any, Any], Any]
"""From logits [b, k] and labels [b] to the loss of every example [b]."""


def cross_entropy(logits: Any, labels: Any, *, smoothing: float = 0.0) -> Any:
    """The cross-entropy [b]: m = 1."""
    return -tf.reduce_sum(_targets(logits, labels, smoothing) * tf.nn.log_softmax(logits), axis=-1)


def class_weighted(logits: Any, labels: Any, *, counts: NDArray[np.int64], smoothing: float = 0.0) -> Any:
    """The cross-entropy [b] of each example times n / (k · n_c) of its class c (King & Zeng 2001).

    `counts` int64 [k] is how often the training draws show each class; n is their sum. The weights average
    to 1 over those draws; with two classes they are n / (2 · n_c). A class that is never drawn counts as
    drawn once.
    """
    drawn = np.maximum(counts, 1)
    weights = tf.constant(drawn.sum() / (len(drawn) * drawn), tf.float32)
    return tf.gather(weights, labels) * cross_entropy(logits, labels, smoothing=smoothing)


def focal(
    logits: Any,
    labels: Any,
    *,
    gamma: float,
    smoothing: float = 0.0,
    weights: NDArray[np.float64] | None = None,
) -> Any:
    """The focal loss [b]: m = α_c · (1 − p_c)^γ (Lin et al. 2017, eq. 5, over classes).

    `weights` float64 [k] are the α_c (`focal_weights`), all 1 when None; γ = 0 then is cross-entropy.
    """
    log_p = tf.nn.log_softmax(logits)
    modulated = focal_factor(1.0 - tf.exp(log_p), gamma) * log_p
    if weights is not None:
        modulated *= tf.constant(weights, tf.float32)
    return -tf.reduce_sum(_targets(logits, labels, smoothing) * modulated, axis=-1)


def focal_weights(alpha: float, malignant: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """α for the malignant classes and 1 − α for the benign ones, float64 [k]; None (all 1) for α = 0.

    `malignant` bool [k] tells which are which.
    """
    return np.where(malignant, alpha, 1.0 - alpha) if alpha else None


def logit_adjusted(
    logits: Any, labels: Any, *, counts: NDArray[np.int64], tau: float = 1.0, smoothing: float = 0.0
) -> Any:
    """The cross-entropy [b] of logits + τ · log prior (Menon et al. 2021, eq. 10).

    The prior is that of the training draws, `counts` int64 [k] over their sum: trained so, the raw logits
    answer as if all classes were equally frequent. A class that is never drawn counts as drawn once.
    """
    drawn = np.maximum(counts, 1)
    offset = tf.constant(tau * np.log(drawn / drawn.sum()), tf.float32)
    return cross_entropy(logits + offset, labels, smoothing=smoothing)


def focal_factor(miss: Any, gamma: float) -> Any:
    """miss^γ with a finite gradient at 0, for miss = 1 − p in [0, 1]."""
    return tf.pow(tf.clip_by_value(miss, 1e-7, 1.0), gamma)


def supervised(
    loss: Loss,
    *,
    counts: NDArray[np.int64],
    gamma: float,
    smoothing: float,
    weights: NDArray[np.float64] | None = None,
) -> SupervisedLoss:
    """The function `loss` names, ready for use; `counts` int64 [k] are the draws of each class.

    `gamma` and `weights` are those of `focal`.
    """
    made: Mapping[Loss, SupervisedLoss] = {
        Loss.CROSS_ENTROPY: partial(cross_entropy, smoothing=smoothing),
        Loss.CLASS_WEIGHTED: partial(class_weighted, counts=counts, smoothing=smoothing),
        Loss.FOCAL: partial(focal, gamma=gamma, smoothing=smoothing, weights=weights),
        Loss.LOGIT_ADJUSTED: partial(logit_adjusted, counts=counts, smoothing=smoothing),
    }
    return made[loss]


def _targets(logits: Any, labels: Any, smoothing: float) -> Any:
    classes = logits.shape[-1]
    return tf.one_hot(
        labels, classes, on_value=1 - smoothing + smoothing / classes, off_value=smoothing / classes
    )
