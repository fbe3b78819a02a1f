from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgekd_converters.mixed_search import fewest

PLACES = 7
subsets = st.frozensets(st.integers(0, PLACES - 1))
orders = st.permutations(range(PLACES))


@given(orders, subsets)
def test_just_the_guilty_are_kept(order, guilty):
    assert fewest(order, lambda kept: guilty <= kept, lambda kept: 0.0) == guilty


@given(orders, st.sets(subsets))
def test_without_any_one_of_its_places_the_answer_fails(order, good):
    everything = frozenset(range(PLACES))
    found = fewest(order, lambda kept: kept in good or kept == everything, lambda kept: float(len(kept)))
    assert found in good or found == everything
    assert not any(found - {place} in good for place in found)


def test_nothing_is_tried_when_nothing_is_needed():
    tried = []
    assert fewest([2, 0, 1], lambda kept: tried.append(kept) is None, lambda kept: 0.0) == frozenset()
    assert tried == [frozenset()]


def test_keeping_everything_may_not_be_enough():
    assert fewest([0, 1], lambda kept: False, lambda kept: 0.0) is None


def test_among_places_that_may_all_go_the_cheapest_goes_first():
    # Two of three are needed, no matter which: the place that costs the least error is given up.
    cost = {0: 0.1, 1: 0.5, 2: 0.9}

    def satisfies(kept):
        return len(kept) >= 2

    def error(kept):
        return sum(cost[place] for place in {0, 1, 2} - kept)

    assert fewest([0, 1, 2], satisfies, error) == {0, 1}  # the ranking named enough of them
    assert fewest([0, 1, 2], lambda kept: len(kept) >= 2 and kept != {0, 1}, error) == {1, 2}


def test_the_search_begins_with_few():
    tried = []

    def satisfies(kept):
        tried.append(kept)
        return 3 in kept

    assert fewest([3, *range(3), *range(4, 60)], satisfies, lambda kept: 0.0) == {3}
    assert len(tried) <= 4
