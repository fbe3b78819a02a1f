from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekd.card import read_card
from edgekd.config import Precision
from edgekd.errors import DataError, ModelError
from edgekd.metrics.evaluation import read_evaluation
from edgekd.metrics.predictions import read_predictions
from edgekd.plain import file_digest, from_plain, write_text
from edgekd_converters.metadata import read_card as read_embedded_card
from edgekd_converters.verdict import VerdictRecord
from edgekd_converters.verdict_parity import ParityRecord
from edgekd_converters.verify import verify
from pooled_line import CONFIG, exported, trained
from tiny_dataset import prepare


@pytest.fixture
def prepared(tmp_path) -> Path:
    return prepare(tmp_path / "data")


def test_the_station_writes_every_record(tmp_path, prepared):
    files = exported(tmp_path / "export", Precision.DYNAMIC).parent
    before = file_digest(files / "dynamic" / "model.tflite")
    student = trained(tmp_path / "distill", prepared, 0.0)
    out = tmp_path / "verify"
    found = verify(dataset_folder=prepared, student=student, qat=None, exported=files, config=CONFIG, out=out)
    assert found["failed"] == 0 and found["passed"] + found["undecided"] == 1
    folder = out / "dynamic"
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.json",
        "evaluation.json",
        "parity.json",
        "predictions.csv",
        "validation_predictions.csv",
        "verdict.json",
    ]
    parity = from_plain(ParityRecord, json.loads((folder / "parity.json").read_text()))
    assert parity.passed and parity.twin == "distill" and parity.n_images == 20
    verdict = from_plain(VerdictRecord, json.loads((folder / "verdict.json").read_text()))
    assert (verdict.reference, verdict.candidate, verdict.n, verdict.n_positive) == (
        "distill",
        "dynamic",
        60,
        20,
    )
    threshold = read_card(folder / "card.json").operating_point.threshold
    called = [
        read_predictions(table, ("mel",)).score[::3] >= limit
        for table, limit in ((folder / "predictions.csv", threshold), (student / "predictions.csv", -2.5))
    ]
    assert threshold != -2.5
    assert verdict.sensitivity_difference.value == pytest.approx(called[0].mean() - called[1].mean())
    assert file_digest(files / "dynamic" / "model.tflite") == before


def test_the_card_learns_the_operating_point_of_its_own_file(tmp_path, prepared):
    files = exported(tmp_path / "export", Precision.DYNAMIC).parent
    student = trained(tmp_path / "distill", prepared, 0.0)
    out = tmp_path / "verify"
    verify(dataset_folder=prepared, student=student, qat=None, exported=files, config=CONFIG, out=out)
    card = read_card(out / "dynamic" / "card.json")
    evaluation = read_evaluation(out / "dynamic" / "evaluation.json")
    point = evaluation.operating_point
    assert (card.operating_point.rule, card.operating_point.threshold) == (point.rule, point.threshold)
    assert card.margin == CONFIG.margin and card.temperature == evaluation.temperature != 1.0
    validation = read_predictions(out / "dynamic" / "validation_predictions.csv", ("mel",))
    called = validation.score >= card.operating_point.threshold
    assert called[validation.labels].mean() >= CONFIG.target
    assert read_embedded_card(files / "dynamic" / "model.tflite").operating_point is None
    assert evaluation.artefact == "dynamic" and evaluation.runtime == "litert"
    assert evaluation.engine["kernels"] == "xnnpack"


def test_a_file_that_is_another_network_fails_but_keeps_its_records(tmp_path, prepared):
    files = exported(tmp_path / "export", Precision.INT8).parent
    student = trained(tmp_path / "distill", prepared, 0.0)
    qat = trained(tmp_path / "qat", prepared, 3.0)
    out = tmp_path / "verify"
    found = verify(dataset_folder=prepared, student=student, qat=qat, exported=files, config=CONFIG, out=out)
    assert found["failed"] == 1.0
    parity = json.loads((out / "int8" / "parity.json").read_text())
    assert not parity["passed"] and parity["twin"] == "qat"
    assert json.loads((out / "int8" / "verdict.json").read_text())["passed"] is False


def test_what_is_missing_is_named(tmp_path, prepared):
    student = trained(tmp_path / "distill", prepared, 0.0)
    options = {"dataset_folder": prepared, "config": CONFIG, "out": tmp_path / "verify"}
    with pytest.raises(ModelError, match="run edgekd export first"):
        verify(student=student, qat=None, exported=tmp_path / "nothing", **options)
    files = exported(tmp_path / "export", Precision.INT8).parent
    with pytest.raises(ModelError, match="folder of the station qat was not given"):
        verify(student=student, qat=None, exported=files, **options)
    write_text(student / "predictions.csv", "image_id\n")
    with pytest.raises(DataError, match=r"predictions\.csv"):
        verify(student=student, qat=None, exported=files, **options)
