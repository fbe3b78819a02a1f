"""How far a picture of points can be believed: trustworthiness, and what a point's neighbours say of it.

Points lie in rows; distances are Euclidean. They are computed for a block of points at a time, so that memory
grows with n and not with n².
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_BLOCK = 256

Points = NDArray[np.float32]


def trustworthiness(points: Points, picture: Points, *, k: int) -> float:
    """How many of the `k` nearest in `picture` [n, 2] are near in `points` [n, d] too; 1: all of them.

    T = 1 − 2 / (n k (2n − 3k − 1)) Σᵢ Σⱼ max(0, rᵢⱼ − k), the inner sum over the k points nearest to i in
    the picture, rᵢⱼ the rank of j by its distance from i in `points` (1: the nearest). A picture drawn by
    chance gets about 0.5. Source: Venna and Kaski 2001 (ICANN), equation 4.

    `k` must be below n / 2.
    """
    n, missed = len(points), 0
    shown = nearest(picture, k=k)
    for first, distances in _distances(points, np.arange(n)):
        block = slice(first, first + len(distances))
        wanted = np.take_along_axis(distances, shown[block], axis=1)
        distances.sort(axis=1)
        for row, values in zip(distances, wanted, strict=True):
            ranks = np.searchsorted(row, values) + 1
            missed += int(np.maximum(ranks - k, 0).sum())
    return 1.0 - missed * 2.0 / (n * k * (2 * n - 3 * k - 1))


def nearest(points: Points, *, k: int, groups: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """The numbers of the `k` points nearest to each of `points` [n, d], nearest first: [n, k].

    Points of one group (int64 [n]) are no neighbours of each other; without `groups` only a point itself is
    left out. Every point needs `k` others outside of its group.
    """
    found = np.empty((len(points), k), np.int64)
    for first, distances in _distances(points, np.arange(len(points)) if groups is None else groups):
        close = np.argpartition(distances, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distances, close, axis=1), axis=1, kind="stable")
        found[first : first + len(distances)] = np.take_along_axis(close, order, axis=1)
    return found


def agreement(neighbours: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The share of points that their `neighbours` [n, k] give their own label (int64 [n], from 0).

    They give the commonest label among them; of equally common ones that of the nearer neighbours.
    """
    n, k = neighbours.shape
    votes = np.zeros((n, int(labels.max()) + 1))
    weights = 1 + np.arange(k, 0, -1) / (k * (k + 1))  # all that nearness adds stays below one vote
    np.add.at(votes, (np.arange(n)[:, np.newaxis], labels[neighbours]), weights)
    return float(np.mean(votes.argmax(axis=1) == labels))


def _distances(points: Points, groups: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Squared distances [b, n] of a block of points to all, and its first; within a group infinite."""
    centred = points - points.mean(axis=0)  # smaller numbers: less is lost where the squares cancel
    squares = np.square(centred).sum(axis=1)
    for first in range(0, len(points), _BLOCK):
        block = slice(first, first + _BLOCK)
        found = squares[block, np.newaxis] + squares - 2 * (centred[block] @ centred.T)
        found[groups[block, np.newaxis] == groups] = np.inf
        yield first, found
