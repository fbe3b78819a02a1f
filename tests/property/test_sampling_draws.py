"""The draws of an epoch: shares, equal visits, variants, and independence of the path."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.data.sampling import Group, apportion, groups, visit

weights = st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=12)


def _webster(share: np.ndarray, total: int) -> np.ndarray:
    """The definition, draw by draw."""
    counts = np.zeros(len(share), np.int64)
    for _ in range(total):
        counts[np.argmax(share / (2 * counts + 1))] += 1
    return counts


@given(weights, st.integers(0, 400))
def test_apportion_is_the_draw_by_draw_definition(parts: list[float], total: int) -> None:
    share = np.asarray(parts) / np.sum(parts)
    expected, counts = _webster(share, total), apportion(parts, total)
    assert counts.sum() == total
    # Equal quotients may be served in another order: then the quotient of the last draw is the same.
    for more, fewer in zip(np.flatnonzero(counts > expected), np.flatnonzero(counts < expected), strict=True):
        assert np.isclose(share[more] / (2 * counts[more] - 1), share[fewer] / (2 * counts[fewer] + 1))


@given(weights, st.integers(0, 10**6), st.integers(1, 1000))
def test_apportion_never_takes_a_draw_back(parts: list[float], total: int, more: int) -> None:
    before, after = apportion(parts, total), apportion(parts, total + more)
    assert np.all(after >= before)
    assert after.sum() - before.sum() == more


@given(weights, st.integers(0, 10**6))
def test_apportion_keeps_to_the_shares(parts: list[float], total: int) -> None:
    share = np.asarray(parts) / np.sum(parts)
    bound = 0.5 + share * len(parts) / 2
    assert np.all(np.abs(apportion(parts, total) - total * share) <= bound + 1e-6)


@given(st.integers(1, 30), st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 2**31))
def test_visits_are_equal_and_do_not_depend_on_where_epochs_end(
    size: int, steps: list[int], seed: int
) -> None:
    group = Group(number=3, weight=1.0, members=np.arange(100, 100 + size))
    ends = np.cumsum([0, *steps])
    pieces = [visit(group, int(a), int(b), seed) for a, b in pairwise(ends)]
    images = np.concatenate([piece[0] for piece in pieces])
    times = np.concatenate([piece[1] for piece in pieces])
    whole = visit(group, 0, int(ends[-1]), seed)
    assert np.array_equal(images, whole[0])
    assert np.array_equal(times, whole[1])
    counts = np.bincount(images - 100, minlength=size)
    assert counts.max() - counts.min() <= 1
    seen: dict[int, int] = {}
    for image, time in zip(images.tolist(), times.tolist(), strict=True):
        assert time == seen.get(image, 0)
        seen[image] = time + 1


def test_every_round_through_a_group_has_its_own_order() -> None:
    group = Group(number=0, weight=1.0, members=np.arange(50))
    images, _ = visit(group, 0, 100, seed=1)
    assert not np.array_equal(images[:50], images[50:])
    other, _ = visit(Group(number=1, weight=1.0, members=np.arange(50)), 0, 50, seed=1)
    assert not np.array_equal(images[:50], other)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=60),
    st.floats(0, 1),
)
def test_groups_cover_every_image_once_and_weigh_one(images: list[tuple[str, int]], power: float) -> None:
    sources = [source for source, _ in images]
    labels = np.array([label for _, label in images], np.int32)
    shares = {"a": 1.0, "b": 2.5, "c": 0.1}
    parts = groups(sources, labels, shares=shares, class_power=power)
    assert sorted(np.concatenate([part.members for part in parts]).tolist()) == list(range(len(images)))
    assert np.isclose(sum(part.weight for part in parts), 1.0)
    present = set(sources)
    for name in present:
        weight = sum(part.weight for part in parts if sources[part.members[0]] == name)
        assert np.isclose(weight, shares[name] / sum(shares[other] for other in present))


def test_class_power_between_as_they_come_and_equal() -> None:
    labels = np.repeat(np.array([0, 1], np.int32), [90, 10])
    sources = ["a"] * 100
    for power, expected in ((1.0, 0.9), (0.0, 0.5), (0.5, 0.75)):
        first = groups(sources, labels, shares={"a": 1.0}, class_power=power)[0]
        assert np.isclose(first.weight, expected)  # sqrt(90) : sqrt(10) is 3 : 1
