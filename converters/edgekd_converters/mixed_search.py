"""`fewest`: the search for the layers that must not be 8-bit, apart from what a file or an image is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Kept = frozenset[int]
Satisfies = Callable[[Kept], bool]
Error = Callable[[Kept], float]


def fewest(order: Sequence[int], satisfies: Satisfies, error: Error) -> Kept | None:
    """The places to keep in higher precision, as few as this search finds; None when keeping all fails.

    `order` ranks all places, the most harmful first. Nothing is kept when `satisfies` needs nothing.
    Otherwise prefixes of `order` of 1, 2, 4, 8… places are tried, and bisection finds, below the first that
    satisfies, one that does while the prefix one shorter does not; then single places are taken out of it
    until none can be. `error` decides what is tried first among places that may all go.

    Guaranteed: the answer satisfies, and without any one of its places it does not. Not guaranteed: that no
    other set is smaller; nor, where `satisfies` is not monotone, that no shorter prefix would have done.
    """
    if satisfies(frozenset()):
        return frozenset()
    if not satisfies(frozenset(order)):
        return None
    return _eliminate(frozenset(order[: _prefix(order, satisfies)]), satisfies, error)


def _prefix(order: Sequence[int], satisfies: Satisfies) -> int:
    passing = 1
    while passing < len(order) and not satisfies(frozenset(order[:passing])):
        passing = min(2 * passing, len(order))
    failing = passing // 2
    while passing - failing > 1:
        middle = (failing + passing) // 2
        if satisfies(frozenset(order[:middle])):
            passing = middle
        else:
            failing = middle
    return passing


def _eliminate(kept: Kept, satisfies: Satisfies, error: Error) -> Kept:
    while True:
        smaller = _one_pass(kept, satisfies, error)
        if smaller == kept:
            return kept
        kept = smaller


def _one_pass(kept: Kept, satisfies: Satisfies, error: Error) -> Kept:
    """`kept` without the places that can go one after another, those that cost the least error first."""
    for place in sorted(kept, key=lambda place: (error(kept - {place}), place)):
        if satisfies(kept - {place}):
            kept = kept - {place}
    return kept
