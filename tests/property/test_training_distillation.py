"""The distillation losses against their formulas in float64, and the laws they must obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, logsumexp, rel_entr, softmax

import tolerances

pytestmark = pytest.mark.tf
few = settings(max_examples=25, deadline=None)
temperatures = st.sampled_from([1.0, 2.0, 4.0])


@st.composite
def pairs(draw, least=3):
    """Student and teacher logits float32 [b, k] and labels int32 [b]."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    b, k = draw(st.integers(2, 6)), draw(st.integers(least, 8))
    student, teacher = rng.uniform(-8, 8, (2, b, k)).astype(np.float32)
    return student, teacher, rng.integers(0, k, b).astype(np.int32)


def close(found, expected, atol=tolerances.LOSS_FLOAT32):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=atol)


def every_loss(labels, malignant=(0, 1)):
    """All losses between student and teacher as functions of the two."""
    from edgekd.training import distillation as d

    mask = np.zeros(16, bool)
    mask[list(malignant)] = True

    def score(logits):
        return d.malignancy(logits, mask[: logits.shape[1]])

    return {
        "hinton": lambda s, t: d.hinton(s, t, temperature=3.0),
        "dkd": lambda s, t: d.dkd(s, t, labels, temperature=3.0, alpha=1.0, beta=2.0),
        "dist": lambda s, t: d.dist(s, t, temperature=3.0, alpha=1.0, beta=1.0),
        "focal_kl": lambda s, t: d.bernoulli_kl(score(s), score(t), temperature=3.0),
        "logit_standardised": lambda s, t: d.logit_standardised(s, t, temperature=3.0),
    }


@few
@given(pairs(least=2), temperatures)
def test_hinton(case, temperature):
    from edgekd.training.distillation import hinton

    student, teacher, _ = case
    p, q = (softmax(z.astype(np.float64) / temperature, axis=1) for z in (teacher, student))
    close(hinton(student, teacher, temperature=temperature), temperature**2 * rel_entr(p, q).sum(axis=1))


@few
@given(pairs(), temperatures)
def test_logit_standardised(case, temperature):
    """The paper's weighted Z-score, then Hinton's loss (Sun et al. 2024)."""
    from edgekd.training.distillation import logit_standardised

    student, teacher, _ = case
    if min(z.std(axis=1).min() for z in (student, teacher)) < 1.0:
        return  # nearly flat logits: there the floor under the deviation shows
    q, p = (
        softmax((z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True) / temperature, axis=1)
        for z in (student.astype(np.float64), teacher.astype(np.float64))
    )
    found = logit_standardised(student, teacher, temperature=temperature)
    # The floor of 1e-4 under a variance of 1 or more moves a logit of at most √k by 5e-5 of it.
    close(found, temperature**2 * rel_entr(p, q).sum(axis=1), atol=5e-4 * temperature**2)


def test_logit_standardised_on_a_worked_example():
    """Logits (1, 2, 3) have the mean 2 and the deviation √(2/3): ±1.2247 and 0, whatever their scale."""
    from edgekd.training.distillation import logit_standardised

    z = np.sqrt(1.5)
    p, q = softmax([-z, 0, z]), softmax([z, 0, -z])
    student, teacher = np.array([[30.0, 20.0, 10.0]], np.float32), np.array([[1.0, 2.0, 3.0]], np.float32)
    close(logit_standardised(student, teacher, temperature=1.0), [rel_entr(p, q).sum()], atol=1e-3)
    close(logit_standardised(10 * teacher + 5, teacher, temperature=1.0), [0.0], atol=1e-6)


@few
@given(pairs(), st.floats(0.5, 5.0), st.floats(-3.0, 3.0))
def test_logit_standardised_is_blind_to_the_size_of_logits(case, factor, offset):
    from edgekd.training.distillation import logit_standardised

    student, teacher, _ = case
    if student.std(axis=1).min() < 1.0:
        return
    plain = logit_standardised(student, teacher, temperature=2.0)
    mapped = np.float32(factor) * student + np.float32(offset)
    close(logit_standardised(mapped, teacher, temperature=2.0), plain, atol=4 * 1e-3)


@few
@given(pairs(), temperatures, st.sampled_from([0.5, 1.0]), st.sampled_from([1.0, 8.0]))
def test_dkd(case, temperature, alpha, beta):
    from edgekd.training.distillation import dkd

    student, teacher, labels = case
    expected = []
    for s, t, label in zip(student.astype(np.float64), teacher.astype(np.float64), labels, strict=True):
        p, q = softmax(t / temperature), softmax(s / temperature)
        pair = rel_entr([p[label], 1 - p[label]], [q[label], 1 - q[label]]).sum()
        rest = [np.delete(z, label) for z in (t, s)]
        others = rel_entr(softmax(rest[0] / temperature), softmax(rest[1] / temperature)).sum()
        expected.append(temperature**2 * (alpha * pair + beta * others))
    found = dkd(student, teacher, labels, temperature=temperature, alpha=alpha, beta=beta)
    close(found, expected, atol=tolerances.LOSS_FLOAT32 * (alpha + beta))


@few
@given(pairs(), temperatures)
def test_dkd_with_the_teachers_doubt_as_beta_is_hinton(case, temperature):
    from edgekd.training.distillation import dkd, hinton

    student, teacher, labels = case
    target = softmax(teacher / temperature, axis=1)[np.arange(len(labels)), labels]
    found = dkd(student, teacher, labels, temperature=temperature, alpha=1.0, beta=1 - target)
    close(found, hinton(student, teacher, temperature=temperature), atol=2 * tolerances.LOSS_FLOAT32)


@few
@given(pairs(), temperatures, st.sampled_from([0.5, 2.0]))
def test_dist(case, temperature, beta):
    from edgekd.training.distillation import dist

    student, teacher, _ = case
    p, q = (softmax(z.astype(np.float64) / temperature, axis=1) for z in (student, teacher))
    between = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
    columns = [(a, b) for a, b in zip(p.T, q.T, strict=True)]
    if min(part.std() for pair in columns for part in pair) < 1e-4:
        return  # a class nobody ever sees has no correlation
    within = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in columns])
    found = dist(student, teacher, temperature=temperature, alpha=1.5, beta=beta)
    expected = temperature**2 * (1.5 * between + beta * within)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=16 * 3.5 * tolerances.PEARSON_FLOAT32)


@few
@given(st.integers(0, 2**32), st.floats(0.2, 5.0), st.floats(-3.0, 3.0))
def test_pearson_distance_is_blind_to_increasing_affine_maps(seed, factor, offset):
    from edgekd.training.distillation import pearson_distance

    a, b = np.random.default_rng(seed).normal(size=(2, 4, 8)).astype(np.float32)
    plain = pearson_distance(a, b).numpy()
    assert ((plain >= -tolerances.PEARSON_FLOAT32) & (plain <= 2 + tolerances.PEARSON_FLOAT32)).all()
    mapped = pearson_distance(np.float32(factor) * a + np.float32(offset), b).numpy()
    close(mapped, plain, atol=tolerances.PEARSON_FLOAT32)
    close(pearson_distance(-a, b).numpy(), 2 - plain, atol=tolerances.PEARSON_FLOAT32)


@few
@given(pairs(), temperatures)
def test_bernoulli_kl_counts_both_outcomes(case, temperature):
    from edgekd.training.distillation import bernoulli_kl, malignancy

    student, teacher, _ = case
    malignant = np.arange(student.shape[1]) < 1
    p, q = (score(z, malignant) / temperature for z in (teacher, student))
    yes, no = (
        expit(p) * (np.log(expit(p)) - np.log(expit(q))),
        expit(-p) * (np.log(expit(-p)) - np.log(expit(-q))),
    )
    scores = malignancy(student, malignant), malignancy(teacher, malignant)
    found = bernoulli_kl(*scores, temperature=temperature).numpy()
    close(found, yes + no)
    assert (found >= -tolerances.LOSS_FLOAT32).all()


def score(logits, malignant):
    z = logits.astype(np.float64)
    return logsumexp(z[:, malignant], axis=1) - logsumexp(z[:, ~malignant], axis=1)


@few
@given(pairs(), st.sampled_from([0.25, 0.9]), st.sampled_from([0.0, 2.0]))
def test_binary_focal(case, alpha, gamma):
    from edgekd.training.distillation import binary_focal, malignancy

    student, _, labels = case
    malignant = np.arange(student.shape[1]) < 1
    positive = malignant[labels]
    p = expit(score(student, malignant))
    expected = np.where(
        positive, -alpha * (1 - p) ** gamma * np.log(p), -(1 - alpha) * p**gamma * np.log1p(-p)
    )
    close(binary_focal(malignancy(student, malignant), positive, alpha=alpha, gamma=gamma), expected)


@few
@given(pairs())
def test_nothing_is_left_to_learn_from_oneself(case):
    student, _, labels = case
    for name, loss in every_loss(labels, malignant=(0,)).items():
        found = np.mean(loss(student, student))
        # The floor under a variance keeps DIST from reaching 0 where a class is the same for everybody.
        assert abs(found) < (0.05 if name == "dist" else tolerances.LOSS_FLOAT32), name


@few
@given(pairs())
def test_no_gradient_reaches_the_teacher(case):
    import tensorflow as tf

    student, teacher, labels = case
    for name, loss in every_loss(labels, malignant=(0,)).items():
        s, t = tf.Variable(student), tf.Variable(teacher)
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(s, t))
        to_student, to_teacher = tape.gradient(value, [s, t])
        assert to_teacher is None, name
        assert np.isfinite(to_student).all(), name
        assert np.abs(to_student).max() > 0, name


@few
@given(pairs(least=2))
def test_the_square_of_the_temperature_keeps_gradients_of_one_size(case):
    """At high T the gradient is (z_S − z_T, both centred) / k whatever T is (Hinton et al. 2015, eq. 4)."""
    import tensorflow as tf

    from edgekd.training.distillation import hinton

    student, teacher, _ = case
    centred = [z - z.mean(axis=1, keepdims=True) for z in (student, teacher)]
    expected = (centred[0] - centred[1]) / student.shape[1]
    for temperature in (100.0, 200.0):
        variable = tf.Variable(student)
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(hinton(variable, teacher, temperature=temperature))
        found = tape.gradient(value, variable).numpy()
        # The next term of the expansion is 1/T of this one, times logits of at most 16 apart.
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=16 * 16 / temperature + tolerances.GRADIENT_FLOAT32
        )
    exact = softmax(student / 2.0, axis=1) - softmax(teacher / 2.0, axis=1)
    variable = tf.Variable(student)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(hinton(variable, teacher, temperature=2.0))
    np.testing.assert_allclose(
        tape.gradient(value, variable), 2.0 * exact, rtol=0, atol=tolerances.GRADIENT_FLOAT32
    )


def test_a_student_without_an_opinion_has_a_finite_gradient():
    import tensorflow as tf

    flat, teacher = np.zeros((2, 4), np.float32), np.array([[0, 1, 2, 3], [9, 0, 0, 0]], np.float32)
    for name, loss in every_loss(np.array([0, 1], np.int32), malignant=(0,)).items():
        student = tf.Variable(flat)
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(student, teacher))
        assert np.isfinite(tape.gradient(value, student)).all(), name


def test_extreme_logits_give_finite_losses_and_gradients():
    import tensorflow as tf

    labels = np.array([0, 2], np.int32)
    extreme = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], np.float32)
    for name, loss in every_loss(labels, malignant=(0,)).items():
        student = tf.Variable(-extreme)
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(student, extreme))
        assert np.isfinite(value.numpy()), name
        assert np.isfinite(tape.gradient(value, student)).all(), name


@pytest.mark.parametrize("method", ["dkd", "dist", "logit_standardised"])
def test_methods_that_need_three_classes_say_so(method):
    from edgekd.config import DistillMethod
    from edgekd.errors import UsageError
    from edgekd.training.distillation import check_classes

    check_classes(DistillMethod(method), 3)
    with pytest.raises(UsageError, match=f"{method} needs three or more classes, got 2"):
        check_classes(DistillMethod(method), 2)


@pytest.mark.parametrize("method", ["none", "hinton", "focal_kl"])
def test_other_methods_take_two_classes(method):
    from edgekd.config import DistillMethod
    from edgekd.training.distillation import check_classes

    check_classes(DistillMethod(method), 2)


@few
@given(pairs())
def test_the_score_is_that_of_the_metrics(case):
    from edgekd.metrics.predictions import malignancy_score
    from edgekd.training.distillation import malignancy

    student, _, _ = case
    names = tuple(f"c{n}" for n in range(student.shape[1]))
    malignant = np.isin(names, names[:2])
    close(malignancy(student, malignant), malignancy_score(student, names, names[:2]))


def test_log_softmax_reference_is_the_libraries():
    """The references above rest on scipy; TensorFlow's own must agree with it."""
    import tensorflow as tf

    z = np.linspace(-8, 8, 24, dtype=np.float32).reshape(4, 6)
    close(tf.nn.log_softmax(z), log_softmax(z, axis=1))
