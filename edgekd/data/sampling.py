"""Which images an epoch draws: exact shares, and every image of a group equally often.

The training images fall into groups, one per (source, class). Two closed forms make any epoch computable
without replaying the ones before it:

- how many of the first t draws belong to each group: `divide`, which never takes a draw back as t grows;
- the k-th draw of a group of n images: image `permutation(k // n)[k % n]`, so that it is also the
  (k // n)-th time this image is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """The images of one class of one source: `weight` is its part of all draws (all weights sum to 1).

    Groups of different `branch` compete as wholes, level by level: source, then benign (0) or malignant (1).
    """

    number: int
    weight: float
    members: NDArray[np.int64]
    branch: tuple[int, ...] = ()


def groups(
    sources: Sequence[str],
    labels: NDArray[np.int32],
    *,
    shares: Mapping[str, float],
    class_power: float,
    malignant: NDArray[np.bool_] | None = None,
    positive_share: float = 0.0,
) -> tuple[Group, ...]:
    """The groups of images with source `sources[i]` and class `labels[i]`, ordered by source, then class.

    A source gets `shares[source]` of the draws relative to the other sources present; a class of it
    count ** `class_power` relative to the other classes of that source. With a `positive_share` above 0 the
    malignant classes of a source get that part of its draws and the benign ones the rest, and the power
    rules among the classes of either side; a source that lacks a side has nothing to share.
    `malignant` bool [n] tells the sides.

    Raises:
        UsageError: a source without a share.
    """
    names = np.asarray(sources)
    present = sorted(set(sources))
    for name in present:
        if name not in shares:
            raise UsageError(f"no share for source {name!r}, expected one of {', '.join(sorted(shares))}")
    total = sum(shares[name] for name in present)
    found: list[Group] = []
    for place, name in enumerate(present):
        own = names == name
        for side, part, here in _sides(own, malignant, positive_share):
            branch = (place, side) if positive_share else ()
            weight = shares[name] / total * part
            found += _classes(labels, here, weight, class_power, first=len(found), branch=branch)
    return tuple(found)


def _sides(
    own: NDArray[np.bool_], malignant: NDArray[np.bool_] | None, positive_share: float
) -> list[tuple[int, float, NDArray[np.bool_]]]:
    """Number, part of the draws and images (bool [n]) of the sides of a source, whose images are `own`."""
    if not positive_share or malignant is None:
        return [(0, 1.0, own)]
    sides = [(0, 1.0 - positive_share, own & ~malignant), (1, positive_share, own & malignant)]
    sides = [side for side in sides if side[2].any()]
    return sides if len(sides) == 2 else [(side, 1.0, here) for side, _, here in sides]


def _classes(
    labels: NDArray[np.int32],
    here: NDArray[np.bool_],
    weight: float,
    power: float,
    *,
    first: int,
    branch: tuple[int, ...],
) -> list[Group]:
    """A group for each class among the images `here` (bool [n]), numbered from `first`, `weight` together."""
    members = [np.flatnonzero(here & (labels == label)) for label in np.unique(labels)]
    members = [part for part in members if len(part)]
    powers = [float(len(part)) ** power for part in members]
    return [
        Group(number=first + n, weight=weight * own / sum(powers), members=part, branch=branch)
        for n, (part, own) in enumerate(zip(members, powers, strict=True))
    ]


def divide(parts: Sequence[Group], total: int) -> NDArray[np.int64]:
    """How many of the first `total` draws each of `parts` gets, int64 [groups], summing to `total`.

    Branches first share the draws by their weights, then each divides its own: a source's malignant side is
    always within half a draw of its part of what the source got. No count ever falls as `total` grows.
    """
    return _divide(parts, total, depth=0)


def _divide(parts: Sequence[Group], total: int, depth: int) -> NDArray[np.int64]:
    heads = [part.branch[depth : depth + 1] for part in parts]
    names = sorted(set(heads))
    if names == [()]:
        return apportion([part.weight for part in parts], total)
    places = [[n for n, head in enumerate(heads) if head == name] for name in names]
    sums = apportion([sum(parts[n].weight for n in place) for place in places], total)
    counts = np.zeros(len(parts), np.int64)
    for place, own in zip(places, sums, strict=True):
        counts[place] = _divide([parts[n] for n in place], int(own), depth + 1)
    return counts


def apportion(weights: Sequence[float], total: int) -> NDArray[np.int64]:
    """How many of the first `total` draws each group gets, int64 [groups], summing to `total`.

    Sainte-Laguë (Webster): draw by draw to the group with the greatest weight / (2 · drawn + 1), the first
    of equals. No count ever falls as `total` grows, so the draws of an epoch are the difference of two
    calls; each stays within 1/2 + weight · groups / 2 of `total` · weight. Balinski & Young, Fair
    Representation, 2nd ed. 2001, appendix A.
    """
    share = np.asarray(weights, np.float64) / np.sum(weights)
    # Rounding share · x is the method's own result for the sum it happens to reach; x is chosen so that
    # this sum cannot exceed `total`, and at most `groups` draws are left to hand out one by one.
    counts: NDArray[np.int64] = np.floor(share * max(0.0, total - len(share) / 2 - 1) + 0.5).astype(np.int64)
    while counts.sum() < total:
        counts[np.argmax(share / (2 * counts + 1))] += 1
    return counts


def visit(group: Group, first: int, last: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The draws `first` (inclusive) to `last` (exclusive) of `group`: images, and how often each came before.

    Both int64 [last − first].
    """
    size = len(group.members)
    cycles = range(first // size, -(-last // size))
    orders = [np.empty(0, np.int64)]
    orders += [generator(seed, "cycle", group.number, cycle).permutation(group.members) for cycle in cycles]
    begin = first - cycles.start * size
    images = np.concatenate(orders)[begin : begin + last - first]
    return images, np.arange(first, last, dtype=np.int64) // size


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """A random generator that depends on its arguments only, independent between purposes and numbers."""
    words = [seed, int.from_bytes(purpose.encode()), *numbers]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
