"""The reader of ISIC 2020, as the archive and as Kaggle give it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edgekd.config import SourceKind
from edgekd.data.detect import detect_kind
from edgekd.data.leaks import Reason
from isic_layouts import MAIN, TRUTH_2020, divided, lay_out, read, refused, source


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


def test_isic2020_copies_are_left_out_on_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2020)
    with caplog.at_level(logging.WARNING, "edgekd"):
        assert "ISIC_8521950" not in read(SourceKind.ISIC2020, root)
    assert "without a row" not in caplog.text
    (only,) = source(SourceKind.ISIC2020, root).left_out()
    assert (only.image_id, only.reason) == ("ISIC_8521950", Reason.LISTED_DUPLICATE)
    assert (only.partner, only.source) == ("ISIC_0079038", "s")
    split = divided((SourceKind.ISIC2020, root))
    (kept,) = (row for row in split.rows if row.image_id == "ISIC_0079038")
    assert [(one.image_id, one.partner_split) for one in split.dropped] == [("ISIC_8521950", kept.split)]
    (root / "train" / "ISIC_8521950.jpg").unlink()
    assert len(read(SourceKind.ISIC2020, root)) == 8


def test_isic2020_of_a_chain_of_copies_one_stays(tmp_path: Path) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2020)
    pairs = ("ISIC_0149568,ISIC_8361472", "ISIC_8361472,ISIC_3097899", "ISIC_0052212,ISIC_3097899")
    (root / "ISIC_2020_Training_Duplicates.csv").write_text("\n".join(("image_name_1,image_name_2", *pairs)))
    left_out = source(SourceKind.ISIC2020, root).left_out()
    assert [one.image_id for one in left_out] == ["ISIC_0149568", "ISIC_3097899", "ISIC_8361472"]
    assert {one.partner for one in left_out} == {"ISIC_0052212"}


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


@pytest.mark.parametrize("folder", ["jpeg/train", "train"])
@pytest.mark.parametrize("listed", [True, False])
def test_isic2020_from_kaggle(
    tmp_path: Path, folder: str, listed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2020)
    before = read(SourceKind.ISIC2020, root)
    (root / MAIN[SourceKind.ISIC2020]).rename(root / "train.csv")
    (root / folder).parent.mkdir(exist_ok=True)
    (root / "train").rename(root / folder)
    if not listed:
        (root / "ISIC_2020_Training_Duplicates.csv").unlink()
    assert detect_kind(root) is SourceKind.ISIC2020
    with caplog.at_level(logging.WARNING, "edgekd"):
        rows = read(SourceKind.ISIC2020, root)
    assert ("the 425 copies it lists stay" in caplog.text) is not listed
    assert rows.keys() - before.keys() == (set() if listed else {"ISIC_8521950"})
    assert rows["ISIC_0079038"].path == f"{folder}/ISIC_0079038.jpg"
    assert rows["ISIC_0079038"].patient == "IP_5295861"
    (root / folder / "ISIC_0079038.jpg").unlink()
    assert "train.csv: 1 of " in refused(SourceKind.ISIC2020, root)


def test_another_train_csv_is_not_of_isic2020(tmp_path: Path) -> None:
    (tmp_path / "benign").mkdir()
    (tmp_path / "train.csv").write_text("image,label\n")
    assert detect_kind(tmp_path) is SourceKind.FOLDERS
