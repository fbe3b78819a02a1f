"""A bundle is what its manifest says, to the byte, and answers as its golden set says."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

import bundle_data
from bundle_data import copy, edit_json, relist
from edgekd.bundle.check import check, open_bundle, problems
from edgekd.bundle.manifest import read_manifest
from edgekd.errors import ContractError, MissingError
from edgekd.imaging.opencv import cv2
from edgekd.imaging.resample import prepare
from edgekd.metrics.predictions import malignancy_score
from edgekd.runtimes.litert import LitertRuntime

FILES = ("LICENSE", "README.md", "card.json", "golden/00.png", "golden/12.rgb", "golden/golden.json")
FILES += ("model.tflite", "manifest.json")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return copy(tmp_path)


def golden(bundle: Path) -> dict:
    return json.loads((bundle / "golden" / "golden.json").read_text())


def test_a_bundle_that_was_just_made_holds() -> None:
    found = check(bundle_data.made())
    assert found.passed, found.problems
    assert (found.platform, found.name, found.precision) == ("android", "tiny", "int8")
    assert (found.verdict, found.signature) == ("none", "absent")
    assert found.golden is not None
    assert found.golden.pictures == 18
    assert found.golden.exact
    assert found.golden.largest_logit_difference == 0


def test_the_golden_set_says_what_python_computes() -> None:
    bundle = open_bundle(bundle_data.made())
    told = golden(bundle.folder)
    runtime = LitertRuntime(bundle.model)
    assert told["engine"] == {
        name: getattr(runtime.engine, name)
        for name in ("name", "version", "kernels", "threads", "isa", "accelerator")
    }
    for item in told["items"]:
        picture = cv2.imread(str(bundle.folder / item["image"]), cv2.IMREAD_COLOR)[..., ::-1]
        assert picture.shape == (item["height"], item["width"], 3)
        made = prepare(np.ascontiguousarray(picture), told["input_px"])
        assert (bundle.folder / item["input"]).read_bytes() == made.tobytes()
        logits = runtime.logits(made[np.newaxis])
        assert item["logits"] == logits[0].tolist()
        score = malignancy_score(logits, bundle.card.labels, bundle.card.malignant)[0]
        assert item["score"] == score
        point = bundle.card.operating_point
        assert point is not None
        assert item["malignant"] == (score >= point.threshold)


def test_the_golden_set_has_eight_lesions_and_every_odd_shape() -> None:
    items = golden(bundle_data.made())["items"]
    sizes = [(item["width"], item["height"]) for item in items]
    assert len(items) - 10 >= 8
    assert {(1, 1), (257, 1), (1, 193)} <= set(sizes)
    assert any(min(size) < 8 and max(size) > 1 for size in sizes)
    assert sum(width != height for width, height in sizes) > 8
    assert len({item["malignant"] for item in items}) == 2


@pytest.mark.parametrize("name", FILES)
def test_an_altered_file_is_named(bundle: Path, name: str) -> None:
    path = bundle / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    named = "altered|manifest" if name == "manifest.json" else f"{name} was altered"
    with pytest.raises(ContractError, match=named):
        open_bundle(bundle)
    found = check(bundle)
    assert not found.passed
    assert found.golden is None  # nothing of an altered bundle is run


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert any(name in line and "missing" in line for line in problems(bundle))


@pytest.mark.parametrize("name", FILES)
def test_a_shortened_and_a_longer_file_are_named(bundle: Path, name: str) -> None:
    data = (bundle / name).read_bytes()
    for other in (data[:-1], data + b"\n", b""):
        (bundle / name).write_bytes(other)
        assert problems(bundle), (name, len(other))


@pytest.mark.parametrize("name", ["extra.txt", "golden/99.png", "a/b/c", ".hidden", "Model.tflite"])
def test_an_extra_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_bytes(b"x")
    assert problems(bundle) == [f"{name} is not in the manifest"]


def test_every_problem_gets_a_line(bundle: Path) -> None:
    (bundle / "LICENSE").unlink()
    (bundle / "README.md").write_text("other")
    (bundle / "more").write_text("x")
    assert len(problems(bundle)) == 3


def test_links_pipes_sockets_and_empty_folders_are_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle / "golden" / "00.rgb").unlink()
    (bundle / "golden" / "00.rgb").symlink_to(bundle_data.made() / "golden" / "00.rgb")
    (bundle / "inside").symlink_to(bundle_data.made())
    os.mkfifo(bundle / "pipe")
    (bundle / "empty").mkdir()
    with socket.socket(socket.AF_UNIX) as made:
        monkeypatch.chdir(bundle)  # the path of a socket must be short
        made.bind("socket")
    told = "\n".join(problems(bundle))
    assert "golden/00.rgb is a link" in told
    assert "inside is a link" in told
    assert "pipe is a pipe" in told
    assert "empty is an empty folder" in told
    assert "socket is a device or socket" in told


def test_a_file_that_became_a_pipe_is_not_waited_for(bundle: Path) -> None:
    for name in ("card.json", "manifest.json"):
        (bundle / name).unlink()
        os.mkfifo(bundle / name)
        assert problems(bundle)


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    assert problems(tmp_path) == ["manifest.json is missing: this is no bundle"]
    with pytest.raises(MissingError, match="no such folder"):
        check(tmp_path / "nowhere")


def test_a_card_of_another_model_is_noticed_though_the_manifest_lists_it(bundle: Path) -> None:
    edit_json(bundle / "card.json", temperature=2.0)
    relist(bundle)
    assert problems(bundle) == ["model.tflite: the card inside is not card.json"]
    edit_json(bundle / "card.json", name="other")
    relist(bundle)
    assert any("name is other, the manifest says tiny" in line for line in problems(bundle))


def test_another_model_is_noticed_by_its_answers(bundle: Path, tmp_path: Path) -> None:
    other = bundle_data.write_model(tmp_path / "other", scale=1 / 8)
    shutil.copyfile(other, bundle / "model.tflite")
    relist(bundle)
    told = problems(bundle)
    assert len(told) > 10
    assert all("a logit differs by" in line and "they must be equal" in line for line in told)


def test_other_pixels_are_noticed(bundle: Path) -> None:
    cv2.imwrite(str(bundle / "golden" / "00.png"), np.zeros((330, 360, 3), np.uint8))
    told = golden(bundle)
    item = told["items"][0]
    (bundle / "golden" / "00.png").unlink()
    cv2.imwrite(str(bundle / "golden" / "00.png"), np.zeros((item["height"], item["width"], 3), np.uint8))
    relist(bundle)
    assert len(problems(bundle)) == 1
    assert "bytes differ from those made of golden/00.png" in problems(bundle)[0]


def test_other_scores_and_calls_are_noticed(bundle: Path) -> None:
    told = golden(bundle)
    told["items"][0]["score"] += 0.01
    told["items"][1]["malignant"] = not told["items"][1]["malignant"]
    (bundle / "golden" / "golden.json").write_text(json.dumps(told))
    relist(bundle)
    first, second = problems(bundle)
    assert "golden/00.png: score" in first
    assert "golden/01.png: score" in second


def test_another_engine_may_round_otherwise_but_not_much(bundle: Path) -> None:
    told = golden(bundle)
    told["engine"]["isa"] = "aarch64 asimd"
    step = 1 / 16
    for item, by in zip(told["items"], (1, 2, -2, 0), strict=False):
        item["logits"] = [value + by * step for value in item["logits"]]  # the score stays
    (bundle / "golden" / "golden.json").write_text(json.dumps(told))
    relist(bundle)
    found = check(bundle)
    assert found.passed, found.problems
    assert found.golden is not None
    assert not found.golden.exact
    assert found.golden.largest_logit_difference == 2 * step
    told["items"][4]["logits"] = [value + 3 * step for value in told["items"][4]["logits"]]
    (bundle / "golden" / "golden.json").write_text(json.dumps(told))
    relist(bundle)
    assert ["golden/04.png: a logit differs by 0.1875" in line for line in problems(bundle)] == [True]


def test_the_manifest_counts_every_file() -> None:
    manifest = read_manifest(bundle_data.made())
    there = {path.relative_to(bundle_data.made()).as_posix() for path in bundle_data.made().rglob("*.*")}
    assert {*manifest.files, "manifest.json"} == {*there, "LICENSE"}
    assert list(manifest.files) == sorted(manifest.files)
