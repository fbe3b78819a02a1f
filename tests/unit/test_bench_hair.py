"""The measures of the hair benchmark say what they claim, and the benchmark runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edgekd.imaging.opencv import cv2
from hair_pictures import skin, with_hairs

BENCH = Path(__file__).resolve().parents[2] / "bench" / "throughput"


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCH))
    import hair_quality

    yield hair_quality
    sys.modules.pop("hair_quality")


def test_painted_hairs_are_where_the_truth_says(quality: ModuleType) -> None:
    image = skin(120, 160, 1)
    painted, coverage = quality.paint(image, 5)
    again, _ = quality.paint(image, 5)
    np.testing.assert_array_equal(painted, again)
    assert coverage.shape == (120, 160)
    assert 0 <= coverage.min() < coverage.max() <= 1
    np.testing.assert_array_equal(painted[coverage == 0], image[coverage == 0])
    assert np.abs(painted.astype(int) - image)[coverage > 0.9].mean() > 30
    assert 0.01 < (coverage >= 0.5).mean() < 0.4


def test_a_perfect_method_gets_full_marks_and_an_idle_one_none(quality: ModuleType) -> None:
    image = skin(120, 160, 2)
    painted, coverage = quality.paint(image, 6)
    truth = np.where(coverage >= 0.5, 255, 0).astype(np.uint8)
    almost = image.copy()
    almost[coverage > 0] += 2
    perfect = quality.summary(quality.against_truth(image, coverage, almost, truth))
    assert (perfect["sensitivity"], perfect["precision"]) == (1, 1)
    assert perfect["error"] == pytest.approx(2)
    assert perfect["psnr_db"] == pytest.approx(20 * np.log10(255 / 2))
    assert perfect["elsewhere"] == 0
    idle = quality.summary(quality.against_truth(image, coverage, painted, np.zeros_like(truth)))
    assert idle["sensitivity"] == 0
    assert np.isnan(idle["precision"])
    assert idle["error"] > 20


def test_a_mask_away_from_every_hair_has_no_precision(quality: ModuleType) -> None:
    image = skin(60, 60, 3)
    coverage = np.zeros((60, 60), np.float32)
    coverage[30] = 1
    mask = np.zeros((60, 60), np.uint8)
    mask[10:20] = 255
    mask[32] = 255
    sums = quality.against_truth(image, coverage, image, mask)
    assert (sums["mask"], sums["true"]) == (11 * 60, 60)


def test_ridges_are_dark_lines_and_neither_dots_nor_soft_edges(quality: ModuleType) -> None:
    even = np.full((100, 100, 3), 180, np.uint8)
    line, dots = even.copy(), even.copy()
    cv2.line(line, (10, 15), (90, 40), (60, 50, 40), 2, cv2.LINE_AA)
    found = quality.ridges(line)
    assert found[:50].sum() > 80
    assert not found[60:].any()
    for x in (20, 50, 80):
        cv2.circle(dots, (x, 50), 3, (60, 50, 40), cv2.FILLED, cv2.LINE_AA)
        assert not quality.ridges(dots)[50, x]
    assert not quality.ridges(skin(100, 100, 3, grain=0.0)).any()


def test_change_counts_pixels_and_levels(quality: ModuleType) -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    other = image.copy()
    other[0, 0] = 30
    assert quality.change(image, other) == (0.01, 0.3)


def test_the_benchmark_runs(tmp_path: Path) -> None:
    for kind, count in (("hairy", 12), ("control", 0)):
        (tmp_path / kind).mkdir()
        for number in range(3):
            image, _ = with_hairs(skin(180, 240, number), number, count)
            cv2.imwrite(str(tmp_path / kind / f"{number}.jpg"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    picture = tmp_path / "grid.png"
    command = [sys.executable, str(BENCH / "hair.py"), "--data", str(tmp_path), "--rounds", "1"]
    done = subprocess.run(
        [*command, "--picture", str(picture), "--json"], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    assert found["schema"] == "edgekd.throughput/1"
    assert [speed["pictures"] for speed in found["speed"]] == ["hairy", "control"]
    for speed in found["speed"]:
        assert speed["one_process"]["naive"]["ratio_to_naive"] == 1
        assert set(speed["two_processes"]) == {"naive", "adepu2023", "oriented"}
    assert found["quality"]["oriented"]["ridges_left"] < 0.5
    assert cv2.imread(str(picture)).shape[1] > 5 * 256
