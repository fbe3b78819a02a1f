"""ISIC 2016 and 2017 together: the real tables, small pictures, and what must not be in two splits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data.prepare import prepare
from edgekd.data.table import Row, Split, read_table
from skin_pictures import VERSIONS, encoded, picture

PX = 128
SHARED = 12
"""So many images of the test part of 2016 that also train 2017, by their own ids and other bytes."""
DISGUISED = 8
"""So many more that come in 2017's training under ids that 2016 has not, as nobody knows of."""


def real_lines(table: Path) -> dict[str, str]:
    """The lines of a table by image id."""
    lines = [line for line in table.read_text().splitlines() if line.startswith("ISIC_")]
    return {line.split(",")[0]: line for line in lines}


@dataclass
class Years:
    """Where the two years lie, and which picture each image shows."""

    folders: Mapping[str, Path]
    shown: dict[tuple[str, str], int]
    same_id: Sequence[str]
    disguised: Mapping[str, str]


@pytest.fixture(scope="module")
def years(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Years]:
    tables = shared / "data" / "isic_tables"
    if not tables.is_dir():
        pytest.skip(f"no ISIC tables in {tables}")
    root = tmp_path_factory.mktemp("years")
    truth = {
        part: real_lines(tables / f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv")
        for part in ("Training", "Test")
    }
    later = {
        part: real_lines(shared / "data" / "isic2017" / f"ISIC-2017_{part}_Part3_GroundTruth.csv")
        for part in ("Training", "Validation", "Test_v2")
    }
    both = sorted(truth["Test"].keys() & later["Training"].keys())
    assert len(both) == 305
    only = sorted(later["Training"].keys() - truth["Test"].keys() - truth["Training"].keys())
    same_id, hidden = both[:SHARED], both[SHARED : SHARED + DISGUISED]
    disguised = dict(zip(only[:DISGUISED], hidden, strict=True))
    chosen = {
        ("isic2016", "Training"): some(truth["Training"], 40),
        ("isic2016", "Test"): [*same_id, *hidden, *some(truth["Test"], 20, without=both)],
        ("isic2017", "Training"): [
            *same_id,
            *disguised,
            *some(later["Training"], 40, without=[*both, *only[:8]]),
        ],
        ("isic2017", "Validation"): some(later["Validation"], 20),
        ("isic2017", "Test_v2"): some(later["Test_v2"], 20),
    }
    found = Years({year: root / year for year in ("isic2016", "isic2017")}, {}, same_id, disguised)
    for (year, part), names in chosen.items():
        lines = (truth if year == "isic2016" else later)[part]
        write(found, year, part, {name: lines[name] for name in names})
    yield found


def some(lines: Mapping[str, str], count: int, without: Sequence[str] = ()) -> list[str]:
    """`count` of the ids, about a third of them melanoma."""
    free = [name for name in lines if name not in without]
    ill = [name for name in free if lines[name].split(",")[1] in ("1", "1.0", "malignant")]
    well = [name for name in free if name not in ill]
    return [*ill[: count // 3], *well[: count - count // 3]]


def write(years: Years, year: str, part: str, lines: Mapping[str, str]) -> None:
    """The layout of one part with a picture for each line."""
    prefix = f"ISBI2016_ISIC_Part3_{part}" if year == "isic2016" else f"ISIC-2017_{part}"
    folder = years.folders[year] / f"{prefix}_Data"
    folder.mkdir(parents=True)
    for name in lines:
        of = years.disguised.get(name, name) if year == "isic2017" else name
        number = int(of.removeprefix("ISIC_"))
        years.shown[year, name] = number
        version = 1 + number % (VERSIONS - 1) if year == "isic2017" else 0
        (folder / f"{name}.jpg").write_bytes(encoded(picture(number, PX), version))
    text = "".join(f"{line}\n" for line in lines.values())
    if year == "isic2017":
        text = f"image_id,melanoma,seborrheic_keratosis\n{text}"
        (folder / f"{prefix}_Data_metadata.csv").write_text(
            "image_id,age_approximate,sex\n" + "".join(f"{name},50,male\n" for name in lines)
        )
    name = "GroundTruth" if year == "isic2016" else "Part3_GroundTruth"
    (years.folders[year] / f"{prefix}_{name}.csv").write_text(text)


def prepared(years: Years, order: Sequence[str], out: Path) -> tuple[dict[str, object], tuple[Row, ...]]:
    out.mkdir()
    sources = tuple(
        SourceConfig(name=year, kind=SourceKind(year), root=str(years.folders[year])) for year in order
    )
    config = DataConfig(sources=sources, malignant=("mel",), input_px=32, train_px=32, workers=1)
    prepare(config=config, seed=3, out=out)
    return json.loads((out / "split.json").read_text()), read_table(out / "table.csv")


@pytest.mark.real
@pytest.mark.parametrize("order", [("isic2016", "isic2017"), ("isic2017", "isic2016")])
def test_nothing_of_two_years_is_left_in_two_splits(
    years: Years, order: tuple[str, str], tmp_path: Path
) -> None:
    split, rows = prepared(years, order, tmp_path / "out")
    places: dict[int, set[Split | None]] = {}
    for row in rows:
        places.setdefault(years.shown[row.source, row.image_id], set()).add(row.split)
    assert all(len(splits) == 1 for splits in places.values())
    assert len({row.image_id for row in rows}) == len(rows)
    gone = {(one["source"], one["image_id"]) for one in split["dropped"]}
    assert gone | {(row.source, row.image_id) for row in rows} == years.shown.keys()
    assert split["disjointness"]["statement"].startswith("train, validation and test share nothing")


@pytest.mark.real
def test_who_goes_and_why(years: Years, tmp_path: Path) -> None:
    split, rows = prepared(years, ("isic2016", "isic2017"), tmp_path / "out")
    dropped = {(one["source"], one["image_id"]): one for one in split["dropped"]}
    for name in years.same_id:
        one = dropped["isic2017", name]
        assert (one["reason"], one["split"], one["partner_split"]) == ("duplicate_id", "train", "test")
        assert one["partner"] == f"isic2016: ISBI2016_ISIC_Part3_Test_Data/{name}.jpg"
    for name, of in years.disguised.items():
        one = dropped["isic2017", name]
        assert (one["reason"], one["partner"]) == ("near_identical", of)
        assert (one["split"], one["partner_split"]) == ("train", "test")
    tested = {row.image_id for row in rows if row.split is Split.TEST and row.source == "isic2016"}
    assert {*years.same_id, *years.disguised.values()} <= tested
