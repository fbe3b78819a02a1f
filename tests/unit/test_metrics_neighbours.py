from __future__ import annotations

import numpy as np
import pytest

from edgekd.metrics.neighbours import agreement, nearest, trustworthiness
from tolerances import EXACT_ARITHMETIC


def points(n: int, dims: int, seed: int = 3) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).normal(size=(n, dims)).astype(np.float32)


def test_trustworthiness_is_that_of_scikit_learn():
    manifold = pytest.importorskip("sklearn.manifold", reason="scikit-learn is not installed (extra: train)")
    many, plane = points(300, 12), points(300, 2, seed=4)
    for picture in (plane, many[:, :2].copy()):
        ours = trustworthiness(many, picture, k=7)
        assert ours == pytest.approx(
            manifold.trustworthiness(many, picture, n_neighbors=7), abs=EXACT_ARITHMETIC
        )


def test_what_keeps_every_distance_is_trusted_and_chance_is_not():
    many = np.pad(points(300, 2), ((0, 0), (0, 5)))
    assert trustworthiness(many, many[:, :2] * 3 + 100, k=10) == 1.0
    chance = trustworthiness(points(300, 8), points(300, 2, seed=9), k=10)
    assert 0.45 < chance < 0.55


def test_the_nearest_come_in_order_and_never_from_their_own_group():
    line = np.array([[0.0], [1.0], [3.0], [7.0], [15.0]], np.float32)
    assert nearest(line, k=2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1], [3, 2]]
    groups = np.array([0, 0, 1, 1, 2])
    assert nearest(line, k=2, groups=groups).tolist() == [[2, 3], [2, 3], [1, 0], [1, 0], [3, 2]]


def test_blocks_do_not_show():
    """More points than a block holds, against all distances at once."""
    many = points(700, 3)
    distances = np.linalg.norm(many[:, np.newaxis].astype(np.float64) - many, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert np.array_equal(nearest(many, k=4), np.argsort(distances, axis=1)[:, :4])


def test_neighbours_vote_and_the_nearer_decide_a_tie():
    labels = np.array([0, 0, 1, 1, 2])
    neighbours = np.array([[1, 2], [2, 0], [3, 4], [0, 1], [2, 3]])
    # In order: 0 (nearer) beats 1; 1 (nearer) beats 0; 1 (nearer) beats 2; 0 twice; 1 twice.
    assert agreement(neighbours, labels) == pytest.approx(2 / 5)
    assert agreement(np.array([[1, 2, 3]] * 5), np.array([0, 0, 0, 0, 0])) == 1.0
