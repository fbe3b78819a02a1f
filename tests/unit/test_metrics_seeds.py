"""A difference of two ways of training: its value, its symmetry, how often its interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.errors import DataError
from edgekd.metrics.ranking import roc_auc_score
from edgekd.metrics.seeds import seeded_auc_difference

FEW = 60


def drawn(
    seed: int, seeds: int = 3, n: int = 80, skill: float = 0.3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and scores of two ways of training that are equally good on the average.

    Every training has a skill of its own, and images that are hard are hard for all.
    """
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3 == 0
    hard = random.normal(size=n)

    def way() -> np.ndarray:
        skills = 1.2 + skill * random.normal(size=(seeds, 1))
        return skills * labels + 0.7 * hard + 0.7 * random.normal(size=(seeds, n))

    return labels, way(), way()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5))
def test_it_is_the_mean_over_seeds_and_turns_its_sign(seed: int, seeds: int) -> None:
    labels, reference, candidate = drawn(seed, seeds)
    groups = [None] * len(labels)
    one = seeded_auc_difference(labels, reference, candidate, groups, resamples=FEW)
    two = seeded_auc_difference(labels, candidate, reference, groups, resamples=FEW)
    each = [
        roc_auc_score(labels, b) - roc_auc_score(labels, a) for a, b in zip(reference, candidate, strict=True)
    ]
    assert one.value == pytest.approx(np.mean(each), abs=1e-12)
    assert (one.value, one.low, one.high) == pytest.approx((-two.value, -two.high, -two.low), abs=1e-12)
    assert one.low <= one.value <= one.high


def test_a_way_does_not_differ_from_itself() -> None:
    labels, reference, _ = drawn(1)
    found = seeded_auc_difference(labels, reference, reference, [None] * len(labels), resamples=FEW)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_seeds_that_disagree_widen_it_and_one_seed_is_told() -> None:
    labels, reference, candidate = drawn(2)
    groups = [None] * len(labels)
    whole = seeded_auc_difference(labels, reference, candidate, groups, resamples=FEW)
    single = seeded_auc_difference(labels, reference[:1], candidate[:1], groups, resamples=FEW)
    assert "3 seeds)" in whole.method
    assert "1 seed, images alone)" in single.method
    doubled = [np.repeat(scores[:1], 3, axis=0) for scores in (reference, candidate)]
    agreed = seeded_auc_difference(labels, *doubled, groups, resamples=FEW)
    assert agreed.high - agreed.low == pytest.approx(single.high - single.low)
    apart = seeded_auc_difference(
        labels, np.stack([reference[0]] * 2), np.stack([candidate[0], -candidate[0]]), groups, resamples=FEW
    )
    assert apart.high - apart.low > 3 * (agreed.high - agreed.low)


def test_pictures_of_one_person_count_as_one() -> None:
    labels, reference, candidate = (np.tile(part, 3) for part in drawn(3, seeds=1))
    persons = [str(number % 80) for number in range(240)]
    known = seeded_auc_difference(labels, reference, candidate, persons, resamples=200)
    unknown = seeded_auc_difference(labels, reference, candidate, [None] * 240, resamples=200)
    assert known.high - known.low > unknown.high - unknown.low
    assert "80 groups" in known.method


def test_other_images_and_other_seeds_stay_within_it() -> None:
    """Nominally 95 of 100; a binomial of 100 at 0.95 lies below 87 once in 3,000 times."""
    held = 0
    for seed in range(100):
        labels, reference, candidate = drawn(1000 + seed)
        found = seeded_auc_difference(labels, reference, candidate, [None] * len(labels), resamples=FEW)
        held += found.low <= 0 <= found.high
    assert held >= 87


def test_what_does_not_fit_is_refused() -> None:
    labels, reference, candidate = drawn(4)
    with pytest.raises(DataError, match=r"\[seeds, images\] twice"):
        seeded_auc_difference(labels, reference, candidate[:2], [None] * len(labels))
    with pytest.raises(DataError):
        seeded_auc_difference(np.zeros(80, bool), reference, candidate, [None] * 80)
