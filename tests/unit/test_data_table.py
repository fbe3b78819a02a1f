"""The table and what its text looks like."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.data.table import COLUMNS, Row, Split, image_key, read_table, write_table
from edgekd.errors import DataError

GOLDEN = Path(__file__).parents[1] / "golden" / "data" / "table.csv"

ROWS = (
    Row(image_id="a", path="x/a.jpg", diagnosis="nv", malignant=False, source="one"),
    Row(
        image_id='b "b", é',
        path="b.png",
        diagnosis="mel",
        malignant=True,
        patient="p1",
        lesion="l1",
        split=Split.VALIDATION,
        age=50.0,
        sex="female",
        site="head/neck",
        source="two",
    ),
    Row(
        image_id="c", path="c.png", diagnosis="bkl", malignant=False, split=Split.TEST, age=0.5, source="two"
    ),
    Row(
        image_id="a+mel",
        path="images/0.png",
        diagnosis="mel",
        malignant=True,
        split=Split.TRAIN,
        source="made",
        parent="a",
    ),
)


def test_the_text_is_the_golden_one(tmp_path: Path, regenerate_golden: bool) -> None:
    write_table(tmp_path / "table.csv", ROWS)
    if regenerate_golden:
        GOLDEN.parent.mkdir(parents=True, exist_ok=True)
        GOLDEN.write_bytes((tmp_path / "table.csv").read_bytes())
    assert (tmp_path / "table.csv").read_bytes() == GOLDEN.read_bytes()
    assert read_table(GOLDEN) == ROWS


@given(age=st.one_of(st.none(), st.floats(0, 120)))
def test_ages_are_read_back_exactly(tmp_path_factory: pytest.TempPathFactory, age: float | None) -> None:
    path = tmp_path_factory.mktemp("t") / "table.csv"
    write_table(path, [Row(image_id="a", path="a", diagnosis="nv", malignant=False, age=age, source="s")])
    assert read_table(path)[0].age == age


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,a.jpg,nv,2,,,,,,,s,", r"line 2: malignant is '2', expected 0 or 1"),
        ("a,a.jpg,nv,0,,,middle,,,,s,", r"line 2: split is 'middle'"),
        ("a,,nv,0,,,,,,,s,", r"line 2: path is empty"),
        ("a,a.jpg,nv,0,,,,121,,,s,", r"line 2: age is '121'"),
        ("a,a.jpg,nv,0,,,,nan,,,s,", None),
        ("a,a.jpg,nv", r"line 2: 3 cells, the header has 12"),
        ("a,a,nv,0,,,,,,,s,\na,b,nv,0,,,,,,,s,", r"line 3: image_id 'a' was already used \(.*line 2\)"),
        ("a,a.jpg,mel,1,,,test,,,,s,b", r"line 2: an image with a parent is in test, expected train"),
        ("a,a.jpg,mel,1,,,validation,,,,s,b", r"line 2: an image with a parent is in validation"),
        ("", "header and no rows"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str | None) -> None:
    path = tmp_path / "table.csv"
    path.write_text(",".join(COLUMNS) + "\n" + line + "\n")
    if message is None:
        assert read_table(path)[0].age is None
        return
    with pytest.raises(DataError, match=message):
        read_table(path)


IDS = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="\ufeff"), min_size=1)


@given(parents=st.lists(st.one_of(st.none(), IDS), min_size=1, max_size=8))
def test_the_mark_of_a_synthetic_image_is_never_lost(
    tmp_path_factory: pytest.TempPathFactory, parents: list[str | None]
) -> None:
    path = tmp_path_factory.mktemp("t") / "table.csv"
    rows = [
        Row(image_id=str(number), path="a", diagnosis="mel", malignant=True, source="s", parent=parent)
        for number, parent in enumerate(parents)
    ]
    write_table(path, rows)
    once = read_table(path)
    write_table(path, once)
    assert [row.parent for row in read_table(path)] == parents


def test_a_table_from_before_there_were_synthetic_images_holds_photographs(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(",".join(name for name in COLUMNS if name != "parent") + "\na,a.jpg,nv,0,,,,,,,s\n")
    assert [row.parent for row in read_table(path)] == [None]


@pytest.mark.parametrize("split", [Split.VALIDATION, Split.TEST])
def test_a_synthetic_image_cannot_be_measured_on(split: Split) -> None:
    with pytest.raises(DataError, match=r"image b was made from a and is in .*: synthetic images"):
        Row(image_id="b", path="b", diagnosis="mel", malignant=True, source="s", split=split, parent="a")


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the table"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(DataError, match="the table is empty"):
        read_table(tmp_path / "empty.csv")
    (tmp_path / "latin.csv").write_bytes(",".join(COLUMNS).encode() + b"\nna\xefve")
    with pytest.raises(DataError, match=r"line 2: byte 0xef is not UTF-8"):
        read_table(tmp_path / "latin.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column image_id"):
        read_table(tmp_path / "other.csv")


def test_the_key_of_an_image_never_changes() -> None:
    # The first eight bytes of the sha256 of the id, without the lowest bit.
    assert image_key("ISIC_0000000") == 465187924777968647
    assert 0 <= image_key("x") < 2**63
    assert image_key("x") != image_key("y")
