"""Splitting: groups stay whole, fractions hold, and neither order nor process changes anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data.leaks import Link, Reason, leak_drops
from edgekd.data.split import assign_splits, split_record
from edgekd.data.table import Row, Split
from edgekd.errors import DataError

RANK = {Split.TRAIN: 0, Split.VALIDATION: 1, Split.TEST: 2}


def config(*names: str, train_only: tuple[str, ...] = (), **fractions: float) -> DataConfig:
    sources = (
        SourceConfig(name=name, kind=SourceKind.FOLDERS, root="x", train_only=name in train_only)
        for name in names
    )
    return DataConfig(sources=tuple(sources), **fractions)


def row(number: int, diagnosis: str = "nv", source: str = "a", **more: object) -> Row:
    return Row(
        image_id=f"i{number:04d}",
        path=f"{number}.jpg",
        diagnosis=diagnosis,
        malignant=diagnosis == "mel",
        source=source,
        **more,  # type: ignore[arg-type]
    )


@st.composite
def tables(draw: st.DrawFn, split: bool = False) -> list[Row]:
    size = draw(st.integers(1, 60))
    groups = st.one_of(st.none(), st.integers(0, 12).map(str))
    return [
        row(
            number,
            draw(st.sampled_from(("mel", "nv", "bkl"))),
            draw(st.sampled_from(("a", "b"))),
            patient=draw(groups),
            lesion=draw(groups),
            split=draw(st.sampled_from(Split)) if split else None,
        )
        for number in range(size)
    ]


@given(tables(), st.integers(0, 5))
def test_patients_and_lesions_are_never_torn_apart(rows: list[Row], seed: int) -> None:
    found = assign_splits(rows, config("a", "b"), seed).rows
    for name in ("patient", "lesion"):
        places: dict[str, set[Split | None]] = {}
        for one in found:
            if getattr(one, name) is not None:
                places.setdefault(getattr(one, name), set()).add(one.split)
        assert all(len(splits) == 1 for splits in places.values())


@given(tables(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_order_of_the_rows_does_not_matter(rows: list[Row], seed: int, random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert assign_splits(shuffled, config("a", "b"), seed) == assign_splits(rows, config("a", "b"), seed)


@given(st.integers(3, 300), st.floats(0.05, 0.3), st.floats(0.05, 0.3), st.integers(0, 9))
def test_single_images_hit_the_fractions_exactly(
    size: int, validation: float, test: float, seed: int
) -> None:
    chosen = config("a", validation_fraction=validation, test_fraction=test)
    count = Counter(one.split for one in assign_splits([row(n) for n in range(size)], chosen, seed).rows)
    for split, part in ((Split.VALIDATION, validation), (Split.TEST, test)):
        # Within one image, which is also the least every split gets of a diagnosis with three groups.
        assert abs(count[split] - max(part * size, 1)) <= 1


@given(st.lists(st.integers(1, 12), min_size=3, max_size=60), st.integers(0, 9))
def test_groups_hit_the_fractions_within_the_largest(sizes: list[int], seed: int) -> None:
    rows = [row(100 * group + n, patient=str(group)) for group, size in enumerate(sizes) for n in range(size)]
    count = Counter(one.split for one in assign_splits(rows, config("a"), seed).rows)
    for split, part in ((Split.VALIDATION, 0.15), (Split.TEST, 0.2)):
        assert abs(count[split] - part * len(rows)) <= max(sizes) + 1


@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 5))
def test_every_diagnosis_with_three_images_is_in_every_split(mel: int, nv: int, seed: int) -> None:
    rows = [row(n, "mel" if n < mel else "nv") for n in range(mel + nv)]
    found = {(one.split, one.diagnosis) for one in assign_splits(rows, config("a"), seed).rows}
    assert found == {(split, name) for split in Split for name in ("mel", "nv")}


def test_another_seed_is_another_split() -> None:
    rows = [row(n) for n in range(100)]
    assert assign_splits(rows, config("a"), 1) != assign_splits(rows, config("a"), 2)


@given(tables(split=True), st.integers(0, 3))
def test_an_official_split_is_kept(rows: list[Row], seed: int) -> None:
    every = [
        *rows,
        *(row(900 + n, source=s, split=p) for n, (s, p) in enumerate((s, p) for s in "ab" for p in Split)),
    ]
    found = {one.image_id: one.split for one in assign_splits(every, config("a", "b"), seed).rows}
    assert found == {one.image_id: one.split for one in every}


def test_missing_validation_is_taken_from_train() -> None:
    rows = [row(n, split=Split.TEST if n < 30 else Split.TRAIN, lesion=str(n // 3)) for n in range(130)]
    found = assign_splits(rows, config("a", validation_fraction=0.2), 1).rows
    assert {one.image_id for one in found if one.split is Split.TEST} == {one.image_id for one in rows[:30]}
    # A fifth of the hundred training rows, groups of three.
    assert abs(sum(one.split is Split.VALIDATION for one in found) - 20) <= 3


def test_a_train_only_source_is_trained_on() -> None:
    rows = [row(n, split=Split.TEST if n % 2 else None) for n in range(20)]
    assert {one.split for one in assign_splits(rows, config("a", train_only=("a",)), 1).rows} == {Split.TRAIN}


def test_a_row_without_split_goes_where_its_lesion_officially_is() -> None:
    official = [row(n, source="a", split=split, lesion=split.value) for n, split in enumerate(Split)]
    loose = [row(10 + n, source="b", lesion=split.value) for n, split in enumerate(Split)]
    found = assign_splits([*official, *loose], config("a", "b"), 1).rows
    assert all(one.split == one.lesion for one in found)


def test_a_binary_source_makes_all_binary() -> None:
    rows = [row(0, "mel"), row(1, "bkl"), row(2, "benign", source="b")]
    found = assign_splits(rows, config("a", "b"), 1).rows
    assert [one.diagnosis for one in found] == ["malignant", "benign", "benign"]


def test_binary_is_to_be_had_of_any_diagnoses() -> None:
    rows = [row(0, "mel"), row(1, "bkl"), row(2, "nv")]
    asked = replace(config("a"), binary=True)
    assert [one.diagnosis for one in assign_splits(rows, asked, 1).rows] == ["malignant", "benign", "benign"]
    assert [one.diagnosis for one in assign_splits(rows, config("a"), 1).rows] == ["mel", "bkl", "nv"]


def test_an_id_of_an_earlier_source_is_left_out_on_record() -> None:
    later = row(1, source="b")
    found = assign_splits([row(1), row(2), later], config("a", "b"), 1)
    assert [one.source for one in found.rows] == ["a", "a"]
    (dropped,) = found.dropped
    assert (dropped.image_id, dropped.source, dropped.reason) == ("i0001", "b", Reason.DUPLICATE_ID)
    with pytest.raises(DataError, match="'i0001' comes twice"):
        assign_splits([row(1), row(1)], config("a"), 1)


@given(tables(split=True), st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), max_size=30))
def test_after_the_drops_nothing_connects_two_splits(rows: list[Row], pairs: list[tuple[int, int]]) -> None:
    links = [
        Link(first=rows[a].image_id, second=rows[b].image_id, reason=Reason.NEAR_IDENTICAL, distance=0.1)
        for a, b in sorted({(min(p), max(p)) for p in pairs})
        if a != b and b < len(rows)
    ]
    dropped = {one.image_id: one for one in leak_drops(rows, links)}
    kept = {one.image_id: one for one in rows if one.image_id not in dropped}
    for link in links:
        if link.first in kept and link.second in kept:
            assert kept[link.first].split is kept[link.second].split
    for name in ("patient", "lesion"):
        pairs_of = {
            (getattr(one, name), one.split) for one in kept.values() if getattr(one, name) is not None
        }
        assert len(pairs_of) == len({key for key, _ in pairs_of})
    for one in dropped.values():
        assert one.split is not None
        assert one.partner_split is not None
        assert RANK[one.split] < RANK[one.partner_split]


def evaluated(split: Split) -> list[Row]:
    return [row(100 * RANK[split] + n, "mel" if n % 2 else "nv", split=split) for n in range(4)]


def test_the_record_counts_and_proves() -> None:
    rows = [one for split in Split for one in evaluated(split)]
    record = split_record(rows, (), (), 7)
    assert record.classes == ("mel", "nv")
    assert record.malignant == ("mel",)
    assert record.counts["test"] == {"mel": {"a": 2}, "nv": {"a": 2}}
    assert record.disjointness.statement.startswith("train, validation and test share nothing")
    leak = Link(first="i0000", second="i0200", reason=Reason.IDENTICAL)
    shared = split_record(rows, (), (leak,), 7).disjointness
    assert shared.identical_pairs == 1
    assert "NOT disjoint" in shared.statement


def test_splits_that_cannot_be_measured_are_refused() -> None:
    rows = [*evaluated(Split.TRAIN), *evaluated(Split.VALIDATION)]
    with pytest.raises(DataError, match="the test split has 0 images and none is malignant"):
        split_record(rows, (), (), 1)
    unseen = [*rows, *evaluated(Split.TEST), row(999, "vasc", split=Split.TEST)]
    with pytest.raises(DataError, match="vasc is in test .* and never in train"):
        split_record(unseen, (), (), 1)
