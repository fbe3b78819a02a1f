"""What the readers of ISIC 2016 to 2020 do alike, and what the years share."""

from __future__ import annotations

import logging
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd.config import SourceKind
from edgekd.data.detect import detect_kind
from edgekd.data.leaks import Reason
from edgekd.data.table import Split
from isic_layouts import (
    FOLDERS,
    MAIN,
    TABLES,
    YEARS,
    divided,
    draw,
    edit,
    ids,
    lay_out,
    read,
    refused,
    source,
)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
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
    assert f"source s: expected {FOLDERS[kind][0]}" in refused(kind, root)


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
            found = refused(kind, root)
            assert f"{MAIN[kind]}, line 1: " in found
            assert f"; this looks like the ground truth of ISIC {other.value.removeprefix('isic')}" in found


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ("ISIC_2019_Training_Metadata.csv", "the metadata of ISIC 2019"),
        ("ISIC2018_Task3_Training_LesionGroupings.csv", "the lesion groupings of ISIC 2018"),
        ("ISIC_2020_Training_Duplicates.csv", "the list of duplicates of ISIC 2020"),
        ("ISIC-2017_Training_Data/ISIC-2017_Training_Data_metadata.csv", "the metadata of ISIC 2017"),
    ],
)
def test_a_table_of_another_purpose_is_named(tmp_path: Path, wrong: str, name: str) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2019)
    (text,) = (tables[wrong] for tables in TABLES.values() if wrong in tables)
    (root / MAIN[SourceKind.ISIC2019]).write_text(text)
    assert refused(SourceKind.ISIC2019, root).endswith(f"; this looks like {name}")


@pytest.mark.parametrize("spell", [str.lower, "{}.jpg".format, "{}.JPEG".format, "{}_downsampled".format])
def test_an_id_may_be_spelled_in_several_ways(
    year: tuple[SourceKind, Path], spell: Callable[[str], str]
) -> None:
    kind, root = year
    before = read(kind, root)
    name = ids(TABLES[kind][MAIN[kind]])[0]
    edit(root / MAIN[kind], f"{name},", f"{spell(name)},")
    assert read(kind, root) == before
    table = root / MAIN[kind]
    table.write_text(table.read_text() + table.read_text().splitlines()[-1].replace("ISIC_0", "isic_"))
    found = refused(kind, root)
    assert "' was already used (" in found
    assert "line" in found.split("already used")[1]


def test_zeros_may_be_missing_from_an_id_and_from_a_file_name(year: tuple[SourceKind, Path]) -> None:
    kind, root = year
    before = read(kind, root)
    short = next(name for name in ids(TABLES[kind][MAIN[kind]]) if name in before and name[5] == "0")
    edit(root / MAIN[kind], f"{short},", f"ISIC_{int(short[5:])},")
    assert read(kind, root) == before
    image = root / before[short].path
    image.rename(image.with_stem(f"ISIC_{int(short[5:])}_downsampled"))
    after = read(kind, root)
    assert after.keys() == before.keys()
    assert after[short].path.endswith(f"ISIC_{int(short[5:])}_downsampled.jpg")
    draw(image.parent, [short])
    assert "have the same name; keep one" in refused(kind, root)


def test_most_years_leave_nothing_out(year: tuple[SourceKind, Path]) -> None:
    kind, root = year
    expected = ["ISIC_8521950"] if kind is SourceKind.ISIC2020 else []
    assert [one.image_id for one in source(kind, root).left_out()] == expected


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
        (
            *("2019_GroundTruth", "0000000", "0000040"),
            "line 3: image 'ISIC_0000040_downsampled' was already used",
        ),
        ("2019_GroundTruth", "0000000", "0000040", "GroundTruth.csv, line 2, as 'ISIC_0000040')"),
        ("2019_Metadata", "ISIC_0024329", "ISIC_1024329", "1 of 6 images are not in"),
        ("2019_Metadata", "lesion_id", "lesion", "line 1: no column lesion_id"),
        ("2019_Metadata", ",75,", ",400,", "line 4: age is '400', expected years from 0 to 120"),
        ("2019_Metadata", "female", "femal", "line 2: sex is 'femal'"),
        ("2020_GroundTruth", "benign,0", "benign,1", "line 2: benign_malignant, target are 'benign', '1'"),
        ("2020_GroundTruth", "nevus,benign,0", "nevus,malignant,1", "line 9: diagnosis 'nevus' is benign"),
        ("2020_GroundTruth", "melanoma,malignant,1", "melanoma,benign,0", "'melanoma' is malignant by"),
        ("2020_GroundTruth", "melanoma,", "melanom,", "unknown diagnosis 'melanom': did you mean"),
        ("2020_GroundTruth", "IP_5295861", "", "line 2: patient_id is ''; expected an id"),
        ("2020_GroundTruth", "70.0", "-5", "line 2: age is '-5', expected years from 0 to 120"),
        ("2020_GroundTruth", "70.0", "400", "line 2: age is '400', expected years from 0 to 120"),
        ("2018_LesionGroupings", "HAM_0000118", "unknown", "line 2: lesion_id is 'unknown'; expected an id"),
        ("2020_Duplicates", "image_name_2", "image_name", "line 1: no column image_name_2"),
    ],
)
def test_tables_that_cannot_be_meant(tmp_path: Path, table: str, old: str, new: str, message: str) -> None:
    year, _, name = table.partition("_")
    kind = SourceKind(f"isic{year}")
    (path,) = lay_out(tmp_path, kind).glob(f"*Training_{name}.csv")
    edit(path, old, new)
    assert message in refused(kind, path.parent)


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


def test_a_table_of_another_year_is_one_line_and_exit_code_4(tmp_path: Path) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2018)
    other = next(iter(TABLES[SourceKind.ISIC2019].values()))
    (root / MAIN[SourceKind.ISIC2018]).write_text(other)
    command = [sys.executable, "-c", "from edgekd.cli.app import main; main()", "data", "inspect", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert line.startswith("edgekd: ")
    assert line.endswith("; this looks like the ground truth of ISIC 2019")
