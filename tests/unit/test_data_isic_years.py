"""The readers of ISIC 2016, 2018, 2019 and 2020, on rows of the official tables."""

from __future__ import annotations

import logging
import pickle
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data.detect import detect_kind
from edgekd.data.leaks import Reason
from edgekd.data.source import DataSource, open_source
from edgekd.data.split import Assignment, assign_splits
from edgekd.data.table import Row, Split
from edgekd.errors import DataError

MALIGNANT = ("mel", "bcc", "scc", "akiec")

HEAD_2018 = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"
GROUPS_2018 = """image,lesion_id,diagnosis_confirm_type
ISIC_0025030,HAM_0000118,histopathology
ISIC_0027419,HAM_0000118,histopathology
ISIC_0027344,HAM_0003069,histopathology
ISIC_0027347,HAM_0005234,serial imaging showing no change
"""
TRUTH_2018 = f"""{HEAD_2018}
ISIC_0027419,0.0,0.0,0.0,0.0,1.0,0.0,0.0
ISIC_0025030,0.0,0.0,0.0,0.0,1.0,0.0,0.0
ISIC_0027344,0.0,0.0,0.0,0.0,1.0,0.0,0.0
ISIC_0027347,0.0,1.0,0.0,0.0,0.0,0.0,0.0
"""
HEAD_2019 = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
TRUTH_2019 = f"""{HEAD_2019}
ISIC_0000000,0,1,0,0,0,0,0,0,0
ISIC_0000040_downsampled,1,0,0,0,0,0,0,0,0
ISIC_0024329,0,0,0,0,0,0,0,1,0
ISIC_0024468,0,0,0,1,0,0,0,0,0
ISIC_0025030,0,0,0,0,1,0,0,0,0
ISIC_0027419,0,0,0,0,1,0,0,0,0
"""
PEOPLE_2019 = """image,age_approx,anatom_site_general,lesion_id,sex
ISIC_0000000,55,anterior torso,,female
ISIC_0000040_downsampled,65,lower extremity,,female
ISIC_0024329,75,lower extremity,HAM_0002954,female
ISIC_0024468,75,head/neck,HAM_0006301,male
ISIC_0025030,80,head/neck,HAM_0000118,male
ISIC_0027419,80,head/neck,HAM_0000118,male
"""
HEAD_2020 = (
    "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target"
)
TRUTH_2020 = f"""{HEAD_2020}
ISIC_0079038,IP_5295861,male,70.0,torso,unknown,benign,0
ISIC_8521950,IP_5295861,male,70.0,torso,unknown,benign,0
ISIC_1358441,IP_5831170,male,70.0,head/neck,solar lentigo,benign,0
ISIC_8361472,IP_5831170,male,70.0,torso,solar lentigo,benign,0
ISIC_3097899,IP_0491775,male,55.0,torso,cafe-au-lait macule,benign,0
ISIC_4225838,IP_9124285,male,55.0,head/neck,atypical melanocytic proliferation,benign,0
ISIC_0149568,IP_0962375,female,55.0,upper extremity,melanoma,malignant,1
ISIC_0052212,IP_2842074,female,50.0,lower extremity,nevus,benign,0
ISIC_0333589,IP_0877882,female,55.0,torso,lentigo NOS,benign,0
"""
COPIES_2020 = "image_name_1,image_name_2\nISIC_0079038,ISIC_8521950\nISIC_0087297,ISIC_4755972\n"

TABLES = {
    SourceKind.ISIC2016: {
        "ISBI2016_ISIC_Part3_Training_GroundTruth.csv": (
            "ISIC_0000000,benign\nISIC_0000001,benign\nISIC_0000002,malignant\n"
        ),
        "ISBI2016_ISIC_Part3_Test_GroundTruth.csv": "ISIC_0000003,0\nISIC_0000012,0\nISIC_0000040,1\n",
    },
    SourceKind.ISIC2018: {
        "ISIC2018_Task3_Training_GroundTruth.csv": TRUTH_2018,
        "ISIC2018_Task3_Training_LesionGroupings.csv": GROUPS_2018,
    },
    SourceKind.ISIC2019: {
        "ISIC_2019_Training_GroundTruth.csv": TRUTH_2019,
        "ISIC_2019_Training_Metadata.csv": PEOPLE_2019,
    },
    SourceKind.ISIC2020: {
        "ISIC_2020_Training_GroundTruth.csv": TRUTH_2020,
        "ISIC_2020_Training_Duplicates.csv": COPIES_2020,
    },
}
FOLDERS = {
    SourceKind.ISIC2016: ("ISBI2016_ISIC_Part3_Training_Data", "ISBI2016_ISIC_Part3_Test_Data"),
    SourceKind.ISIC2018: ("ISIC2018_Task3_Training_Input",),
    SourceKind.ISIC2019: ("ISIC_2019_Training_Input",),
    SourceKind.ISIC2020: ("train",),
}
YEARS = tuple(TABLES)
MAIN = {kind: next(iter(tables)) for kind, tables in TABLES.items()}


def ids(table: str) -> list[str]:
    """The image ids of a table, with or without a header."""
    names = (line.partition(",")[0] for line in table.splitlines())
    return [name for name in names if name.startswith("ISIC_")]


def draw(folder: Path, names: Iterable[str]) -> None:
    """A small JPEG of its own for each name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = np.random.default_rng(int(name.split("_")[1])).integers(0, 255, (12, 16, 3), np.uint8)
        assert cv2.imwrite(str(folder / f"{name}.jpg"), pixels)


def lay_out(root: Path, kind: SourceKind) -> Path:
    """The official layout of `kind` in a folder of its name."""
    folder = root / kind
    folder.mkdir()
    for name, text in TABLES[kind].items():
        (folder / name).write_text(text)
    for images, table in zip(FOLDERS[kind], TABLES[kind].values(), strict=False):
        draw(folder / images, ids(table))
    return folder


def source(kind: SourceKind, root: Path) -> DataSource:
    return open_source(SourceConfig(name="s", kind=kind, root=str(root)), malignant=MALIGNANT, seed=1)


def read(kind: SourceKind, root: Path) -> dict[str, Row]:
    rows = source(kind, root).rows()
    assert len({row.image_id for row in rows}) == len(rows)
    return {row.image_id: row for row in rows}


def refused(kind: SourceKind, root: Path) -> str:
    """The message, which must be one line."""
    with pytest.raises(DataError) as caught:
        source(kind, root).rows()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    logging.getLogger("edgekd").propagate = True
    caplog.set_level(logging.WARNING, "edgekd")
    return caplog


@pytest.fixture(params=YEARS)
def year(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[SourceKind, Path]:
    kind = SourceKind(request.param)
    return kind, lay_out(tmp_path, kind)


def test_every_year_is_recognised_and_its_images_open(year: tuple[SourceKind, Path]) -> None:
    kind, root = year
    assert detect_kind(root) is kind
    reader = source(kind, root)
    assert {reader.image(row).shape for row in reader.rows()} == {(12, 16, 3)}
    assert pickle.loads(pickle.dumps(reader)).rows() == reader.rows()


def test_every_table_is_needed_and_watched(year: tuple[SourceKind, Path]) -> None:
    kind, root = year
    for name in TABLES[kind]:
        before = source(kind, root).fingerprint()
        with (root / name).open("a") as table:
            table.write("\n")
        assert source(kind, root).fingerprint() != before
        (root / name).rename(root / "away")
        assert f"source s: expected {name.removesuffix('.csv')}" in refused(kind, root)
        (root / "away").rename(root / name)


def test_an_image_without_its_row_is_told(
    year: tuple[SourceKind, Path], warnings: pytest.LogCaptureFixture
) -> None:
    kind, root = year
    draw(root / FOLDERS[kind][0], ["ISIC_9999999"])
    assert "ISIC_9999999" not in read(kind, root)
    assert f"1 images without a row in {MAIN[kind]}: ISIC_9999999" in warnings.text


def test_a_row_without_its_image_is_refused(year: tuple[SourceKind, Path]) -> None:
    kind, root = year
    wanted = ids(TABLES[kind][MAIN[kind]])
    (root / FOLDERS[kind][0] / f"{wanted[-1]}.jpg").unlink()
    found = refused(kind, root)
    assert f"{MAIN[kind]}: 1 of " in found
    assert f": {wanted[-1]}" in found
    shutil.rmtree(root / FOLDERS[kind][0])
    assert f"expected {FOLDERS[kind][0]} in" in refused(kind, root)


def test_a_row_told_twice_is_refused(year: tuple[SourceKind, Path]) -> None:
    kind, root = year
    table = root / MAIN[kind]
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    assert f"{ids(table.read_text())[-1]!r} was already used" in refused(kind, root)


def test_a_table_of_another_year_is_refused(year: tuple[SourceKind, Path]) -> None:
    kind, root = year
    for other in YEARS:
        if other is not kind:
            (root / MAIN[kind]).write_text(TABLES[other][MAIN[other]])
            assert f"{MAIN[kind]}, line 1: " in refused(kind, root)


def test_isic2016_is_read(tmp_path: Path) -> None:
    rows = source(SourceKind.ISIC2016, lay_out(tmp_path, SourceKind.ISIC2016)).rows()
    assert [row.diagnosis for row in rows] == ["benign", "benign", "mel"] * 2
    assert [row.malignant for row in rows] == [False, False, True] * 2
    assert [row.split for row in rows] == [Split.TRAIN] * 3 + [Split.TEST] * 3
    assert rows[0].path == "ISBI2016_ISIC_Part3_Training_Data/ISIC_0000000.jpg"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0,benign", "0,benin", "line 1: the label is 'benin', expected benign, malignant, 0 or 1"),
        ("2,malignant", "2,2", "line 3: the label is '2', expected benign, malignant, 0 or 1"),
        ("1,benign", "1,benign,0", "line 2: 3 cells"),
        ("ISIC_0000000,benign", "image_id,label", "line 1: the label is 'label'"),
    ],
)
def test_isic2016_that_cannot_be_meant(tmp_path: Path, old: str, new: str, message: str) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2016)
    edit(root / MAIN[SourceKind.ISIC2016], old, new)
    assert message in refused(SourceKind.ISIC2016, root)


def test_isic2018_training_alone_is_not_divided(tmp_path: Path) -> None:
    rows = read(SourceKind.ISIC2018, lay_out(tmp_path, SourceKind.ISIC2018))
    assert {name: row.diagnosis for name, row in rows.items()} == {
        "ISIC_0025030": "bkl",
        "ISIC_0027344": "bkl",
        "ISIC_0027347": "nv",
        "ISIC_0027419": "bkl",
    }
    assert rows["ISIC_0025030"].lesion == rows["ISIC_0027419"].lesion == "HAM_0000118"
    assert {row.split for row in rows.values()} == {None}


def test_isic2018_as_its_archives_unpack(tmp_path: Path) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2018)
    (root / "ISIC2018_Task3_Training_GroundTruth").mkdir()
    (root / MAIN[SourceKind.ISIC2018]).rename(
        root / "ISIC2018_Task3_Training_GroundTruth" / MAIN[SourceKind.ISIC2018]
    )
    assert detect_kind(root) is SourceKind.ISIC2018
    assert len(read(SourceKind.ISIC2018, root)) == 4


def test_isic2018_with_its_other_parts(tmp_path: Path) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2018)
    for part, name in (("Validation", "ISIC_0034321"), ("Test", "ISIC_0034524")):
        draw(root / f"ISIC2018_Task3_{part}_Input", [name])
        truth = root / f"ISIC2018_Task3_{part}_GroundTruth.csv"
        truth.write_text(f"{HEAD_2018}\n{name},1,0,0,0,0,0,0\n")
    rows = read(SourceKind.ISIC2018, root)
    assert Counter(row.split for row in rows.values()) == dict(zip(Split, (4, 1, 1), strict=True))
    assert (rows["ISIC_0034524"].diagnosis, rows["ISIC_0034524"].lesion) == ("mel", None)
    shutil.rmtree(root / "ISIC2018_Task3_Test_Input")
    assert "expected ISIC2018_Task3_Test_Input in" in refused(SourceKind.ISIC2018, root)


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("2018_GroundTruth", "0.0,1.0", "0.0,2.0", "line 2: MEL, NV, BCC, AKIEC, BKL, DF, VASC are"),
        ("2018_GroundTruth", "0.0,1.0", "1.0,1.0", "0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0; expected one 1"),
        ("2018_GroundTruth", "1.0", "0.0", "expected one 1 and 0 elsewhere"),
        ("2018_LesionGroupings", "ISIC_0025030", "ISIC_0025031", "1 of 4 images are not in"),
        ("2018_LesionGroupings", "lesion_id", "lesion", "line 1: no column lesion_id"),
        ("2018_LesionGroupings", "0027419", "0025030", "line 3: image 'ISIC_0025030' was already used"),
        ("2019_GroundTruth", "0,1,0", "1,1,0", "line 2: MEL, NV, BCC, AK, BKL, DF, VASC, SCC, UNK are"),
        ("2019_GroundTruth", "0,1,0", "0,,0", "0, , 0, 0, 0, 0, 0, 0, 0; expected one 1"),
        ("2019_GroundTruth", "0000000", "0000040", "line 3: image 'ISIC_0000040' was already used"),
        ("2019_Metadata", "ISIC_0024329", "ISIC_24329", "1 of 6 images are not in"),
        ("2019_Metadata", "lesion_id", "lesion", "line 1: no column lesion_id"),
        ("2019_Metadata", ",75,", ",400,", "line 4: age is '400', expected years from 0 to 120"),
        ("2019_Metadata", "female", "femal", "line 2: sex is 'femal'"),
        ("2020_GroundTruth", "benign,0", "benign,1", "line 2: benign_malignant, target are 'benign', '1'"),
        ("2020_GroundTruth", "nevus,benign,0", "nevus,malignant,1", "line 9: diagnosis 'nevus' is benign"),
        ("2020_GroundTruth", "melanoma,malignant,1", "melanoma,benign,0", "'melanoma' is malignant by"),
        ("2020_GroundTruth", "melanoma,", "melanom,", "unknown diagnosis 'melanom': did you mean"),
        ("2020_GroundTruth", "IP_5295861", "", "line 2: patient_id is ''; expected an id"),
        ("2020_GroundTruth", "70.0", "-5", "line 2: age is '-5', expected years from 0 to 120"),
        ("2020_Duplicates", "image_name_2", "image_name", "line 1: no column image_name_2"),
    ],
)
def test_tables_that_cannot_be_meant(tmp_path: Path, table: str, old: str, new: str, message: str) -> None:
    year, _, name = table.partition("_")
    kind = SourceKind(f"isic{year}")
    (path,) = lay_out(tmp_path, kind).glob(f"*Training_{name}.csv")
    edit(path, old, new)
    assert message in refused(kind, path.parent)


def test_isic2019_is_read(tmp_path: Path) -> None:
    rows = read(SourceKind.ISIC2019, lay_out(tmp_path, SourceKind.ISIC2019))
    assert [row.diagnosis for row in rows.values()] == ["nv", "mel", "scc", "akiec", "bkl", "bkl"]
    shrunk = rows["ISIC_0000040"]
    assert shrunk.path == "ISIC_2019_Training_Input/ISIC_0000040_downsampled.jpg"
    assert (shrunk.age, shrunk.sex, shrunk.site, shrunk.lesion) == (65.0, "female", "lower extremity", None)
    assert rows["ISIC_0025030"].lesion == rows["ISIC_0027419"].lesion == "HAM_0000118"
    assert {row.split for row in rows.values()} == {None}


def test_isic2019_leaves_out_what_nobody_knows(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2019)
    names = ["ISIC_0034321", "ISIC_0034322", "ISIC_0034323"]
    draw(root / "ISIC_2019_Test_Input", names)
    marks = ("1,0,0,0,0,0,0,0,0", "0,0,0,0,0,0,0,0,1", "0,0,0,0,0,0,0,0,1")
    truth = "".join(f"{name},{mark},1.0\n" for name, mark in zip(names, marks, strict=True))
    (root / "ISIC_2019_Test_GroundTruth.csv").write_text(f"{HEAD_2019},score_weight\n{truth}")
    people = "".join(f"{name},,,\n" for name in names)
    (root / "ISIC_2019_Test_Metadata.csv").write_text(f"image,age_approx,anatom_site_general,sex\n{people}")
    rows = read(SourceKind.ISIC2019, root)
    assert Counter(row.split for row in rows.values()) == {Split.TRAIN: 6, Split.TEST: 1}
    only = rows["ISIC_0034321"]
    assert (only.diagnosis, only.lesion, only.age, only.sex, only.site) == ("mel", None, None, None, None)
    assert "2 images of unknown diagnosis (UNK) left out: ISIC_0034322, ISIC_0034323" in warnings.text
    assert "without a row" not in warnings.text
    (root / "ISIC_2019_Test_Metadata.csv").unlink()
    assert "expected ISIC_2019_Test_Metadata.csv in" in refused(SourceKind.ISIC2019, root)


def test_isic2020_is_read(tmp_path: Path) -> None:
    rows = read(SourceKind.ISIC2020, lay_out(tmp_path, SourceKind.ISIC2020))
    assert {name: row.diagnosis for name, row in rows.items()} == {
        "ISIC_0052212": "nv",
        "ISIC_0079038": "benign",
        "ISIC_0149568": "mel",
        "ISIC_0333589": "bkl",
        "ISIC_1358441": "bkl",
        "ISIC_3097899": "benign",
        "ISIC_4225838": "benign",
        "ISIC_8361472": "bkl",
    }
    assert [name for name, row in rows.items() if row.malignant] == ["ISIC_0149568"]
    assert rows["ISIC_1358441"].patient == rows["ISIC_8361472"].patient == "IP_5831170"
    first = rows["ISIC_0079038"]
    assert (first.path, first.age, first.sex, first.site) == ("train/ISIC_0079038.jpg", 70.0, "male", "torso")
    assert (first.lesion, first.split) == (None, None)


def test_isic2020_copies_are_left_out_and_told(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2020)
    assert "ISIC_8521950" not in read(SourceKind.ISIC2020, root)
    assert "Duplicates.csv: 1 images left out, copies of others: ISIC_8521950" in warnings.text
    assert "without a row" not in warnings.text
    (root / "train" / "ISIC_8521950.jpg").unlink()
    assert len(read(SourceKind.ISIC2020, root)) == 8


def test_isic2020_keeps_one_of_every_pair_whatever_its_order(tmp_path: Path) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2020)
    pairs = ("ISIC_8521950,ISIC_0079038", "ISIC_0079038,ISIC_8521950", "ISIC_0052212,ISIC_0052212")
    (root / "ISIC_2020_Training_Duplicates.csv").write_text("\n".join(("image_name_1,image_name_2", *pairs)))
    rows = read(SourceKind.ISIC2020, root)
    assert {"ISIC_0079038", "ISIC_0052212"} <= rows.keys()
    assert "ISIC_8521950" not in rows


def test_isic2020_second_table_has_lesions(tmp_path: Path) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2020)
    head, *lines = TRUTH_2020.splitlines()
    rows = [f"{line},IL_{number}" for number, line in enumerate(lines)]
    text = "\n".join((f"{head},lesion_id", *rows))
    (root / "ISIC_2020_Training_GroundTruth_v2.csv").write_text(text)
    assert read(SourceKind.ISIC2020, root)["ISIC_0079038"].lesion == "IL_0"
    (root / MAIN[SourceKind.ISIC2020]).unlink()
    assert detect_kind(root) is SourceKind.ISIC2020
    assert read(SourceKind.ISIC2020, root)["ISIC_0079038"].patient == "IP_5295861"


@pytest.mark.parametrize(
    "folder", ["ISIC_2020_Training_JPEG/train", "ISIC_2020_Training_JPEG", "ISIC_2020_Training_Input"]
)
def test_isic2020_images_may_lie_where_people_unpack_them(tmp_path: Path, folder: str) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2020)
    (root / folder).parent.mkdir(exist_ok=True)
    (root / "train").rename(root / folder)
    assert read(SourceKind.ISIC2020, root)["ISIC_0079038"].path == f"{folder}/ISIC_0079038.jpg"


def divided(*sources: tuple[SourceKind, Path]) -> Assignment:
    configs = tuple(SourceConfig(name=kind, kind=kind, root=str(root)) for kind, root in sources)
    readers = [open_source(config, malignant=("mel",), seed=1) for config in configs]
    rows = [row for reader in readers for row in reader.rows()]
    return assign_splits(rows, DataConfig(sources=configs, malignant=("mel",)), 1)


def test_the_same_image_of_two_years_is_used_once(tmp_path: Path) -> None:
    kinds = (SourceKind.ISIC2016, SourceKind.ISIC2019, SourceKind.ISIC2018)
    found = divided(*((kind, lay_out(tmp_path, kind)) for kind in kinds))
    assert {(one.image_id, one.source, one.partner_split) for one in found.dropped} == {
        ("ISIC_0000000", "isic2019", Split.TRAIN),
        ("ISIC_0000040", "isic2019", Split.TEST),
        ("ISIC_0025030", "isic2018", None),
        ("ISIC_0027419", "isic2018", None),
    }
    assert {one.reason for one in found.dropped} == {Reason.DUPLICATE_ID}


# --- the real tables, with an empty file for every image


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
def test_real_isic2020(real: Path, warnings: pytest.LogCaptureFixture) -> None:
    rows = read(SourceKind.ISIC2020, real / "isic2020").values()
    assert len(rows) == 33126 - 425
    assert sum(row.malignant for row in rows) == 581
    assert "425 images left out, copies of others" in warnings.text
    assert len({row.patient for row in rows}) == 2056
    split = divided((SourceKind.ISIC2020, real / "isic2020"))
    assert shared_groups(split.rows, "patient") == 0
    assert counts(split.rows) == {"benign": 32120, "malignant": 581}


@pytest.mark.real
def test_real_overlaps_between_the_years_are_found_by_id(real: Path, shared: Path) -> None:
    first = (SourceKind.ISIC2016, real / "isic2016")
    later = divided(first, (SourceKind.ISIC2017, shared / "data" / "isic2017"))
    pairs = Counter((one.split, one.partner_split) for one in later.dropped)
    assert pairs[Split.TRAIN, Split.TEST] == 305
    assert sum(pairs.values()) == 1054
    assert len(divided(first, (SourceKind.ISIC2019, real / "isic2019")).dropped) == 1212
