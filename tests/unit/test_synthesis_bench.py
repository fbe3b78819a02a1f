"""`bench/synthesis.py` on a handful of generated pictures in ISIC 2017's layout: every part of its record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
COUNTS = {"Training": 36, "Validation": 12, "Test_v2": 15}

pytestmark = [pytest.mark.tf, pytest.mark.slow]


def write_isic2017(root: Path) -> Path:
    """Noise pictures, every third a melanoma."""
    noise, number = np.random.default_rng(5), 0
    for part, count in COUNTS.items():
        folder = root / f"ISIC-2017_{part}_Data"
        folder.mkdir(parents=True)
        truth, people = ["image_id,melanoma,seborrheic_keratosis"], ["image_id,age_approximate,sex"]
        for _ in range(count):
            number += 1
            name = f"ISIC_{number:07d}"
            picture = noise.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            cv2.imwrite(
                str(folder / f"{name}.png"), cv2.resize(picture, (48, 48), interpolation=cv2.INTER_CUBIC)
            )
            truth.append(f"{name},{int(number % 3 == 0)}.0,0.0")
            people.append(f"{name},50,male")
        (root / f"ISIC-2017_{part}_Part3_GroundTruth.csv").write_text("\n".join(truth) + "\n")
        (folder / f"{folder.name}_metadata.csv").write_text("\n".join(people) + "\n")
    return root


def run(data: Path, out: Path, *more: str) -> str:
    sizes = ["--px", "32", "--width", "0.0625", "--epochs", "2", "--images-per-epoch", "8"]
    students = ["--seeds", "0", "--student-epochs", "1", "--student-images", "32"]
    command = [sys.executable, "bench/synthesis.py", str(data), str(out), *sizes, *students, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_record_is_whole_and_a_paused_training_goes_on(tmp_path: Path) -> None:
    data, out = write_isic2017(tmp_path / "isic2017"), tmp_path / "out"
    run(data, out, "--minutes", "0.0001")
    assert not (out / "result.json").exists()
    told = run(data, out)
    record = json.loads((out / "result.json").read_text())
    assert record["schema"] == "edgekd.synthesis_bench/1"
    assert (record["data"]["benign"], record["data"]["malignant"]) == (24, 12)
    assert (record["generator"]["images"], record["generator"]["epochs"]) == (12, 2)
    effect = record["effect"]
    for name, n in (("benign_turned_malignant", 8), ("direction", 8), ("malignant_turned_benign", 4)):
        found = effect[name]
        assert found["n"] == n
        assert found["mean_rise"]["value"] == pytest.approx(found["mean_after"] - found["mean_before"])
    forth, back = effect["benign_turned_malignant"], effect["benign_turned_benign"]
    assert effect["direction"]["mean_rise"]["value"] == pytest.approx(
        forth["mean_after"] - back["mean_after"]
    )
    assert [one["arm"] for one in record["students"]] == ["photographs", "oversampled", "synthetic"]
    assert {one["n"] for one in record["students"]} == {15}
    assert [one["reference"] for one in record["differences"]] == ["photographs", "oversampled"]
    auc = {one["arm"]: one["auc"]["value"] for one in record["students"]}
    seed = record["differences"][0]["seeds"][0]
    assert seed["auc"]["value"] == pytest.approx(auc["synthetic"] - auc["photographs"])
    assert cv2.imread(str(out / "grid.png")).shape == (8 * 130 + 2, 3 * 130 + 2, 3)
    assert "direction" in told
