"""An explained picture on the report page of a run, for who asked for it."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from command import edgekd
from edgekd.card import ModelCard
from edgekd.config import ReportConfig
from edgekd.plain import read_json, write_json
from edgekd.report.station import report
from fake_run import build_run
from tiny_tflite import average_pool

PX = 48


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return build_run(tmp_path_factory.mktemp("run"), n=200)


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(average_pool(px=PX))
    card = ModelCard(
        name="pool", precision="int8", input_px=PX, labels=("mel", "nv", "bkl"), malignant=("mel",)
    )
    (folder / "card.json").write_text(card.to_json(), encoding="utf-8")
    return folder / "model.tflite"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "my lesion <b>.png"
    cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 255, (PX, PX, 3), np.uint8))
    return path


def page(run, out):
    out.mkdir()
    report(run=run, config=ReportConfig(), out=out)
    return (out / "index.html").read_text(encoding="utf-8")


def test_it_is_on_the_page_when_asked_for_and_only_then(run, model, image, tmp_path):
    assert "Explained pictures" not in page(run, tmp_path / "before")
    done = edgekd("explain", model, image, "--out", tmp_path / "map.png", "--report", run)
    assert done.exit_code == 0, done.stderr
    assert f"edgekd report {run} --force" in done.stderr
    kept = read_json(next((run / "explanations").glob("*.json")))
    assert (kept["image"], kept["model"], kept["method"]) == (image.name, "pool", "occlusion")
    after = page(run, tmp_path / "after")
    assert "Explained pictures" in after and "not where a disease is" in after
    assert "my lesion &lt;b&gt;.png" in after and "<b>.png" not in after
    assert len(list((tmp_path / "after" / "figures").glob("explained-*.svg"))) == 1
    assert page(run, tmp_path / "again") == after


def test_a_damaged_record_is_left_out(run, model, image, tmp_path):
    edgekd("explain", model, image, "--out", tmp_path / "map.png", "--report", run)
    path = next((run / "explanations").glob("*.json"))
    write_json(path, {**read_json(path), "schema": "edgekd.explained/9"})
    assert "Explained pictures" not in page(run, tmp_path / "page")


def test_a_folder_that_is_no_run_is_refused_before_anything_is_made(model, image, tmp_path):
    done = edgekd("explain", model, image, "--out", tmp_path / "map.png", "--report", tmp_path)
    assert done.exit_code == 2 and "not a run folder" in done.stderr
    assert not (tmp_path / "map.png").exists()
