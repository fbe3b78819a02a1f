"""A store of one network's answers: what it keeps, at what precision, and what its readers see."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax

from edgekd.training.logit_store import TOLERANCE, LogitStore, stored_type

WIDTH, IMAGES, BLOCK = 7, 50, 16
LOGIT = st.floats(-60, 60, width=32)


def open_store(root, **plan):
    return LogitStore(root, {"teacher": "t", **plan}, images=IMAGES, width=WIDTH, block=BLOCK)


def normal(n, scale, seed=1):
    return np.random.default_rng(seed).normal(0, scale, (n, WIDTH)).astype(np.float32)


def put(store, variant, images, logits):
    with store.locked():
        store.add(variant, np.asarray(images), logits)


def hinton(teacher, student, temperature):
    """T² · KL(teacher ‖ student), float64 [n]."""
    p = log_softmax(teacher.astype(np.float64) / temperature, axis=-1)
    q = log_softmax(student.astype(np.float64) / temperature, axis=-1)
    return temperature**2 * (np.exp(p) * (p - q)).sum(axis=-1)


@settings(max_examples=300, deadline=None)
@given(
    teacher=arrays(np.float32, (1, 5), elements=LOGIT),
    student=arrays(np.float32, (1, 5), elements=LOGIT),
    temperature=st.floats(0.5, 20),
)
def test_rounding_moves_no_loss_by_more_than_the_bound(teacher, student, temperature):
    rounded = teacher.astype(np.float16).astype(np.float32)
    moved = np.abs(hinton(rounded, student, temperature) - hinton(teacher, student, temperature))[0]
    most = float(np.abs(rounded - teacher).max())
    spans = float(np.ptp(teacher) + np.ptp(student))
    assert moved <= most * (spans + 2 * most) / 2 + 1e-9
    if stored_type(teacher) is np.float16 and np.ptp(student) <= np.ptp(teacher):
        assert moved <= TOLERANCE + 1e-9


def test_an_ordinary_teacher_is_stored_in_half_and_its_loss_moves_little():
    """Logits of spread 4 move by less than 2⁻⁸ each, Hinton's mean loss over a batch by less than 1e-3."""
    teacher, student = normal(320, 4), normal(320, 4, seed=2)
    assert stored_type(teacher) is np.float16
    rounded = teacher.astype(np.float16).astype(np.float32)
    assert np.abs(rounded - teacher).max() <= 2.0**-8
    for temperature in (1, 3):
        change = hinton(rounded, student, temperature) - hinton(teacher, student, temperature)
        assert np.abs(change.reshape(-1, 32).mean(axis=1)).max() < 1e-3


@pytest.mark.parametrize("far", [300.0, 1e6])
def test_logits_that_half_precision_would_change_stay_whole(tmp_path, far):
    logits = normal(BLOCK, 40)
    logits[3, 0] = far
    assert stored_type(logits) is np.float32
    store = open_store(tmp_path)
    put(store, 0, np.arange(BLOCK), logits)
    np.testing.assert_array_equal(store.read(np.arange(BLOCK), np.zeros(BLOCK, np.int64)), logits)


def test_a_shard_that_grows_keeps_what_it_held(tmp_path):
    """float16 first, then float32 for newcomers: the first rows stay to the bit, for open readers too."""
    store = open_store(tmp_path)
    old, new = np.arange(0, 8), np.arange(8, 16)
    put(store, 2, old, normal(8, 3))
    variants = np.full(8, 2)
    before = store.read(old, variants)
    size = next(store.folder.glob("*.logits")).stat().st_size
    assert size == BLOCK * WIDTH * 2
    far = normal(8, 500)
    put(open_store(tmp_path), 2, new, far)
    assert next(store.folder.glob("*.logits")).stat().st_size == 2 * size
    np.testing.assert_array_equal(store.read(old, variants), before)
    np.testing.assert_array_equal(store.read(new, variants), far)
    assert not store.missing(2, np.arange(16)).any()


def test_what_was_never_asked_is_nan(tmp_path):
    store = open_store(tmp_path)
    put(store, 0, [1, 3], normal(2, 1))
    images = np.array([1, 2, 3, 17, 49, 50, -1])
    found = np.isnan(store.read(images, np.zeros(7, np.int64))).all(axis=1)
    assert found.tolist() == [False, True, False, True, True, True, True]
    assert np.isnan(store.read(np.array([1]), np.array([1]))).all()
    assert store.missing(0, np.array([0, 1, 2, 3])).tolist() == [True, False, True, False]


def test_the_last_block_is_as_short_as_the_images_left(tmp_path):
    store = open_store(tmp_path)
    logits = normal(2, 1)
    put(store, 0, [48, 49], logits)
    assert next(store.folder.glob("*.logits")).stat().st_size == 2 * WIDTH * 2
    found = store.read(np.array([48, 49]), np.zeros(2, np.int64))
    np.testing.assert_array_equal(found, logits.astype(np.float16).astype(np.float32))


def test_another_plan_is_another_folder(tmp_path):
    assert open_store(tmp_path).key != open_store(tmp_path, px=64).key
    assert open_store(tmp_path).key == open_store(tmp_path / "elsewhere").key


def test_a_write_that_fails_leaves_the_old_shard(tmp_path, monkeypatch):
    store = open_store(tmp_path)
    put(store, 0, [0], normal(1, 1))
    before = store.read(np.array([0]), np.array([0]))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        put(store, 0, [1], normal(1, 1))
    np.testing.assert_array_equal(store.read(np.array([0]), np.array([0])), before)
    assert store.missing(0, np.array([0, 1])).tolist() == [False, True]


def test_readers_beside_a_writer_never_see_half_a_shard(tmp_path):
    store = open_store(tmp_path)
    put(store, 0, [0], np.full((1, WIDTH), 1, np.float32))
    done = threading.Event()
    seen = []

    def read():
        while not done.is_set():
            seen.append(store.read(np.array([0]), np.array([0]))[0])

    reader = threading.Thread(target=read)
    reader.start()
    for image in range(1, BLOCK):
        put(store, 0, [image], np.full((1, WIDTH), 1000.123 * image, np.float32))
    done.set()
    reader.join()
    assert seen
    assert all((answer == 1).all() for answer in seen)


def test_two_writers_take_turns(tmp_path):
    first, second = open_store(tmp_path), open_store(tmp_path)
    came = threading.Event()

    def write():
        put(second, 0, [1], normal(1, 1))
        came.set()

    with first.locked():
        other = threading.Thread(target=write)
        other.start()
        assert not came.wait(0.2)
        first.add(0, np.array([0]), normal(1, 1))
    other.join()
    assert not first.missing(0, np.array([0, 1])).any()
