"""A photo that cannot be judged is not: by the command, from Python, and in the card that verify writes."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from command import edgekd
from edgekd import assess
from edgekd.card import ModelCard, OperatingPoint, read_card
from edgekd.config import Precision
from edgekd.data.dataset import open_dataset
from edgekd.imaging import quality_fit
from edgekd.photo_quality import COLOURS, PhotoLimit, PhotoQuality
from edgekd_converters.verify import verify
from pooled_line import CONFIG, exported, trained
from tiny_dataset import prepare
from tiny_tflite import average_pool

PX = 64
LIMITS = PhotoQuality(
    limits=(
        PhotoLimit(measure="brightness", low=60.0, rule="given"),
        PhotoLimit(measure="contrast", low=5.0, rule="given"),
    ),
    colours="f" * (COLOURS // 4),
    fitted_on="validation",
    images=60,
    refused=0,
)


@pytest.fixture
def model(tmp_path):
    """A file that answers the mean colour, and a card with limits beside it."""
    path = tmp_path / "model" / "model.tflite"
    path.parent.mkdir()
    path.write_bytes(average_pool(px=PX))
    write_card(path, LIMITS)
    return path


def write_card(model, quality):
    card = ModelCard(
        name="pool",
        precision="int8",
        input_px=PX,
        labels=("mel", "nv", "bkl"),
        malignant=("mel",),
        operating_point=OperatingPoint(rule="given", threshold=0.0, fitted_on="validation"),
        quality=quality,
    )
    (model.parent / "card.json").write_text(card.to_json(), encoding="utf-8")


@pytest.fixture
def photos(tmp_path):
    """A good one, a dark one, and one without anything on it."""
    good = np.full((PX, PX, 3), (200, 150, 130), np.uint8)
    good[24:40, 24:40] = (90, 50, 40)
    bare = np.full((PX, PX, 3), good[0, 0], np.uint8)
    paths = []
    for name, image in (("good", good), ("dark", good // 8), ("bare", bare)):
        paths.append(tmp_path / f"{name}.png")
        cv2.imwrite(str(paths[-1]), image[..., ::-1])
    return paths


def test_the_command_says_why_it_cannot_judge(model, photos):
    done = edgekd("predict", model, *photos)
    assert done.exit_code == 0
    good, dark, bare = done.stdout.splitlines()[2:]
    assert "cannot judge" not in good and ("malignant" in good or "benign" in good)
    assert "cannot judge this photo: too dark (brightness 20, at least 60 expected)" in dark
    assert "cannot judge this photo: no lesion to be seen (contrast 0, at least 5 expected)" in bare
    assert "malignant" not in bare and "benign" not in bare


def test_json_has_every_measure_and_no_score_for_a_refused_photo(model, photos):
    answers = json.loads(edgekd("predict", model, *photos, "--json").stdout)["answers"]
    good, dark, _ = answers
    assert set(good) == set(dark)
    assert isinstance(good["score"], float) and good["photo"]["flags"] == []
    assert [dark[name] for name in ("score", "probability", "malignant", "logits")] == [None] * 4
    assert [flag["measure"] for flag in dark["photo"]["flags"]] == ["brightness"]
    assert dark["photo"]["values"]["brightness"] == 20.0
    assert len(dark["photo"]["values"]) == 8


def test_who_asks_gets_an_answer_all_the_same(model, photos):
    done = edgekd("predict", model, photos[1], "--judge-anyway")
    assert "but the photo is unfit: too dark" in done.stdout
    answer = json.loads(edgekd("predict", model, photos[1], "--judge-anyway", "--json").stdout)["answers"][0]
    write_card(model, None)
    before = json.loads(edgekd("predict", model, photos[1], "--json").stdout)["answers"][0]
    assert {name: answer[name] for name in ("score", "logits")} == {
        name: before[name] for name in ("score", "logits")
    }


def test_without_limits_nothing_is_refused(model, photos):
    write_card(model, None)
    runtime, card = assess.open_runtime(model), assess.find_card(model)
    found = list(assess.predict(runtime, card, photos))
    assert [type(one) for one in found] == [assess.Answer] * 3
    assert [one.photo for one in found] == [None] * 3


def test_verify_writes_the_limits_of_the_validation_pictures_into_the_card(tmp_path, monkeypatch):
    monkeypatch.setattr(quality_fit, "FEWEST", 60)
    prepared = prepare(tmp_path / "data")
    files = exported(tmp_path / "export", Precision.DYNAMIC).parent
    student = trained(tmp_path / "distill", prepared, 0.0)
    out = tmp_path / "verify"
    verify(dataset_folder=prepared, student=student, qat=None, exported=files, config=CONFIG, out=out)
    written = read_card(out / "dynamic" / "card.json").quality
    assert written is not None
    assert written == quality_fit.fit_quality(open_dataset(prepared).validation.images, "validation")
    assert (written.fitted_on, written.images) == ("validation", 60)
