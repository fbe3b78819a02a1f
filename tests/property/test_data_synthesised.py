"""Synthetic images never leave train, and never stay there without the photograph they were made from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data.leaks import Link, Reason, leak_drops
from edgekd.data.split import Assignment, assign_splits
from edgekd.data.synthesised import SynthesisedSource, require_unseen
from edgekd.data.table import Row, Split, read_table, write_table
from edgekd.errors import DataError
from synthesised_data import write_synthesised

CONFIG = DataConfig(
    sources=(
        SourceConfig(name="free", kind=SourceKind.FOLDERS, root="x"),
        SourceConfig(name="official", kind=SourceKind.FOLDERS, root="x"),
        SourceConfig(name="extra", kind=SourceKind.FOLDERS, root="x", train_only=True),
        SourceConfig(name="made", kind=SourceKind.SYNTHESISED, root="x"),
        SourceConfig(name="made too", kind=SourceKind.SYNTHESISED, root="x"),
    )
)
GROUPS = st.one_of(st.none(), st.integers(0, 9).map(str))


@st.composite
def photographs(draw: st.DrawFn) -> list[Row]:
    rows = []
    for number in range(draw(st.integers(1, 30))):
        source = draw(st.sampled_from(("free", "official", "extra")))
        rows.append(
            Row(
                image_id=f"i{number:02d}",
                path="x",
                diagnosis=draw(st.sampled_from(("mel", "nv"))),
                malignant=False,
                patient=draw(GROUPS),
                lesion=draw(GROUPS),
                split=draw(st.sampled_from(Split)) if source == "official" else None,
                source=source,
            )
        )
    return rows


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """Photographs, and synthetic images of them, of each other, and of photographs that are not there."""
    real = draw(photographs())
    count = draw(st.integers(0, 20))
    ids = [row.image_id for row in real] + ["absent"] + [f"a{number:02d}" for number in range(count)]
    made = [
        Row(
            # Before and after the photographs in the order of ids.
            image_id=f"{draw(st.sampled_from('az'))}{number:02d}",
            path="x",
            diagnosis="mel",
            malignant=True,
            patient=draw(GROUPS),
            lesion=draw(GROUPS),
            split=draw(st.sampled_from((None, Split.TRAIN))),
            source=draw(st.sampled_from(("made", "made too", "free"))),
            parent=draw(st.sampled_from(ids)),
        )
        for number in range(count)
    ]
    return real, made


def children(rows: tuple[Row, ...] | list[Row]) -> list[Row]:
    return [row for row in rows if row.parent is not None]


def require_kept_apart(rows: tuple[Row, ...] | list[Row]) -> None:
    place = {row.image_id: row for row in rows if row.parent is None}
    for row in children(rows):
        assert row.split is Split.TRAIN
        assert row.parent in place
        assert place[row.parent].split is Split.TRAIN
        assert (row.lesion, row.patient) == (place[row.parent].lesion, place[row.parent].patient)


def assigned(mixture: tuple[list[Row], list[Row]], seed: int) -> Assignment:
    real, made = mixture
    return assign_splits([*made, *real], CONFIG, seed)


@given(mixtures(), st.integers(0, 3))
def test_they_are_in_train_with_their_parents_or_left_out(
    mixture: tuple[list[Row], list[Row]], seed: int
) -> None:
    found = assigned(mixture, seed)
    require_kept_apart(found.rows)
    left = {one.image_id for one in found.dropped}
    assert {row.image_id for row in children(found.rows)} | left == {row.image_id for row in mixture[1]}
    assert all(one.reason is Reason.SYNTHESISED_FROM for one in found.dropped)


@given(mixtures(), st.integers(0, 3))
def test_they_have_no_say_in_where_a_photograph_goes(mixture: tuple[list[Row], list[Row]], seed: int) -> None:
    together = [row for row in assigned(mixture, seed).rows if row.parent is None]
    binary = assign_splits(mixture[0], CONFIG, seed).rows
    assert [(row.image_id, row.split) for row in together] == [(row.image_id, row.split) for row in binary]


@given(
    mixtures(), st.integers(0, 3), st.lists(st.tuples(st.integers(0, 49), st.integers(0, 49)), max_size=30)
)
def test_after_the_leaks_are_dropped_none_has_lost_its_parent(
    mixture: tuple[list[Row], list[Row]], seed: int, pairs: list[tuple[int, int]]
) -> None:
    rows = assigned(mixture, seed).rows
    links = [
        Link(first=rows[a].image_id, second=rows[b].image_id, reason=Reason.NEAR_IDENTICAL, distance=0.1)
        for a, b in sorted({(min(p), max(p)) for p in pairs})
        if a != b and b < len(rows)
    ]
    gone = {one.image_id for one in leak_drops(rows, links)}
    kept = [row for row in rows if row.image_id not in gone]
    require_kept_apart(kept)
    measured = {row.image_id for row in kept if row.split is not Split.TRAIN}
    made = {row.image_id for row in children(kept)}
    assert not [
        link for link in links if {link.first, link.second} & measured and {link.first, link.second} & made
    ]


@given(mixtures(), st.integers(0, 3))
def test_the_marks_survive_the_table(
    tmp_path_factory: pytest.TempPathFactory, mixture: tuple[list[Row], list[Row]], seed: int
) -> None:
    path = tmp_path_factory.mktemp("t") / "table.csv"
    rows = assigned(mixture, seed).rows
    write_table(path, rows)
    assert read_table(path) == rows


@given(photographs(), st.integers(0, 3), st.data())
def test_a_generator_that_saw_a_measured_image_is_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], seed: int, data: st.DataObject
) -> None:
    placed = assign_splits(rows, CONFIG, seed).rows
    seen = data.draw(st.sets(st.sampled_from([row.image_id for row in placed] + ["absent"]), min_size=1))
    folder = write_synthesised(tmp_path_factory.mktemp("made"), [], seen=sorted(seen))
    config = SourceConfig(name="made", kind=SourceKind.SYNTHESISED, root=str(folder))
    source = SynthesisedSource(config, malignant=("mel",))
    trained = {row.image_id for row in placed if row.split is Split.TRAIN}
    if seen <= trained:
        require_unseen([source], placed)
        return
    with pytest.raises(DataError, match="its generator was trained on"):
        require_unseen([source], placed)
