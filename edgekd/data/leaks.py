"""What connects two images (file, picture, lesion, patient), and which go so that no two splits touch."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.data.signature import near_pairs
from edgekd.data.table import Row, Split


class Reason(enum.StrEnum):
    """Why two images must not lie in different splits, or why one was dropped.

    `unknown_diagnosis`: its source knows none. `listed_duplicate`: its source lists it as a copy.
    `duplicate_id`: a later source repeats the image. `synthesised_from`: one was made from the other, which
    must be trained on. `connected`: through a chain of other reasons.
    """

    UNKNOWN_DIAGNOSIS = "unknown_diagnosis"
    LISTED_DUPLICATE = "listed_duplicate"
    DUPLICATE_ID = "duplicate_id"
    IDENTICAL = "identical"
    NEAR_IDENTICAL = "near_identical"
    SAME_LESION = "same_lesion"
    SAME_PATIENT = "same_patient"
    SYNTHESISED_FROM = "synthesised_from"
    CONNECTED = "connected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Two images that belong together, ids in order; `distance` is 1 − similarity of near-identical ones."""

    first: str
    second: str
    reason: Reason
    distance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """An image left out, from where, and the image it was left out for; without one, `partner` is empty."""

    image_id: str
    source: str
    split: Split | None
    reason: Reason
    partner: str
    partner_split: Split | None
    distance: float | None = None


_DIRECT = (
    Reason.IDENTICAL,
    Reason.NEAR_IDENTICAL,
    Reason.SAME_LESION,
    Reason.SAME_PATIENT,
    Reason.SYNTHESISED_FROM,
)

PRECEDENCE = {Split.TRAIN: 0, Split.VALIDATION: 1, Split.TEST: 2}
"""Of two connected images the one in the lower split is dropped."""


def image_links(
    ids: Sequence[str], hashes: Sequence[str], signatures: NDArray[np.uint8], *, workers: int = 0
) -> tuple[Link, ...]:
    """The links between images by what they show: equal pixels (same hash), or the same picture.

    `workers` threads search (0: one per core).
    """
    copies = tuple(_stars(zip(hashes, ids, strict=True), Reason.IDENTICAL))
    known = {(link.first, link.second) for link in copies}
    hash_of = dict(zip(ids, hashes, strict=True))
    near = (
        Link(
            first=pair.first,
            second=pair.second,
            reason=Reason.NEAR_IDENTICAL,
            distance=round(1 - pair.similarity, 3),
        )
        for pair in (near_pairs(signatures, ids, workers=workers))
        if (pair.first, pair.second) not in known and hash_of[pair.first] != hash_of[pair.second]
    )
    return (*copies, *near)


def group_links(rows: Sequence[Row]) -> tuple[Link, ...]:
    """The links between images of one lesion, of one patient, and of synthetic images to their parents."""
    lesions = ((row.lesion, row.image_id) for row in rows if row.lesion is not None)
    patients = ((row.patient, row.image_id) for row in rows if row.patient is not None)
    groups = (*_stars(lesions, Reason.SAME_LESION), *_stars(patients, Reason.SAME_PATIENT))
    return (*groups, *_descent(rows))


def components(ids: Sequence[str], links: Iterable[Link]) -> NDArray[np.int64]:
    """The number of the connected group of each of `ids`, int64 [n]."""
    # Imported here: half a second that no process reading images should pay.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    place = {image_id: number for number, image_id in enumerate(ids)}
    ends = np.array([(place[link.first], place[link.second]) for link in links], dtype=np.int64).reshape(
        -1, 2
    )
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(len(ids), len(ids)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def leak_drops(rows: Sequence[Row], links: Sequence[Link]) -> tuple[Dropped, ...]:
    """The rows to leave out so that nothing connects two splits: the train side, or the validation side.

    `links` are those of `image_links`; those of lesions and patients are added. Rows without a split are
    left alone. Sorted by image id.
    """
    every = (*links, *group_links(rows))
    distance = {(link.first, link.second): link.distance for link in every if link.distance is not None}
    dropped: dict[str, Dropped] = {}
    for reason in _DIRECT:
        for row, partner in _below(rows, [link for link in every if link.reason is reason]):
            dropped.setdefault(row.image_id, _dropped(row, partner, reason, distance))
    for row, partner in _below(rows, every):
        dropped.setdefault(row.image_id, _dropped(row, partner, Reason.CONNECTED, {}))
    return tuple(dropped[image_id] for image_id in sorted(dropped))


def _stars(items: Iterable[tuple[str, str]], reason: Reason) -> Iterator[Link]:
    """Every id of (key, id) linked to the first id of its key."""
    first: dict[str, str] = {}
    for key, image_id in sorted(items):
        if first.setdefault(key, image_id) != image_id:
            yield Link(first=first[key], second=image_id, reason=reason)


def _descent(rows: Sequence[Row]) -> Iterator[Link]:
    present = {row.image_id for row in rows}
    for row in rows:
        if row.parent is not None and row.parent in present:
            first, second = sorted((row.image_id, row.parent))
            yield Link(first=first, second=second, reason=Reason.SYNTHESISED_FROM)


def _below(rows: Sequence[Row], links: Sequence[Link]) -> Iterator[tuple[Row, Row]]:
    """Each row connected to one of a higher split, with such a row: directly linked, if there is one."""
    groups = components([row.image_id for row in rows], links).tolist()
    highest: dict[int, Row] = {}
    for row, group in sorted(zip(rows, groups, strict=True), key=lambda item: item[0].image_id):
        if row.split is not None and _rank(row) > _rank(highest.get(group)):
            highest[group] = row
    direct = _direct(rows, links)
    for row, group in zip(rows, groups, strict=True):
        if row.split is not None and _rank(highest[group]) > _rank(row):
            yield row, direct.get(row.image_id, highest[group])


def _direct(rows: Sequence[Row], links: Sequence[Link]) -> dict[str, Row]:
    """By image id, the linked row of the highest split above its own."""
    by_id = {row.image_id: row for row in rows}
    found: dict[str, Row] = {}
    for link in links:
        low, high = sorted((by_id[link.first], by_id[link.second]), key=_rank)
        if low.split is not None and _rank(high) > max(_rank(low), _rank(found.get(low.image_id))):
            found[low.image_id] = high
    return found


def _rank(row: Row | None) -> int:
    return -1 if row is None or row.split is None else PRECEDENCE[row.split]


def _dropped(row: Row, partner: Row, reason: Reason, distance: Mapping[tuple[str, str], float]) -> Dropped:
    pair = (min(row.image_id, partner.image_id), max(row.image_id, partner.image_id))
    return Dropped(
        image_id=row.image_id,
        source=row.source,
        split=row.split,
        reason=reason,
        partner=partner.image_id,
        partner_split=partner.split,
        distance=distance.get(pair) if reason is Reason.NEAR_IDENTICAL else None,
    )
