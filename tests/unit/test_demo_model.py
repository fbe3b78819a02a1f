"""The model that comes with edgekd: its records are about this very file, and it answers without a RUN."""

from __future__ import annotations

import json
import shutil
import tomllib
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from command import edgekd
from edgekd import assess, demo_model
from edgekd.bundle.check import open_bundle
from edgekd.bundle.manifest import Verdict
from edgekd.bundle.pictures import drawn
from edgekd.bundle.source import contents_of_model
from edgekd.card import read_card
from edgekd.cli.bundle import bundle_of_demo
from edgekd.config import ThresholdRule
from edgekd.errors import ContractError
from edgekd.metrics.evaluation import read_evaluation
from edgekd.metrics.operating_point import fit_threshold
from edgekd.metrics.predictions import malignancy_score, read_predictions
from edgekd.metrics.ranking import roc_auc_score
from edgekd.plain import file_digest, read_json
from edgekd.runtimes.environments import CACHE_VARIABLE
from edgekd.runtimes.evaluate import EVALUATION, VALIDATION_PREDICTIONS
from edgekd.runtimes.litert import LitertRuntime
from edgekd_converters.verdict import VERDICT

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "bench" / "results" / "demo"


@pytest.fixture(scope="module")
def card():
    return read_card(demo_model.FOLDER / "card.json")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "lesion.png"
    cv2.imwrite(str(path), np.ascontiguousarray(drawn(1)[0].pixels[..., ::-1]))
    return path


def test_the_records_are_about_this_file(card):
    verdict = read_json(demo_model.FOLDER / VERDICT)
    assert verdict["artefact_sha256"] == file_digest(demo_model.MODEL)
    assert verdict["margin"] == card.margin
    with closing(LitertRuntime(demo_model.MODEL)) as runtime:
        assert (runtime.input_px, runtime.n_logits, runtime.n_features) == (
            card.input_px,
            len(card.labels),
            0,
        )


def test_its_figures_come_from_its_predictions(card):
    record = read_evaluation(demo_model.FOLDER / EVALUATION)
    test = read_predictions(KEPT / "int8.predictions.csv", card.malignant)
    assert record.auc.value == pytest.approx(roc_auc_score(test.labels, test.score), rel=1e-12)
    assert (record.n, record.n_positive) == (len(test.labels), int(test.labels.sum())) == (600, 117)
    validation = read_predictions(demo_model.FOLDER / VALIDATION_PREDICTIONS, card.malignant)
    fitted = fit_threshold(validation.labels, validation.score, ThresholdRule.SENSITIVITY_AT_LEAST, 0.9)
    assert card.operating_point.threshold == pytest.approx(fitted.threshold, rel=1e-9)
    assert not {*test.image_ids} & {*validation.image_ids}


def test_it_may_be_passed_on(card):
    """Of ISIC 2017 alone, which is CC-0; under a megabyte; and it says what it is not."""
    assert "images of isic2017;" in " ".join(card.limits)
    assert "ham10000" not in card.to_json()
    assert demo_model.MODEL.stat().st_size <= 1_000_000
    assert "not a medical device" in card.intended_use
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert demo_model.MODEL.is_relative_to(ROOT / packages["targets"]["wheel"]["packages"][0])


def test_predict_asks_it(card, photo):
    done = edgekd("predict", "--demo", photo, "--judge-anyway", "--json")
    assert done.exit_code == 0, done.stderr
    (answer,) = json.loads(done.stdout)["answers"]
    with closing(LitertRuntime(demo_model.MODEL)) as runtime:
        picture = cv2.imread(str(photo))[..., ::-1]
        logits = runtime.logits(assess.pixels(card, np.ascontiguousarray(picture))[np.newaxis])
    assert answer["score"] == pytest.approx(malignancy_score(logits, card.labels, card.malignant)[0])


def test_without_it_a_model_is_asked_for(photo):
    done = edgekd("predict", photo)
    assert done.exit_code == 2
    assert "MODEL IMAGE" in done.stderr and "--demo" in done.stderr


def test_the_page_shows_it(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    bundle = open_bundle(bundle_of_demo())
    assert bundle.folder.is_relative_to(tmp_path)
    assert bundle.card.name == "demo-int8"
    assert bundle.manifest.verdict is Verdict.PASSED
    assert demo_model.LICENCE.read_text(encoding="utf-8") in (bundle.folder / "LICENSE").read_text(
        encoding="utf-8"
    )
    assert bundle.card.provenance["artefact_sha256"] == file_digest(demo_model.MODEL)


def test_the_gate_opens_for_it_and_for_no_other_file(tmp_path):
    assert contents_of_model(demo_model.MODEL, None, unverified=False).verdict is Verdict.PASSED
    copy = Path(shutil.copytree(demo_model.FOLDER, tmp_path / "copy")) / demo_model.MODEL.name
    copy.write_bytes(copy.read_bytes() + b"\0")
    with pytest.raises(ContractError, match="not the one that was verified"):
        contents_of_model(copy, None, unverified=False)
    assert contents_of_model(copy, None, unverified=True).verdict is Verdict.NONE
