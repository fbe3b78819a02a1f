"""The reader of ISIC 2018."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from edgekd.config import SourceKind
from edgekd.data.detect import detect_kind
from edgekd.data.table import Split
from isic_layouts import HEAD_2018, MAIN, draw, lay_out, read, refused


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
