"""The whole line, end to end, on the smallest quickstart; everything here runs the real command."""

from __future__ import annotations

import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd import api
from edgekd.data.dataset import open_dataset
from edgekd.imaging.opencv import cv2
from edgekd.metrics.ranking import roc_auc_score
from edgekd.runtimes.litert import LitertRuntime
from tolerances import FLOAT_KERNELS_RELATIVE

pytestmark = pytest.mark.tf

SETTINGS = ["export.precisions=fp32,int8", "bench.threads=1", "bench.rounds=1"]
SETTINGS += ["data.sources.synthetic.count=200"]
SMALL = ["--quick", *(part for setting in SETTINGS for part in ("--set", setting))]
MADE_FROM_SEED = ("data", "teach", "distill", "qat", "export", "verify")


def command(*arguments: str | Path) -> list[str]:
    code = "from edgekd.cli.app import main; main()"
    return [sys.executable, "-c", code, *(str(argument) for argument in arguments)]


def edgekd(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=900)


def run_small(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return edgekd("run", "quickstart", "--out", out, *SMALL, *more)


def outputs(run: Path, stations: tuple[str, ...] = MADE_FROM_SEED) -> dict[str, Any]:
    return {name: json.loads((run / name / "step.json").read_text())["outputs"] for name in stations}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests that change it work on a copy."""
    out = tmp_path_factory.mktemp("line") / "run"
    done = run_small(out)
    assert done.returncode in (0, 3), done.stderr  # 3: a file lost too much, which 200 drawings may well show
    assert str(out / "report" / "index.html") in done.stdout
    return out


@pytest.fixture
def copy(line: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(line, tmp_path / "copy"))


def test_every_station_left_its_record(line: Path) -> None:
    for station in (*MADE_FROM_SEED, "bench", "report"):
        record = json.loads((line / station / "step.json").read_text())
        assert record["outputs"], station
    assert not list(line.glob(".*.tmp"))


def test_every_figure_can_be_recomputed_from_the_predictions(line: Path) -> None:
    for folder in (line / "teach", line / "distill", line / "qat", *sorted((line / "verify").glob("*/"))):
        record = json.loads((folder / "evaluation.json").read_text())
        with (folder / "predictions.csv").open() as file:
            rows = list(csv.DictReader(file))
        label = np.array([row["label"] == "1" for row in rows])
        called = np.array([float(row["score"]) for row in rows]) >= record["operating_point"]["threshold"]
        assert record["n"] == len(rows)
        assert record["n_positive"] == label.sum()
        assert record["auc"]["value"] == roc_auc_score(label, [float(row["score"]) for row in rows])
        assert record["sensitivity"]["value"] == called[label].mean()
        assert record["specificity"]["value"] == (~called[~label]).mean()
        assert record["operating_point"]["fitted_on"] == "validation"


def test_the_int8_file_is_int8_throughout_and_smaller(line: Path) -> None:
    inspected = {p: json.loads((line / "export" / p / "inspect.json").read_text()) for p in ("fp32", "int8")}
    assert inspected["int8"]["float_operators"] == 0
    assert inspected["int8"]["inputs"][0]["dtype"] == "uint8"
    assert inspected["int8"]["size_bytes"] < inspected["fp32"]["size_bytes"]


def test_the_bench_measured_the_sensitivity_of_the_engine_it_timed(line: Path) -> None:
    records = [json.loads(path.read_text()) for path in sorted((line / "bench").glob("*@cpu*.json"))]
    assert len(records) == 2
    for record in records:
        verified = json.loads((line / "verify" / record["model"]["name"] / "evaluation.json").read_text())
        assert record["status"] == "ok"
        assert record["latency_ms"]["n"] >= 50
        assert record["evaluation"]["sensitivity"] == verified["sensitivity"]


def test_a_second_run_keeps_everything(line: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in line.rglob("*") if path.is_file()}
    done = run_small(line)
    kept = [text for text in done.stderr.splitlines() if text.endswith("kept")]
    assert len(kept) == 8, done.stderr
    after = {path: path.stat().st_mtime_ns for path in line.rglob("*") if path.is_file()}
    changed = {path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed <= {".lock"}


def test_show_names_the_field_that_changed(copy: Path) -> None:
    states = json.loads(edgekd("show", copy, "--json").stdout)
    assert {state["state"] for state in states.values()} == {"kept"}
    experiment = json.loads((copy / "experiment.json").read_text())
    experiment["distill"]["temperature"] = 5.0
    (copy / "experiment.json").write_text(json.dumps(experiment))
    states = json.loads(edgekd("show", copy, "--json").stdout)
    assert states["teach"]["state"] == "kept"
    assert states["distill"] == {"state": "stale", "reason": "config.temperature: 3.0 → 5.0"}
    assert "distill" in states["qat"]["reason"]


def test_the_undistilled_twin_keeps_the_data_and_asks_no_teacher(copy: Path) -> None:
    shutil.rmtree(copy / "teach")
    done = edgekd("distill", copy, "--set", "distill.method=none", "--json")
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["metrics"]) == ["data", "distill"]
    assert not (copy / "distill" / "teacher_cache").exists()


@pytest.mark.slow
def test_a_tampered_file_is_noticed_and_made_again(copy: Path) -> None:
    wanted = outputs(copy)
    model = copy / "export" / "int8" / "model.tflite"
    model.write_bytes(model.read_bytes()[:-16] + bytes(16))
    (copy / "verify" / "fp32" / "evaluation.json").unlink()
    done = run_small(copy, "--to", "verify")
    assert "int8/model.tflite was changed" in done.stderr
    assert "fp32/evaluation.json is gone" in done.stderr
    assert outputs(copy) == wanted


def test_predict_gives_the_stored_logits_to_the_bit(line: Path, tmp_path: Path) -> None:
    samples = open_dataset(line / "data").test
    with (line / "verify" / "int8" / "predictions.csv").open() as file:
        rows = {row["image_id"]: row for row in csv.DictReader(file)}
    paths = [tmp_path / f"{row.image_id}.png" for row in samples.rows[:3]]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), samples.images.image(number)[..., ::-1])
    model = line / "export" / "int8" / "model.tflite"
    done = edgekd("predict", model, *paths, "--judge-anyway", "--json")
    for path, answer in zip(paths, json.loads(done.stdout)["answers"], strict=True):
        row = rows[path.stem]
        assert {f"logit_{k}": np.float32(v) for k, v in answer["logits"].items()} == {
            name: np.float32(value) for name, value in row.items() if name.startswith("logit_")
        }
        assert answer["score"] == float(row["score"])


def test_evaluate_on_folders_agrees_with_the_run(line: Path, tmp_path: Path) -> None:
    samples = open_dataset(line / "data").test
    for number, row in enumerate(samples.rows):
        folder = tmp_path / "images" / row.diagnosis
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{row.image_id}.png"), samples.images.image(number)[..., ::-1])
    model = line / "export" / "int8" / "model.tflite"
    done = edgekd("evaluate", model, "--data", tmp_path / "images", "--split", "all", "--json")
    found = json.loads(done.stdout)
    wanted = json.loads((line / "verify" / "int8" / "evaluation.json").read_text())
    assert found["confusion"] == wanted["confusion"]
    assert found["auc"]["value"] == pytest.approx(wanted["auc"]["value"], abs=1e-12)


def test_a_bundle_of_the_run_answers_as_verify_did(copy: Path) -> None:
    done = edgekd("bundle", copy, "--android", "--unverified", "--json")
    assert done.returncode == 0, done.stderr
    assert "verify   kept" in done.stderr
    folder = copy / "bundle" / "android"
    (made,) = json.loads(done.stdout)
    verdict = json.loads((copy / "verify" / "int8" / "verdict.json").read_text())["verdict"]
    assert (made["folder"], made["manifest"]["verdict"]) == (str(folder), verdict)
    checked = edgekd("verify-bundle", folder, "--json")
    assert checked.returncode == 0, checked.stdout
    with (copy / "verify" / "int8" / "predictions.csv").open() as file:
        rows = {row["image_id"]: row for row in csv.DictReader(file)}
    golden = json.loads((folder / "golden" / "golden.json").read_text())["items"]
    of_the_run = [item for item in golden if item["origin"].partition(",")[0] in rows]
    assert len(of_the_run) == 8
    for item in of_the_run:  # the picture went through PNG, crop and resize once more, and nothing moved
        row = rows[item["origin"].partition(",")[0]]
        logits = [np.float32(value) for name, value in row.items() if name.startswith("logit_")]
        assert [np.float32(value) for value in item["logits"]] == logits
        assert item["score"] == float(row["score"])


def test_compare_pairs_two_stations(line: Path) -> None:
    done = edgekd("compare", line / "distill", line / "verify" / "int8", "--json")
    found = json.loads(done.stdout)
    verdict = json.loads((line / "verify" / "int8" / "verdict.json").read_text())
    assert found["calls"]["sensitivity"] == verdict["sensitivity_difference"]
    assert found["n"] == verdict["n"]


def test_seven_lines_of_python_find_what_the_command_made(copy: Path) -> None:
    wanted = outputs(copy, (*MADE_FROM_SEED, "bench"))
    data = api.load("quickstart", out=copy, settings=SETTINGS, quick=True)
    teacher = api.teach(data)
    student = api.distill(data, teacher)
    quantized = api.qat(data, student)
    files = api.export(data, student, quantized)
    verdicts = api.verify(data, files)
    records = api.bench(data, files)
    assert outputs(copy, (*MADE_FROM_SEED, "bench")) == wanted
    assert verdicts["int8"]["candidate"] == "int8"
    assert records["int8"][0]["status"] == "ok"


@pytest.mark.slow
def test_a_model_trained_elsewhere_takes_the_place_of_the_student(copy: Path) -> None:
    data = api.load("quickstart", out=copy, settings=SETTINGS, quick=True)
    student = api.distill(data)
    student.layers[-1].set_weights([weight * 2 for weight in student.layers[-1].get_weights()])
    files = api.export(data, student)
    assert set(files) == {"fp32"}
    runtime = LitertRuntime(files["fp32"])
    images = data.dataset.test.images.read(np.arange(8))
    expected = student(images.astype(np.float32), training=False).numpy()
    scale = np.abs(expected).max()
    np.testing.assert_allclose(runtime.logits(images), expected, atol=FLOAT_KERNELS_RELATIVE * scale)


def test_a_run_in_use_refuses_a_second(tmp_path: Path) -> None:
    with subprocess.Popen(command("run", "quickstart", "--out", tmp_path, *SMALL, "--to", "data")) as first:
        while not (tmp_path / ".data.tmp").exists():
            assert first.poll() is None
            time.sleep(0.01)
        second = run_small(tmp_path, "--to", "data")
        assert second.returncode == 2
        assert f"process {first.pid}" in second.stderr
        assert first.wait() == 0


def kill_and_resume(out: Path, moments: list[float], *more: str) -> int:
    """Kill the command after each of `moments` seconds, then let it finish; how often it really died."""
    killed = 0
    for moment in moments:
        with subprocess.Popen(
            command("run", "quickstart", "--out", out, *SMALL, *more), stderr=subprocess.DEVNULL
        ) as run:
            try:
                run.wait(moment)
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                killed += 1
    done = run_small(out, *more)
    assert done.returncode in (0, 3), done.stderr
    return killed


def test_a_killed_run_ends_in_the_same_bytes(line: Path, tmp_path: Path) -> None:
    assert kill_and_resume(tmp_path, [1.0, 6.0, 9.0], "--to", "teach")
    assert outputs(tmp_path, ("data", "teach")) == outputs(line, ("data", "teach"))


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_ten_kills_end_in_the_same_bytes(line: Path, tmp_path: Path) -> None:
    moments = sorted(random.Random(7).uniform(1, 45) for _ in range(10))  # noqa: S311
    assert kill_and_resume(tmp_path, moments) >= 5
    assert outputs(tmp_path) == outputs(line)
