"""`--data`: sensitivity through the engine that was timed, and the difference to the reference engine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bench_data import CARD, PX, one_record, write_dataset
from edgekd.card import pixel_rule
from edgekd.config import BenchConfig
from edgekd.data.dataset import open_dataset
from edgekd.errors import DataError, ModelError
from edgekd.metrics.predictions import Predictions, write_predictions
from edgekd_bench.measure import Job
from edgekd_bench.round import SplitRequest, Status
from edgekd_bench.station import bench_files
from edgekd_bench.through import Verified, labelled, with_evaluations
from tiny_tflite import average_pool

QUICK = BenchConfig(threads=(1, 2), min_runs=2, min_seconds=0.0, rounds=1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.tflite"
    path.write_bytes(average_pool(px=PX))
    return path


def test_anybodys_file_is_evaluated_on_every_engine(tmp_path: Path, model: Path) -> None:
    write_dataset(tmp_path / "data")
    out = tmp_path / "predictions"
    images = labelled(tmp_path / "data", {"theirs": model}, {"theirs": CARD}, out)
    config = dataclasses.replace(QUICK, backends=("cpu-reference", "cpu"))
    found = bench_files({"theirs": model}, config, images)
    assert [(one.requested_accelerator, one.threads) for one in found] == [
        *(("cpu-reference", 1), ("cpu-reference", 2), ("cpu", 1), ("cpu", 2))
    ]
    assert all(one.evaluation is not None and one.evaluation.n == 12 for one in found)
    reference = found[2]
    assert reference.against_reference is None
    for one in (found[0], found[1], found[3]):
        assert one.against_reference is not None
        assert (one.against_reference.reference, one.against_reference.n) == ("theirs@cpu-1t", 12)
        assert one.against_reference.discordant == 0  # three means of bytes: no kernel can get them wrong
    assert {path.name for path in out.iterdir()} == {
        f"theirs@{backend}-{threads}t.predictions.csv"
        for backend in ("cpu", "cpu-reference")
        for threads in (1, 2)
    }


def test_differences_are_paired_and_signed(tmp_path: Path) -> None:
    """Four malignant images: the other engine misses one more, and calls one benign image less."""
    write_dataset(tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    malignant = dataset.test.malignant
    scores = np.where(malignant, 2.0, -2.0)
    scores[np.flatnonzero(~malignant)[0]] = 1.0
    changed = scores.copy()
    changed[np.flatnonzero(malignant)[0]] = -1.0
    changed[np.flatnonzero(~malignant)[0]] = -3.0
    jobs = [
        job(tmp_path, backend, said)
        for backend, said in (
            ("cpu", predictions(malignant, scores)),
            ("gpu", predictions(malignant, changed)),
        )
    ]
    card = dataclasses.replace(CARD, malignant=("mel",))
    point = CARD.operating_point
    assert point is not None
    files = {"net": Verified(tmp_path, card, dataclasses.replace(point, threshold=0.0), 1.0)}
    records = [one_record("net"), one_record("net", requested_accelerator="gpu")]
    one, two = with_evaluations(records, jobs, dataset, files)
    assert one.against_reference is None and two.against_reference is not None
    found = two.against_reference
    n, m = int(malignant.sum()), int((~malignant).sum())
    assert (found.discordant, found.n) == (2, 12)
    assert found.sensitivity.value == pytest.approx(-1 / n)
    assert found.specificity.value == pytest.approx(1 / m)
    assert found.largest_score_change == pytest.approx(4.0)
    assert found.sensitivity.low is not None and found.sensitivity.low < -1 / n < 0
    (alone,) = with_evaluations(records[1:], jobs[1:], dataset, files)
    assert alone.evaluation is not None and alone.against_reference is None
    failed = [dataclasses.replace(records[0], status=Status.FAILED, reason="x", latency_ms=None), records[1]]
    assert [one.against_reference for one in with_evaluations(failed, jobs, dataset, files)] == [None, None]


def predictions(malignant: np.ndarray, scores: np.ndarray) -> Predictions:
    """With one malignant and one benign name that counts, the score is logit − logit."""
    return Predictions(
        image_ids=tuple(f"test{number}" for number in range(len(scores))),
        labels=malignant,
        logits=np.stack([scores, np.zeros_like(scores)], axis=1).astype(np.float32),
        names=("mel", "nv"),
        malignant=("mel",),
    )


def job(folder: Path, backend: str, said: Predictions) -> Job:
    path = folder / f"{backend}.csv"
    write_predictions(path, said)
    asked = SplitRequest(dataset="", labels=said.names, malignant=said.malignant, predictions=str(path))
    return Job(name="net", model=folder, backend=backend, threads=1, test=asked)


def test_images_and_cards_that_do_not_fit(tmp_path: Path, model: Path) -> None:
    with pytest.raises(DataError, match=r"holds no dataset\.json; prepare the data first"):
        labelled(tmp_path, {}, {}, tmp_path)
    write_dataset(tmp_path / "data")
    wider = dataclasses.replace(CARD, input_px=2 * PX)
    with pytest.raises(DataError, match=f"size of its images is {PX} px and theirs takes {2 * PX} px"):
        labelled(tmp_path / "data", {"theirs": model}, {"theirs": wider}, tmp_path)
    shaved = dataclasses.replace(CARD, hair_removal="oriented", pixel_rule=pixel_rule("oriented"))
    with pytest.raises(DataError, match="hair removal of its images is none and theirs takes oriented"):
        labelled(tmp_path / "data", {"theirs": model}, {"theirs": shaved}, tmp_path)
    bare = dataclasses.replace(CARD, operating_point=None)
    with pytest.raises(ModelError, match="theirs: the card has no operating point"):
        labelled(tmp_path / "data", {"theirs": model}, {"theirs": bare}, tmp_path)
