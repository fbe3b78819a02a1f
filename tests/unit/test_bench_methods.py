"""The table of ways of training: made from records, paired by seed, and it drifts when they change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench_data import ENGINE
from drawn_experiment import BASE
from edgekd.config import ThresholdRule
from edgekd.errors import DataError, UnknownNameError
from edgekd.metrics.evaluation import evaluate
from edgekd.metrics.operating_point import fit_threshold
from edgekd.metrics.predictions import Predictions, write_predictions
from edgekd.metrics.ranking import roc_auc_score
from edgekd.pipeline import Station, make
from edgekd.plain import read_json, write_json
from edgekd.runs import Run
from edgekd_bench import methods
from edgekd_bench.methods import EVALUATION, PREDICTIONS, RECORD, VALIDATION, MethodsRecord, Student
from edgekd_bench.tables import drifted, fill

ROOT = Path(__file__).resolve().parents[2]
MARKED = "<!-- methods:compared -->\n<!-- /table -->\n"
ARMS = {"none": (None, 0.6), "hinton": ("none", 1.4), "hinton:ptq": ("hinton", 1.3), "dkd": ("none", 1.0)}
N = 90


def said(seed: int, skill: float) -> Predictions:
    labels = np.arange(N) % 3 == 0
    random = np.random.default_rng(seed)
    logits = np.stack([skill * labels + random.normal(size=N), random.normal(size=N)], axis=1)
    return Predictions(
        image_ids=tuple(f"i{n}" for n in range(N)),
        labels=labels,
        logits=logits.astype(np.float32),
        names=("mel", "nv"),
        malignant=("mel",),
    )


def keep(folder: Path, name: str, seed: int, skill: float) -> None:
    test, validation = said(seed, skill), said(seed + 500, skill)
    record = evaluate(
        test,
        operating_point=fit_threshold(
            validation.labels, validation.score, ThresholdRule.SENSITIVITY_AT_LEAST, 0.9
        ),
        temperature=1.0,
        artefact=name,
        runtime="keras",
        engine=ENGINE,
        split="test",
    )
    write_json(folder / f"{name}{EVALUATION}", record)
    write_predictions(folder / f"{name}{PREDICTIONS}", test)
    write_predictions(folder / f"{name}{VALIDATION}", validation)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four arms; dkd has two seeds only."""
    folder = tmp_path_factory.mktemp("results") / "compared"
    folder.mkdir()
    students = []
    for place, (arm, (against, skill)) in enumerate(ARMS.items()):
        for seed in range(2 if arm == "dkd" else 3):
            name = f"{arm.replace(':', '.')}-{seed}"
            keep(folder, name, 10 * place + seed, skill)
            students.append(
                Student(
                    name=name,
                    arm=arm,
                    seed=seed,
                    against=against,
                    malignant=("mel",),
                    parameters=1000,
                    size_bytes=12_345 if ":" in arm else None,
                    training_seconds=60.0 * (seed + 1),
                    model_sha256="0" * 64,
                    touches=1 + (name == "none-0"),
                )
            )
    record = MethodsRecord(
        experiment="drawn",
        settings=("distill.fit.epochs=4",),
        versions={"edgekd": "0"},
        students=tuple(students),
        groups=tuple(f"p{n // 2}" for n in range(N)),
        validation_groups=(None,) * N,
    )
    write_json(folder / RECORD, record)
    return folder.parent


def rows(results: Path) -> dict[str, list[str]]:
    lines = [line for line in fill(MARKED, results).splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in found} == {len(methods.HEAD)}
    return {row[0]: row for row in found[2:]}


def test_every_arm_has_its_row_against_its_own(results: Path) -> None:
    found = rows(results)
    assert list(found) == list(ARMS)
    for arm, (against, _) in ARMS.items():
        assert found[arm][6] == (against or "–")
    assert found["none"][7:9] == ["–", "–"]
    assert [found[arm][1] for arm in ARMS] == ["3", "3", "3", "2"]
    assert [found[arm][2] for arm in ARMS] == ["–", "–", "12", "–"]
    assert found["hinton"][9] == "2.0"


def test_the_figures_are_those_of_the_predictions(results: Path) -> None:
    def areas(place: int, skill: float, seeds: int = 3, part: int = 0) -> np.ndarray:
        own = [said(10 * place + seed + part, skill) for seed in range(seeds)]
        return np.array([roc_auc_score(one.labels, one.score) for one in own])

    none, hinton, dkd = areas(0, 0.6), areas(1, 1.4), areas(3, 1.0, 2)
    found = rows(results)
    assert found["hinton"][4] == f"{hinton.mean():.3f} ± {hinton.std(ddof=1):.3f}"
    assert found["hinton"][8].startswith(f"{(hinton - none).mean():+.3f} [")
    assert found["dkd"][8].startswith(f"{(dkd - none[:2]).mean():+.3f} [")
    on_validation = areas(1, 1.4, part=500) - areas(0, 0.6, part=500)
    assert found["hinton"][7].startswith(f"{on_validation.mean():+.3f} [")


def test_how_often_the_test_split_was_looked_at_is_said(results: Path) -> None:
    text = fill(MARKED, results)
    assert "The test split was predicted 12 times for 11 finished students, some of them more" in text
    assert "n = 90, 30 malignant (45 patients or lesions)" in text
    assert "--set distill.fit.epochs=4" in text


def test_a_changed_record_is_told(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(fill(MARKED, results))
    assert drifted([page], results) == []
    page.write_text(page.read_text().replace("± 0.", "± 1.", 1))
    assert len(drifted([page], results)) == 1


def test_students_of_other_images_are_not_compared(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "compared"
    folder.mkdir()
    for path in (results / "compared").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    path = folder / f"hinton-1{PREDICTIONS}"
    path.write_text(path.read_text().replace("i17,", "another,"))
    with pytest.raises(DataError, match="different images"):
        methods.table(folder)
    plain = read_json(folder / RECORD)
    write_json(folder / RECORD, {**plain, "schema": "edgekd.methods/9"})
    with pytest.raises(DataError, match="edgekd.methods/1"):
        methods.read_methods(folder)


def test_an_arm_nobody_knows_is_named_with_the_nearest(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "bench" / "methods.py"), str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run([*command, "--arms", "none", "hintn"], capture_output=True, text=True, check=False)
    assert done.returncode == UnknownNameError.exit_code
    assert "did you mean hinton" in done.stderr


@pytest.mark.tf
@pytest.mark.slow
def test_the_whole_comparison_on_drawn_lesions_and_again(tmp_path: Path) -> None:
    """About two minutes: seven float students, two of them as files of 8 bits, judged once each."""
    run = Run(tmp_path / "run")
    with run.locked():
        make(run, BASE, Station.TEACH)
    arms = ["none", "hinton", "logit-standardised", "hinton-online", "hinton-fixed"]
    command = [sys.executable, str(ROOT / "bench" / "methods.py"), str(run.root), str(tmp_path / "kept")]
    command += [
        "--seeds",
        "0",
        "--round",
        "hinton",
        "--set",
        "distill.fit.epochs=2",
        "--set",
        "qat.fit.epochs=1",
    ]
    command += ["--arms", *arms]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr[-2000:]
    record = methods.read_methods(tmp_path / "kept")
    assert [student.arm for student in record.students] == [
        *arms[:2],
        "hinton:qat",
        "hinton:qat-labels",
        "hinton:ptq",
        *arms[2:],
    ]
    assert {student.touches for student in record.students} == {1}
    assert not list((tmp_path / "run-methods").rglob("predictions.csv"))
    page = (tmp_path / "kept" / "README.md").read_bytes()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "making" not in again.stderr
    assert (tmp_path / "kept" / "README.md").read_bytes() == page
    other = [*command, "--set", "distill.temperature=9"]
    assert subprocess.run(other, capture_output=True, check=False).returncode == 2
