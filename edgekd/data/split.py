"""Which image is trained on, which chooses the threshold, which is the test; and the record that proves it.

An official split is kept. What has none is divided by diagnosis, lesions and patients never torn apart, from
a seed; the result depends on the ids only, not on their order.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgekd.config import DataConfig, SourceConfig
from edgekd.data.leaks import PRECEDENCE, Dropped, Link, Reason, components, group_links
from edgekd.data.parents import apart, follow_parents
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import BINARY, in_order
from edgekd.errors import DataError

SCHEMA = "edgekd.split/1"

Fractions = Mapping[Split, float]
_Stratum = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Every row with its split, sorted by id, and what is left out before any image is opened."""

    rows: tuple[Row, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, kw_only=True)
class Disjointness:
    """What the splits share: all zero, unless leaks were asked to stay."""

    shared_ids: int
    shared_lesions: int
    shared_patients: int
    identical_pairs: int
    near_identical_pairs: int
    statement: str


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """`split.json`: who is where, and what was left out.

    `counts` by split, class and source; `ids_sha256` by split, of the sorted ids, one a line.
    """

    schema: str
    seed: int
    classes: tuple[str, ...]
    malignant: tuple[str, ...]
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    ids_sha256: Mapping[str, str]
    dropped: tuple[Dropped, ...]
    disjointness: Disjointness


def assign_splits(
    rows: Sequence[Row], config: DataConfig, seed: int, left_out: Sequence[Dropped] = ()
) -> Assignment:
    """`rows` of all sources, in the order of `config.sources`, each with its split.

    Where any row is only benign or malignant, or `config.binary` says so, all rows are. A source without
    validation (or test) gives part of its training rows; a row without split goes where an official row of
    its lesion or patient is. Synthetic images have no say in this: they join their parents in train, or are
    left out. `left_out` is what the sources left out themselves.

    Raises:
        DataError: an id comes twice in one source.
    """
    kept, dropped = _unique(rows)
    ordered = sorted(kept, key=lambda row: row.image_id)
    photographs, synthetic = apart(_collapsed(ordered, binary=config.binary))
    splits = _allocate(photographs, config, seed)
    placed = [replace(row, split=split) for row, split in zip(photographs, splits, strict=True)]
    joined, orphans = follow_parents(synthetic, placed)
    rows_with_split = tuple(sorted((*placed, *joined), key=lambda row: row.image_id))
    return Assignment(rows=rows_with_split, dropped=(*_partnered(left_out, placed), *dropped, *orphans))


def check_splits(rows: Sequence[Row]) -> None:
    """Refuse splits nothing can be learned from, or measured on.

    Raises:
        DataError: a split without malignant or without benign images, or a diagnosis that is evaluated and
            never trained.
    """
    for split in Split:
        inside = [row for row in rows if row.split is split]
        positive = sum(row.malignant for row in inside)
        for count, name in ((positive, "malignant"), (len(inside) - positive, "benign")):
            if count == 0:
                raise DataError(
                    f"the {split} split has {len(inside)} images and none is {name}: add images, or change "
                    "data.validation_fraction, data.test_fraction or data.malignant"
                )
    trained = {row.diagnosis for row in rows if row.split is Split.TRAIN}
    for row in rows:
        if row.diagnosis not in trained:
            raise DataError(
                f"{row.diagnosis} is in {row.split} (image {row.image_id}) and never in train: "
                "add training images of it, or leave those rows out"
            )


def split_record(
    rows: Sequence[Row], dropped: Sequence[Dropped], links: Sequence[Link], seed: int
) -> SplitRecord:
    """The record of the surviving `rows`; `links` are those between images (`leaks.image_links`).

    Raises:
        DataError: as `check_splits`.
    """
    check_splits(rows)
    trained = in_order(row.diagnosis for row in rows if row.split is Split.TRAIN)
    malignant = {row.diagnosis for row in rows if row.malignant}
    return SplitRecord(
        schema=SCHEMA,
        seed=seed,
        classes=trained,
        malignant=tuple(name for name in trained if name in malignant),
        counts=_counts(rows, trained),
        ids_sha256={split.value: _ids_digest(rows, split) for split in Split},
        dropped=tuple(dropped),
        disjointness=_disjointness(rows, links),
    )


def _unique(rows: Sequence[Row]) -> tuple[list[Row], list[Dropped]]:
    first: dict[str, Row] = {}
    dropped: list[Dropped] = []
    for row in rows:
        known = first.setdefault(row.image_id, row)
        if known is row:
            continue
        if known.source == row.source:
            raise DataError(
                f"source {row.source}: image id {row.image_id!r} comes twice ({known.path} and {row.path})"
            )
        dropped.append(
            Dropped(
                image_id=row.image_id,
                source=row.source,
                split=row.split,
                reason=Reason.DUPLICATE_ID,
                partner=f"{known.source}: {known.path}",
                partner_split=known.split,
            )
        )
    return list(first.values()), dropped


def _partnered(left_out: Sequence[Dropped], rows: Sequence[Row]) -> tuple[Dropped, ...]:
    """`left_out` with the splits of the partners, those being the first of their ids that were used."""
    place = {(row.source, row.image_id): row.split for row in rows}
    return tuple(replace(one, partner_split=place.get((one.source, one.partner))) for one in left_out)


def _collapsed(rows: Sequence[Row], *, binary: bool) -> list[Row]:
    if not binary and not any(row.diagnosis in BINARY for row in rows):
        return list(rows)
    return [replace(row, diagnosis=BINARY[row.malignant]) for row in rows]


def _allocate(rows: Sequence[Row], config: DataConfig, seed: int) -> list[Split]:
    fractions = _fractions(rows, config)
    fixed = [None if _free(row, fractions) else _given(row, config) for row in rows]
    members: dict[int, list[int]] = defaultdict(list)
    for number, group in enumerate(components([row.image_id for row in rows], group_links(rows)).tolist()):
        members[group].append(number)
    splits = dict(enumerate(fixed))
    loose: list[list[int]] = []
    for group in members.values():
        known = [split for number in group if (split := fixed[number]) is not None]
        if not known:
            loose.append(group)
            continue
        highest = max(known, key=PRECEDENCE.__getitem__)
        splits |= {number: rows[number].split or highest for number in group if fixed[number] is None}
    splits |= _Greedy(rows, loose, fractions).run(seed)
    return [split for number in range(len(rows)) if (split := splits[number]) is not None]


def _fractions(rows: Sequence[Row], config: DataConfig) -> dict[str, Fractions]:
    """By source, how the rows edgekd divides are divided; sources it does not divide are absent."""
    present: dict[str, set[Split | None]] = defaultdict(set)
    for row in rows:
        present[row.source].add(row.split)
    wanted = {Split.VALIDATION: config.validation_fraction, Split.TEST: config.test_fraction}
    found: dict[str, Fractions] = {}
    for source in config.sources:
        missing = {split: part for split, part in wanted.items() if split not in present[source.name]}
        if missing and not source.train_only and present[source.name] & {None, Split.TRAIN}:
            found[source.name] = {Split.TRAIN: 1 - sum(missing.values()), **missing}
    return found


def _free(row: Row, fractions: Mapping[str, Fractions]) -> bool:
    return row.source in fractions and row.split in (None, Split.TRAIN)


def _given(row: Row, config: DataConfig) -> Split:
    sources: dict[str, SourceConfig] = {source.name: source for source in config.sources}
    return Split.TRAIN if row.split is None or sources[row.source].train_only else row.split


class _Greedy:
    """Groups into splits: the largest first, each to the split that misses its diagnoses most.

    Every stratum (source and diagnosis) with at least three groups reaches every split.
    """

    def __init__(
        self, rows: Sequence[Row], groups: Sequence[Sequence[int]], fractions: Mapping[str, Fractions]
    ) -> None:
        self._rows, self._groups, self._fractions = rows, groups, fractions
        self._strata = [Counter((rows[n].source, rows[n].diagnosis) for n in group) for group in groups]
        self._size: Counter[_Stratum] = sum(self._strata, Counter())
        self._missing = self._targets()

    def run(self, seed: int) -> dict[int, Split]:
        """The split of every row in a group, by its number."""
        order = sorted(range(len(self._groups)), key=lambda group: self._rank(group, seed))
        return {
            number: split
            for group in order
            for split in [self._place(group)]
            for number in self._groups[group]
        }

    def _targets(self) -> dict[_Stratum, dict[Split, float]]:
        groups = Counter(stratum for strata in self._strata for stratum in strata)
        targets: dict[_Stratum, dict[Split, float]] = {}
        for stratum, size in self._size.items():
            parts = self._fractions[stratum[0]]
            least = 1.0 if groups[stratum] >= len(parts) else 0.0
            held: dict[Split, float] = {
                split: max(part * size, least) for split, part in parts.items() if split is not Split.TRAIN
            }
            targets[stratum] = {Split.TRAIN: size - sum(held.values()), **held}
        return targets

    def _rank(self, group: int, seed: int) -> tuple[int, str]:
        name = min(self._rows[number].image_id for number in self._groups[group])
        return -len(self._groups[group]), hashlib.sha256(f"{seed} {name}".encode()).hexdigest()

    def _place(self, group: int) -> Split:
        strata = self._strata[group]
        source = min(stratum[0] for stratum in strata)
        split = max(self._fractions[source], key=lambda split: self._lack(strata, split))
        for stratum, count in strata.items():
            self._missing[stratum][split] = self._missing[stratum].get(split, 0.0) - count
        return split

    def _lack(self, strata: Mapping[_Stratum, int], split: Split) -> float:
        """How much placing the group lowers Σ missing² / size, but for a constant; rounded, to keep ties."""
        parts = (
            count * self._missing[stratum].get(split, 0.0) / self._size[stratum]
            for stratum, count in sorted(strata.items())
        )
        return round(sum(parts), 9)


def _counts(rows: Sequence[Row], classes: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    found = Counter((row.split, row.diagnosis, row.source) for row in rows)
    sources = sorted({row.source for row in rows})
    return {
        split.value: {name: {source: found[split, name, source] for source in sources} for name in classes}
        for split in Split
    }


def _ids_digest(rows: Sequence[Row], split: Split) -> str:
    ids = sorted(row.image_id for row in rows if row.split is split)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def _disjointness(rows: Sequence[Row], links: Sequence[Link]) -> Disjointness:
    split = {row.image_id: row.split for row in rows}
    across = Counter(
        link.reason
        for link in links
        if link.first in split and link.second in split and split[link.first] is not split[link.second]
    )
    found = {
        "shared_ids": len(rows) - len(split),
        "shared_lesions": _shared((row.lesion, row.split) for row in rows),
        "shared_patients": _shared((row.patient, row.split) for row in rows),
        "identical_pairs": across[Reason.IDENTICAL],
        "near_identical_pairs": across[Reason.NEAR_IDENTICAL],
    }
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.items())
    verdict = "share nothing" if not any(found.values()) else "are NOT disjoint"
    return Disjointness(**found, statement=f"train, validation and test {verdict}: {told}")


def _shared(items: Iterable[tuple[str | None, Split | None]]) -> int:
    """How many of the known keys lie in more than one split."""
    splits: dict[str, set[Split | None]] = defaultdict(set)
    for key, split in items:
        if key is not None:
            splits[key].add(split)
    return sum(len(found) > 1 for found in splits.values())
