"""The whole line with patient data, from the table to a two-input file; everything runs the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekd import assess, pipeline
from edgekd.data.dataset import open_dataset
from edgekd.data.source import open_source
from edgekd.data.table import Row, read_table
from edgekd.imaging.opencv import cv2
from edgekd.metrics.evaluation import read_evaluation
from edgekd.metrics.predictions import read_predictions
from edgekd.runs import Run

pytestmark = [pytest.mark.tf, pytest.mark.slow]

SETTINGS = ["data.patient=age,sex,site", "data.patient_context=true", "data.sources.synthetic.count=200"]
SETTINGS += ["export.precisions=fp32,int8,int8-ptq,coreml-fp32", "bench.threads=1", "bench.rounds=1"]
PRECISIONS = ("fp32", "int8", "int8-ptq", "coreml-fp32")


def edgekd(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    code = "from edgekd.cli.app import main; main()"
    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("line") / "run"
    done = edgekd("run", "quickstart", "--out", out, "--quick", *(f"--set={one}" for one in SETTINGS))
    assert done.returncode in (0, 3), done.stderr  # 3: a file lost too much, which 200 drawings may well show
    return out


def test_every_file_takes_the_patient_as_the_data_make_it_and_is_its_twin(line: Path) -> None:
    dataset = open_dataset(line / "data")
    assert dataset.features[0] == "age" and dataset.features[-2:] == ("patient_images", "same_site")
    for precision in PRECISIONS:
        card = json.loads((line / "verify" / precision / "card.json").read_text())
        assert [column["name"] for column in card["patient"]["columns"]] == list(dataset.features)
        assert json.loads((line / "verify" / precision / "parity.json").read_text())["passed"], precision
        inputs = json.loads((line / "export" / precision / "inspect.json").read_text())["inputs"]
        assert {port["name"] for port in inputs} == {"image", "patient"}
    record = json.loads((line / "export" / "int8-ptq" / "calibration.json").read_text())
    assert len(record["patient_sha256"]) == 64


def test_the_bench_ran_the_same_file_and_answered_the_same(line: Path) -> None:
    records = [json.loads(path.read_text()) for path in sorted((line / "bench").glob("*@cpu*.json"))]
    assert len(records) == 3
    for record in records:
        name = record["model"]["name"]
        assert record["status"] == "ok", record["reason"]
        assert sorted(len(port["shape"]) for port in record["model"]["input"]) == [2, 4]
        verified = read_evaluation(line / "verify" / name / "evaluation.json")
        assert record["evaluation"]["auc"]["value"] == verified.auc.value


class Tabled:
    """The pictures of a run's generator under the run's own table: labelled, divided, with persons."""

    name = "tabled"

    def __init__(self, run: Path) -> None:
        experiment = pipeline.open_experiment(Run(run))
        self._source = open_source(experiment.data.sources[0], malignant=("mel",), seed=experiment.seed)
        self._table = run / "data" / "table.csv"

    def rows(self) -> tuple[Row, ...]:
        return read_table(self._table)

    def image(self, row: Row) -> np.ndarray:
        return self._source.image(row)

    def fingerprint(self) -> str:
        return self._source.fingerprint()


def test_evaluate_reads_the_persons_from_the_table_and_gives_what_verify_gave(line: Path) -> None:
    model = line / "export" / "int8" / "model.tflite"
    card = assess.find_card(model)
    _, said = assess.evaluate_model(
        assess.open_runtime(model), card, Tabled(line), split="test", artefact="int8"
    )
    verified = read_predictions(line / "verify" / "int8" / "predictions.csv", ("mel",))
    assert said.image_ids == verified.image_ids
    assert np.array_equal(said.logits, verified.logits)


def test_predict_takes_what_is_known_and_refuses_what_cannot_be(line: Path, tmp_path: Path) -> None:
    model, picture = line / "export" / "fp32" / "model.tflite", tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.full((60, 60, 3), 150, np.uint8))

    def scores(*more: str) -> float:
        done = edgekd("predict", model, picture, "--judge-anyway", "--json", *more)
        assert done.returncode == 0, done.stderr
        return float(json.loads(done.stdout)["answers"][0]["score"])

    nothing = scores()
    assert scores("--site", "elbow") == nothing
    assert scores("--age", "80", "--sex", "male", "--site", "back") != nothing
    refused = {("--age", "400"): 2, ("--site", "elbow", "--strict"): 4, ("--same-site", "3"): 2}
    for more, code in refused.items():
        done = edgekd("predict", model, picture, "--judge-anyway", *more)
        assert done.returncode == code, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_the_network_on_patients_alone_stands_beside_the_line(line: Path) -> None:
    done = edgekd("patient", line, "--epochs", "5", "--json")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    assert metrics["test_auc"] == read_evaluation(line / "patient" / "evaluation.json").auc.value
    again = edgekd("patient", line, "--epochs", "5")
    assert "patient  kept" in again.stderr
