"""How the student listens to the teacher: losses between two sets of raw logits.

`student` and `teacher` are float32 [b, k]; no gradient flows into the teacher. T is the temperature; a
factor T² keeps gradients of the same size whatever T is (Hinton et al. 2015, section 2).
"""

from __future__ import annotations

from typing import Any

from edgekd import lazy
from edgekd.config import DistillMethod
from edgekd.errors import UsageError
from edgekd.training.losses import focal_factor

tf = lazy.tensorflow()

_NEEDS_THREE = {
    DistillMethod.DKD: "its non-target term is 0 with two",
    DistillMethod.DIST: "its correlations are ±1 with two",
    DistillMethod.LOGIT_STANDARDISED: "standardised, two logits are ±1 whatever they were",
}
_VARIANCE_FLOOR = 1e-12
_SPREAD_FLOOR = 1e-4  # nats²: a student without an opinion is pulled no harder than a hundredfold
_NEVER = -1e30  # a logit of probability 0 that stays finite when subtracted from another


def check_classes(method: DistillMethod, classes: int) -> None:
    """Nothing, when `method` says something about that many classes.

    Raises:
        UsageError: DKD, DIST or standardised logits with fewer than three classes.
    """
    if classes < 3 and method in _NEEDS_THREE:
        raise UsageError(
            f"distill.method={method} needs three or more classes, got {classes}: {_NEEDS_THREE[method]}; "
            "use hinton or focal_kl"
        )


def hinton(student: Any, teacher: Any, *, temperature: float) -> Any:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)), float32 [b] (Hinton et al. 2015)."""
    teacher = tf.stop_gradient(teacher)
    return temperature**2 * _kl(
        tf.nn.log_softmax(teacher / temperature), tf.nn.log_softmax(student / temperature)
    )


def logit_standardised(student: Any, teacher: Any, *, temperature: float) -> Any:
    """`hinton` on standardised logits, float32 [b] (Sun et al. 2024, Logit Standardization, algorithm 1).

    Each example's logits less their mean, over their standard deviation (that of the population, as in the
    paper; its code divides by k − 1): the student is asked for the teacher's relations between classes, not
    for the size of its logits.
    """
    return hinton(_standardised(student), _standardised(teacher), temperature=temperature)


def dkd(student: Any, teacher: Any, labels: Any, *, temperature: float, alpha: Any, beta: Any) -> Any:
    """DKD, float32 [b]: T² · (α · target KL + β · non-target KL) (Zhao et al. 2022, eq. 7).

    The target KL compares the pair (p_label, 1 − p_label), the non-target KL the distributions over the
    other classes alone. α = 1 with β = 1 − p_label of the teacher is `hinton` (their eq. 5). `labels` is
    int32 [b]; `alpha` and `beta` are numbers or [b].
    """
    teacher = tf.stop_gradient(teacher)
    is_target = tf.one_hot(labels, student.shape[-1], on_value=True, off_value=False)
    student_pair, student_rest = _decoupled(student / temperature, is_target)
    teacher_pair, teacher_rest = _decoupled(teacher / temperature, is_target)
    return temperature**2 * (alpha * _kl(teacher_pair, student_pair) + beta * _kl(teacher_rest, student_rest))


def dist(student: Any, teacher: Any, *, temperature: float, alpha: float, beta: float) -> Any:
    """DIST, a scalar: T² · (α · between + β · within) (Huang et al. 2022, eq. 9).

    On p = softmax(logits / T), `between` is the mean over examples of 1 − Pearson correlation across the
    classes, `within` the mean over classes of 1 − Pearson correlation across the batch.
    """
    p, q = tf.nn.softmax(student / temperature), tf.nn.softmax(tf.stop_gradient(teacher) / temperature)
    between = tf.reduce_mean(pearson_distance(p, q))
    within = tf.reduce_mean(pearson_distance(tf.transpose(p), tf.transpose(q)))
    return temperature**2 * (alpha * between + beta * within)


def pearson_distance(a: Any, b: Any) -> Any:
    """1 − Pearson correlation of each row of `a` with the same row of `b`, float32 [rows], 0 to 2."""
    a, b = (x - tf.reduce_mean(x, axis=-1, keepdims=True) for x in (a, b))
    covariance = tf.reduce_mean(a * b, axis=-1)
    variances = [tf.reduce_mean(tf.square(x), axis=-1) + _VARIANCE_FLOOR for x in (a, b)]
    return 1.0 - covariance * tf.math.rsqrt(variances[0]) * tf.math.rsqrt(variances[1])


def malignancy(logits: Any, malignant: Any) -> Any:
    """The score float32 [b]: logsumexp(malignant logits) − logsumexp(benign logits).

    `malignant` is bool [k], with at least one True and one False.
    """
    columns = tf.constant(malignant)
    chosen, rest = (tf.boolean_mask(logits, mask, axis=1) for mask in (columns, ~columns))
    return tf.reduce_logsumexp(chosen, axis=1) - tf.reduce_logsumexp(rest, axis=1)


def bernoulli_kl(student: Any, teacher: Any, *, temperature: float) -> Any:
    """KL(σ(teacher / T) ‖ σ(student / T)) of two malignancy scores [b], float32 [b], both outcomes counted.

    p · log(p/q) + (1 − p) · log((1 − p)/(1 − q)); Adepu et al. 2023 use the first term only, which rewards
    calling everything malignant. As theirs, without T².
    """
    p, q = tf.stop_gradient(teacher) / temperature, student / temperature
    yes = tf.sigmoid(p) * (tf.math.log_sigmoid(p) - tf.math.log_sigmoid(q))
    return yes + tf.sigmoid(-p) * (tf.math.log_sigmoid(-p) - tf.math.log_sigmoid(-q))


def binary_focal(score: Any, positive: Any, *, alpha: float, gamma: float) -> Any:
    """The sigmoid focal loss [b] of malignancy scores [b] (Lin et al. 2017, eq. 5).

    −α (1 − p)^γ log p where `positive` (bool [b]), −(1 − α) p^γ log(1 − p) elsewhere.
    """
    signed = tf.where(positive, score, -score)
    weight = tf.where(positive, alpha, 1.0 - alpha)
    return -weight * focal_factor(tf.sigmoid(-signed), gamma) * tf.math.log_sigmoid(signed)


def _kl(log_p: Any, log_q: Any) -> Any:
    return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)


def _standardised(logits: Any) -> Any:
    centred = logits - tf.reduce_mean(logits, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
    return centred * tf.math.rsqrt(variance + _SPREAD_FLOOR)


def _decoupled(logits: Any, is_target: Any) -> tuple[Any, Any]:
    """Log probabilities of (label, not label) [b, 2], and of the classes other than the label [b, k]."""
    rest = tf.where(is_target, _NEVER, logits)
    log_not = tf.reduce_logsumexp(rest, axis=-1) - tf.reduce_logsumexp(logits, axis=-1)
    log_target = tf.reduce_sum(tf.where(is_target, tf.nn.log_softmax(logits), 0.0), axis=-1)
    log_rest = tf.where(is_target, 0.0, tf.nn.log_softmax(rest))
    return tf.stack([log_target, log_not], axis=-1), log_rest
