"""Oversampling to a stated share: exact at any moment, nothing else disturbed, nothing taken back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgekd.data.sampling import Group, apportion, divide, groups

SHARES = {"a": 1.0, "b": 2.5, "c": 0.1}
MALIGNANT = (1, 3)

images = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), min_size=1, max_size=60)
positive = st.floats(0.01, 0.99)


def _groups(drawn: list[tuple[str, int]], power: float, share: float) -> tuple[Group, ...]:
    labels = np.array([label for _, label in drawn], np.int32)
    malignant = np.isin(labels, MALIGNANT)
    sources = [source for source, _ in drawn]
    return groups(
        sources, labels, shares=SHARES, class_power=power, malignant=malignant, positive_share=share
    )


def _split(drawn: list[tuple[str, int]], parts: tuple[Group, ...], counts: np.ndarray) -> dict:
    """(Benign, malignant) draws of every source that holds both sides."""
    found: dict[str, list[int]] = {}
    for part, count in zip(parts, counts.tolist(), strict=True):
        source, label = drawn[part.members[0]]
        found.setdefault(source, [0, 0])[label in MALIGNANT] += count
    sides = {(source, label in MALIGNANT) for source, label in drawn}
    return {name: pair for name, pair in found.items() if {(name, False), (name, True)} <= sides}


@given(images, st.floats(0, 1), positive, st.integers(0, 10**6))
def test_every_source_gives_its_share_to_within_half_a_draw(drawn, power, share, total):
    parts = _groups(drawn, power, share)
    counts = divide(parts, total)
    assert counts.sum() == total
    for benign, malignant in _split(drawn, parts, counts).values():
        assert abs(malignant - share * (benign + malignant)) <= 0.5 + 1e-6


@given(images, st.floats(0, 1), positive, st.integers(0, 10**5), st.integers(1, 500))
def test_over_any_epoch_the_share_holds_to_a_draw_and_nothing_is_taken_back(drawn, power, share, first, size):
    parts = _groups(drawn, power, share)
    shown = divide(parts, first + size) - divide(parts, first)
    assert shown.min() >= 0
    assert shown.sum() == size
    for benign, malignant in _split(drawn, parts, shown).values():
        assert abs(malignant - share * (benign + malignant)) <= 1 + 1e-6


@given(images, st.floats(0, 1), positive, st.integers(0, 10**5))
def test_sources_keep_their_own_shares(drawn, power, share, total):
    """Webster's condition: no source has more claim to its last draw than another to its next."""
    parts = _groups(drawn, power, share)
    counts = divide(parts, total)
    names = np.array([drawn[part.members[0]][0] for part in parts])
    present = sorted(set(names.tolist()))
    weights = np.array([SHARES[name] for name in present])
    sums = np.array([counts[names == name].sum() for name in present])
    assert sums.sum() == total
    had = sums > 0
    last = (weights[had] / (2 * sums[had] - 1)).min(initial=np.inf)
    assert (weights / (2 * sums + 1)).max() <= last * (1 + 1e-9)


@given(images, st.floats(0, 1), positive)
def test_within_a_side_the_power_rules_and_every_image_is_there(drawn, power, share):
    parts = _groups(drawn, power, share)
    assert sorted(np.concatenate([part.members for part in parts]).tolist()) == list(range(len(drawn)))
    assert np.isclose(sum(part.weight for part in parts), 1.0)
    for one in parts:
        for other in parts:
            if one.branch == other.branch:
                expected = (len(one.members) / len(other.members)) ** power
                assert np.isclose(one.weight / other.weight, expected)


@given(images, st.floats(0, 1), st.integers(0, 10**6))
def test_without_a_share_the_groups_are_those_of_classes_alone(drawn, power, total):
    plain = groups(
        [source for source, _ in drawn],
        np.array([label for _, label in drawn], np.int32),
        shares=SHARES,
        class_power=power,
    )
    same = _groups(drawn, power, 0.0)
    assert [part.weight for part in same] == [part.weight for part in plain]
    np.testing.assert_array_equal(divide(same, total), apportion([part.weight for part in plain], total))


def test_a_fifth_of_melanomas_as_in_the_paper() -> None:
    drawn = [("a", 0)] * 980 + [("a", 1)] * 20
    parts = _groups(drawn, 1.0, 0.2)
    assert divide(parts, 1000).tolist() == [800, 200]


def test_a_source_of_one_side_is_drawn_as_before() -> None:
    drawn = [("a", 0)] * 30 + [("a", 2)] * 10 + [("b", 1)] * 5
    parts = _groups(drawn, 1.0, 0.5)
    weights = {drawn[part.members[0]]: part.weight for part in parts}
    assert np.allclose(
        [weights["a", 0], weights["a", 2], weights["b", 1]], [0.75 / 3.5, 0.25 / 3.5, 2.5 / 3.5]
    )
