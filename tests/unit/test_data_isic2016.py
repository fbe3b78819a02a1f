"""The reader of ISIC 2016."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.config import SourceKind
from edgekd.data.table import Split
from isic_layouts import MAIN, edit, lay_out, refused, source


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
