"""`bench/quality.py` on a tiny verified run: every part of its record, and the pictures it draws."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import tiny_dataset
from edgekd.card import OperatingPoint
from edgekd.config import Precision
from edgekd.plain import write_text
from tiny_dataset import PX, prepare
from tiny_line import card
from tiny_tflite import average_pool

ROOT = Path(__file__).resolve().parents[2]


def write_run(root: Path) -> Path:
    """What the benchmark reads of a run: prepared pictures, a file that answers their mean colour, a card."""
    prepare(root / "data")
    model = root / "export" / "int8" / "model.tflite"
    model.parent.mkdir(parents=True)
    model.write_bytes(average_pool(px=PX))
    point = OperatingPoint(rule="given", threshold=-0.6, fitted_on="validation")
    verified = root / "verify" / "int8" / "card.json"
    verified.parent.mkdir(parents=True)
    facts = card(Precision.INT8)
    write_text(verified, type(facts)(**{**vars(facts), "operating_point": point}).to_json())
    return root


def test_the_record_has_every_part_and_its_counts_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_dataset, "COUNT", 102)  # limits want a hundred pictures
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "board.png"), np.indices((80, 100)).sum(0).astype(np.uint8) % 2 * 255)
    out = tmp_path / "out.json"
    command = [sys.executable, ROOT / "bench" / "quality.py", write_run(tmp_path / "run")]
    done = subprocess.run(
        [*map(str, command), "--photos", str(photos), "--json", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["schema"] == "edgekd.bench.quality/1"
    kept = found["kept"]
    assert kept["all"]["n"] == 102 == kept["judged"]["n"] + kept["refused_only"]["n"]
    assert kept["refused"] == kept["refused_only"]["n"]
    assert kept["malignant"] == 34 and kept["refused_malignant"] <= 34
    assert {one["n"] for one in found["spoiled"].values()} == {102}
    drawn = {name: one for name, one in found["no_skin"].items() if not name.startswith("photograph")}
    assert len(drawn) == 8 and {one["n"] for one in drawn.values()} == {40}
    assert found["no_skin"]["photograph board.png"]["n"] == 7
    assert found["alternatives"]["n"] == {"split": 102, "blurred": 102, "drawn": 320, "photographs": 7}
    assert "what the network would have answered" in done.stdout
