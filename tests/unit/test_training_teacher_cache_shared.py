"""Several students and one folder of teachers' answers, through the station distill; and the benchmark."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgekd import pipeline
from edgekd.config import (
    DataConfig,
    DistillConfig,
    DistillMethod,
    Experiment,
    FitConfig,
    ModelConfig,
    SourceConfig,
    SourceKind,
    VerifyConfig,
)
from edgekd.pipeline import Station
from edgekd.plain import file_digest
from edgekd.runs import Run
from edgekd.settings import apply_settings
from training_data import PX, write_dataset

pytestmark = pytest.mark.tf

BENCH = Path(__file__).resolve().parents[2] / "bench" / "throughput" / "teacher_cache.py"
MODEL = ModelConfig(name="dsnet", width=0.1, weights="none")
CONFIG = DistillConfig(model=MODEL, fit=FitConfig(epochs=2, batch_size=8, learning_rate=3e-3), variants=2)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


def write_teacher(folder, name, px=PX):
    from edgekd.models.catalogue import build

    folder.mkdir(exist_ok=True)
    build(MODEL, input_px=px, n_logits=3, seed=px).save(folder / name)


def run(dataset, teacher, out, **changes):
    from edgekd.training.distill import distill

    out.mkdir()
    config = dataclasses.replace(CONFIG, **changes)
    distill(dataset=dataset, teacher=teacher, config=config, verify=VerifyConfig(), seed=3, out=out)
    return out


def test_students_share_the_answers_and_are_those_of_a_cache_of_their_own(dataset, tmp_path, monkeypatch):
    from edgekd.runtimes.keras import KerasRuntime

    teachers, shared = tmp_path / "teachers", tmp_path / "shared"
    write_teacher(teachers, "a.keras")
    own = run(dataset, teachers, tmp_path / "own")
    first = run(dataset, teachers, tmp_path / "first", cache=str(shared))
    assert file_digest(first / "model.keras") == file_digest(own / "model.keras")
    assert (own / "teacher_cache").is_dir()
    assert not (first / "teacher_cache").exists()
    stored = {path: file_digest(path) for path in shared.rglob("*.logits")}
    assert len(stored) == 2
    shown = []
    answer = KerasRuntime.logits

    def count(self, images, *features):
        shown.append(images.shape[1])
        return answer(self, images, *features)

    monkeypatch.setattr(KerasRuntime, "logits", count)
    write_teacher(teachers, "b.keras", px=PX + 16)
    run(dataset, teachers, tmp_path / "second", cache=str(shared), method=DistillMethod.DIST)
    assert shown.count(PX + 16) == 4  # two variants of 48 images, in batches of 32, by the new one alone
    after = {path: file_digest(path) for path in shared.rglob("*.logits")}
    assert after.items() > stored.items()
    assert len(after) == 4


@pytest.mark.slow
def test_the_benchmark_runs():
    small = ("--px", "32", "--images", "160", "--members", "2", "--steps", "2", "--rounds", "1", "--json")
    done = subprocess.run(
        [sys.executable, str(BENCH), *small], check=True, stdout=subprocess.PIPE, timeout=500
    )
    found = json.loads(done.stdout)
    assert found["schema"] == "edgekd.throughput/1"
    assert found["ratio"] > 0
    assert found["pairs"] > 0
    seconds = found["seconds_per_step"]
    assert {name: len(times) for name, times in seconds.items()} == {"plain": 1, "distill": 1, "read": 1}
    assert 2 * 3 * 2 <= found["bytes_per_pair"] <= 2 * 3 * 4  # members, classes, float16 and rows not asked


def test_where_the_answers_lie_makes_nothing_stale() -> None:
    sources = (SourceConfig(name="a", kind=SourceKind.SYNTHETIC, count=5, image_px=64),)
    experiment = Experiment(name="trial", data=DataConfig(sources=sources))
    elsewhere = apply_settings(experiment, ["distill.cache=/somewhere"])
    assert elsewhere.distill.cache == "/somewhere"
    first, second = (
        pipeline.step(Run(Path("none")), one, Station.DISTILL).config for one in (experiment, elsewhere)
    )
    assert first == second
