"""Every published system goes the whole line with the real command, `--quick`, on generated lesions."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.metrics.ranking import roc_auc_score
from edgekd_bench import systems

pytestmark = [pytest.mark.tf, pytest.mark.timeout(900)]

STATIONS = ("data", "teach", "distill", "qat", "export", "verify", "bench", "report")
SYSTEMS = tuple(system.experiment for system in systems.PUBLISHED)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=SYSTEMS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp(request.param) / "run"
    code = "from edgekd.cli.app import main; main()"
    command = [sys.executable, "-c", code, "run", request.param, "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode in (0, 3), done.stderr  # 3: a file lost too much, as 40 drawings may well show
    assert str(out / "report" / "index.html") in done.stdout
    return out


def test_the_line_is_whole(run: Path) -> None:
    for station in STATIONS:
        assert read(run / station / "step.json")["outputs"], station
    experiment = read(run / "experiment.json")
    assert experiment["name"].endswith("-quick")
    assert experiment["report"]["title"] in (run / "report" / "index.html").read_text(encoding="utf-8")


def test_the_file_agrees_with_keras_and_its_figures_with_its_predictions(run: Path) -> None:
    folder = run / "verify" / "int8"
    assert read(folder / "parity.json")["passed"] is True
    record = read(folder / "evaluation.json")
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    label = np.array([row["label"] == "1" for row in rows])
    score = np.array([float(row["score"]) for row in rows])
    assert record["n"] == len(rows) > 0
    assert record["auc"]["value"] == roc_auc_score(label, score)
    called = score >= record["operating_point"]["threshold"]
    assert record["sensitivity"]["value"] == called[label].mean()


def test_the_file_is_int8_throughout_and_asks_for_the_person_where_it_should(run: Path) -> None:
    inspected = read(run / "export" / "int8" / "inspect.json")
    assert inspected["float_operators"] == 0
    assert {tensor["dtype"] for tensor in inspected["inputs"]} == {"uint8"}
    patient = read(run / "experiment.json")["data"]["patient"]
    assert {tensor["name"] for tensor in inspected["inputs"]} == (
        {"image", "patient"} if patient else {"image"}
    )


def test_the_card_says_what_must_be_done_to_a_picture_first(run: Path) -> None:
    card = read(run / "export" / "int8" / "card.json")
    assert card["hair_removal"] == read(run / "experiment.json")["data"]["hair"]
    assert (card["hair_removal"] == "adepu2023") == (run.parent.name.startswith("adepu2023"))


def test_no_patient_is_on_both_sides(run: Path) -> None:
    with (run / "data" / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    split_of: dict[str, set[str]] = {}
    for row in rows:
        split_of.setdefault(row["patient"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in split_of.values())


def test_its_sizes_and_times_are_measured(run: Path) -> None:
    record = systems.measure(run)
    assert record.sources == ("synthetic",)
    assert list(record.networks) == ["teach", "distill", "qat"]
    teacher, student, rounded = record.networks.values()
    assert teacher.parameters > student.parameters == rounded.parameters
    assert all(network.training_seconds > 0 for network in record.networks.values())
    assert teacher.test_seconds is not None and rounded.test_seconds is None
