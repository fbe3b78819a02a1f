"""Which images an epoch draws: exact shares, and every image of a group equally often.

The training images fall into groups, one per (source, class). Two closed forms make any epoch computable
without replaying the ones before it:

- how many of the first t draws belong to each group: `apportion`, which never takes a draw back as t grows;
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
    """The images of one class of one source: `weight` is its part of all draws (all weights sum to 1)."""

    number: int
    weight: float
    members: NDArray[np.int64]


def groups(
    sources: Sequence[str], labels: NDArray[np.int32], *, shares: Mapping[str, float], class_power: float
) -> tuple[Group, ...]:
    """The groups of images with source `sources[i]` and class `labels[i]`, ordered by source, then class.

    A source gets `shares[source]` of the draws relative to the other sources present; a class of it
    count ** `class_power` relative to the other classes of that source.

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
    for name in present:
        members = [np.flatnonzero((names == name) & (labels == label)) for label in np.unique(labels)]
        members = [part for part in members if len(part)]
        powers = [float(len(part)) ** class_power for part in members]
        for part, power in zip(members, powers, strict=True):
            weight = shares[name] / total * power / sum(powers)
            found.append(Group(number=len(found), weight=weight, members=part))
    return tuple(found)


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
