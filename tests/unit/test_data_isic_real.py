"""The official tables of ISIC 2016, 2019 and 2020, with an empty file for every image."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from edgekd.config import SourceKind
from edgekd.data.leaks import Reason
from edgekd.data.table import Row, Split
from isic_layouts import FOLDERS, TABLES, divided, ids, read


@pytest.fixture(scope="module")
def real(shared: Path) -> Iterator[Path]:
    """A folder per year with the official tables and empty images."""
    tables = shared / "data" / "isic_tables"
    if not tables.is_dir():
        pytest.skip(f"no ISIC tables in {tables}")
    with tempfile.TemporaryDirectory() as folder:
        for kind in (SourceKind.ISIC2016, SourceKind.ISIC2019, SourceKind.ISIC2020):
            (Path(folder) / kind).mkdir()
            for name in TABLES[kind]:
                shutil.copy(tables / name, Path(folder) / kind)
            fill(Path(folder) / kind, kind)
        yield Path(folder)


def fill(root: Path, kind: SourceKind) -> None:
    for images, name in zip(FOLDERS[kind], TABLES[kind], strict=False):
        (root / images).mkdir()
        for image_id in ids((root / name).read_text()):
            (root / images / f"{image_id}.jpg").touch()


def counts(rows: Iterable[Row]) -> dict[str, int]:
    return dict(Counter(row.diagnosis for row in rows))


def shared_groups(rows: Sequence[Row], name: str) -> int:
    """How many patients (or lesions) lie in more than one split."""
    places: dict[str | None, set[Split | None]] = {}
    for row in rows:
        places.setdefault(getattr(row, name), set()).add(row.split)
    return sum(len(splits) > 1 for group, splits in places.items() if group is not None)


@pytest.mark.real
def test_real_isic2016(real: Path) -> None:
    rows = read(SourceKind.ISIC2016, real / "isic2016").values()
    assert counts(row for row in rows if row.split is Split.TRAIN) == {"benign": 727, "mel": 173}
    assert counts(row for row in rows if row.split is Split.TEST) == {"benign": 304, "mel": 75}


@pytest.mark.real
def test_real_isic2019(real: Path) -> None:
    rows = read(SourceKind.ISIC2019, real / "isic2019").values()
    assert counts(rows) == {
        **{"mel": 4522, "nv": 12875, "bcc": 3323, "akiec": 867},
        **{"bkl": 2624, "df": 239, "vasc": 253, "scc": 628},
    }
    assert sum("_downsampled" in row.path for row in rows) == 2074
    assert len({row.lesion for row in rows if row.lesion is not None}) == 11847
    assert sum(row.lesion is None for row in rows) == 2084
    split = divided((SourceKind.ISIC2019, real / "isic2019"))
    assert shared_groups(split.rows, "lesion") == 0
    assert {row.split for row in split.rows} == set(Split)


@pytest.mark.real
def test_real_isic2020(real: Path) -> None:
    rows = read(SourceKind.ISIC2020, real / "isic2020").values()
    assert len(rows) == 33126 - 425
    assert sum(row.malignant for row in rows) == 581
    assert len({row.patient for row in rows}) == 2056
    split = divided((SourceKind.ISIC2020, real / "isic2020"))
    assert shared_groups(split.rows, "patient") == 0
    assert Counter(one.reason for one in split.dropped) == {Reason.LISTED_DUPLICATE: 425}
    place = {row.image_id: row.split for row in split.rows}
    assert all(one.partner_split is place[one.partner] for one in split.dropped)
    assert counts(split.rows) == {"benign": 32120, "malignant": 581}


@pytest.mark.real
def test_real_overlaps_between_the_years_are_found_by_id(real: Path, shared: Path) -> None:
    first = (SourceKind.ISIC2016, real / "isic2016")
    later = divided(first, (SourceKind.ISIC2017, shared / "data" / "isic2017"))
    pairs = Counter((one.split, one.partner_split) for one in later.dropped)
    assert pairs[Split.TRAIN, Split.TEST] == 305
    assert sum(pairs.values()) == 1054
    assert len(divided(first, (SourceKind.ISIC2019, real / "isic2019")).dropped) == 1212
