"""Images in folds that share nothing: no patient, no lesion, no parent."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekd.data.leaks import components, group_links
from edgekd.data.table import Row
from edgekd.errors import DataError


def assign_folds(rows: Sequence[Row], labels: NDArray[np.int32], count: int, seed: int) -> NDArray[np.int64]:
    """The fold of each of `rows`, int64 [n] in 0..count − 1; the same for the same `seed`.

    Images of one patient or lesion, and synthetic ones with the photograph they were made from, share a fold.
    The largest groups go first, each to the fold that misses its classes (`labels`, by source) most.

    Raises:
        DataError: there are fewer groups than folds.
    """
    groups = components([row.image_id for row in rows], group_links(rows))
    members: dict[int, list[int]] = defaultdict(list)
    for number, group in enumerate(groups.tolist()):
        members[group].append(number)
    if len(members) < count:
        raise DataError(f"{len(members)} groups of images for {count} folds: expected at least {count}")
    strata = [(row.source, int(label)) for row, label in zip(rows, labels, strict=True)]
    total = Counter(strata)
    held: list[Counter[tuple[str, int]]] = [Counter() for _ in range(count)]
    folds = np.empty(len(rows), np.int64)
    for group in sorted(members.values(), key=lambda one: _rank(one, rows, seed)):
        own = Counter(strata[number] for number in group)
        chosen = min(
            range(count), key=lambda fold: (_crowded(own, held[fold], total), held[fold].total(), fold)
        )
        held[chosen] += own
        folds[group] = chosen
    return folds


def _rank(group: Sequence[int], rows: Sequence[Row], seed: int) -> tuple[int, str]:
    name = min(rows[number].image_id for number in group)
    return -len(group), hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def _crowded(
    own: Counter[tuple[str, int]], held: Counter[tuple[str, int]], total: Counter[tuple[str, int]]
) -> float:
    """How full of the group's own classes a fold is already; rounded, so that ties stay ties."""
    return round(sum(count * held[stratum] / total[stratum] for stratum, count in own.items()), 9)
