"""The reader of ISIC 2019."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pytest

from edgekd.config import SourceKind
from edgekd.data.leaks import Reason
from edgekd.data.table import Split
from isic_layouts import HEAD_2019, draw, edit, lay_out, read, refused, source


def test_isic2019_is_read(tmp_path: Path) -> None:
    rows = read(SourceKind.ISIC2019, lay_out(tmp_path, SourceKind.ISIC2019))
    assert [row.diagnosis for row in rows.values()] == ["nv", "mel", "scc", "akiec", "bkl", "bkl"]
    shrunk = rows["ISIC_0000040"]
    assert shrunk.path == "ISIC_2019_Training_Input/ISIC_0000040_downsampled.jpg"
    assert (shrunk.age, shrunk.sex, shrunk.site, shrunk.lesion) == (65.0, "female", "lower extremity", None)
    assert rows["ISIC_0025030"].lesion == rows["ISIC_0027419"].lesion == "HAM_0000118"
    assert {row.split for row in rows.values()} == {None}


def test_isic2019_leaves_out_what_nobody_knows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2019)
    names = ["ISIC_0034321", "ISIC_0034322", "ISIC_0034323"]
    draw(root / "ISIC_2019_Test_Input", names)
    marks = ("1,0,0,0,0,0,0,0,0", "0,0,0,0,0,0,0,0,1", "0,0,0,0,0,0,0,0,1")
    truth = "".join(f"{name},{mark},1.0\n" for name, mark in zip(names, marks, strict=True))
    (root / "ISIC_2019_Test_GroundTruth.csv").write_text(f"{HEAD_2019},score_weight\n{truth}")
    people = "".join(f"{name},,,\n" for name in names)
    (root / "ISIC_2019_Test_Metadata.csv").write_text(f"image,age_approx,anatom_site_general,sex\n{people}")
    with caplog.at_level(logging.WARNING, "edgekd"):
        rows = read(SourceKind.ISIC2019, root)
    assert "without a row" not in caplog.text
    assert Counter(row.split for row in rows.values()) == {Split.TRAIN: 6, Split.TEST: 1}
    only = rows["ISIC_0034321"]
    assert (only.diagnosis, only.lesion, only.age, only.sex, only.site) == ("mel", None, None, None, None)
    first, second = source(SourceKind.ISIC2019, root).left_out()
    assert (first.image_id, second.image_id) == ("ISIC_0034322", "ISIC_0034323")
    assert (first.reason, first.partner, first.split) == (Reason.UNKNOWN_DIAGNOSIS, "", Split.TEST)
    (root / "ISIC_2019_Test_Input" / "ISIC_0034322.jpg").unlink()
    assert read(SourceKind.ISIC2019, root) == rows
    (root / "ISIC_2019_Test_Metadata.csv").unlink()
    assert "expected ISIC_2019_Test_Metadata.csv in" in refused(SourceKind.ISIC2019, root)


def test_isic2019_age_zero_is_an_age_and_nothing_is_unknown(tmp_path: Path) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2019)
    table = root / "ISIC_2019_Training_Metadata.csv"
    edit(table, "ISIC_0000000,55", "ISIC_0000000,0")
    edit(table, "ISIC_0024329,75", "ISIC_0024329,")
    rows = read(SourceKind.ISIC2019, root)
    assert rows["ISIC_0000000"].age == 0.0
    assert rows["ISIC_0024329"].age is None
