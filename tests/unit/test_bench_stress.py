"""A network on stripped pictures: paired figures by part, and the whole command on drawn files."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench_data import CARD, ENGINE
from edgekd.metrics.predictions import Predictions, read_predictions
from edgekd.metrics.ranking import roc_auc_score
from edgekd.patient_input import PatientColumn, PatientInput
from edgekd_bench import stress
from edgekd_bench.tables import drifted
from patient_tflite import patient_classifier
from tiny_tflite import average_pool

ROOT = Path(__file__).resolve().parents[2]
N = 120


def said(logits: np.ndarray) -> Predictions:
    return Predictions(
        image_ids=tuple(f"i{n}" for n in range(N)),
        labels=np.arange(N) % 3 == 0,
        logits=logits.astype(np.float32),
        names=("mel", "nv"),
        malignant=("mel",),
    )


def test_differences_are_paired_and_of_every_part() -> None:
    random = np.random.default_rng(2)
    labels = np.arange(N) % 3 == 0
    plain = np.stack([1.5 * labels + random.normal(size=N), np.zeros(N)], axis=1)
    female = np.arange(N) % 2 == 0
    moved = plain.copy()
    moved[:, 0] -= 2.0 * (labels & female)
    before, after = said(plain), said(moved)
    change = stress.compare_change(
        "no-hair",
        before,
        after,
        changed=labels & female,
        threshold=0.3,
        groups=[f"p{n // 2}" for n in range(N)],
        attributes={
            "sex": ["female" if one else "male" for one in female],
            "site": [None] * 115 + ["ear"] * 5,
        },
    )
    whole, *parts = change.parts
    assert whole.auc.value == pytest.approx(
        roc_auc_score(labels, after.score) - roc_auc_score(labels, before.score)
    )
    assert whole.auc.high < 0
    assert "60 groups" in whole.auc.method
    assert (whole.changed, whole.specificity.value) == (20, 0)
    named = {(part.attribute, part.value): part for part in parts}
    assert named["sex", "male"].auc.value == 0
    assert named["sex", "female"].auc.value < whole.auc.value
    assert named["site", "ear"].too_few
    assert whole.called_otherwise == pytest.approx(np.mean((before.score >= 0.3) != (after.score >= 0.3)))
    record = stress.StressRecord(
        model="m.tflite",
        model_sha256="0",
        engine=ENGINE.describe(),
        sources=("drawn",),
        split="test",
        threshold=0.3,
        auc=whole.auc,
        changes=(change,),
    )
    (row,) = stress.rows(record)
    assert row[0:2] == ("no-hair", "20 of 120")
    assert row[-1].startswith("sex female: -")


def test_other_images_are_not_compared() -> None:
    one = said(np.zeros((N, 2)))
    other = Predictions(
        image_ids=tuple(f"j{n}" for n in range(N)),
        labels=one.labels,
        logits=one.logits,
        names=one.names,
        malignant=one.malignant,
    )
    with pytest.raises(stress.DataError, match="these differ"):
        stress.compare_change(
            "x", one, other, changed=one.labels, threshold=0, groups=[None] * N, attributes={}
        )


def test_the_command_keeps_a_record_that_its_table_follows(tmp_path: Path) -> None:
    """The network gives the mean colour: a red light over the malignant is all it knows, and goes."""
    model = tmp_path / "model.tflite"
    model.write_bytes(average_pool(px=8))
    (tmp_path / "card.json").write_text(CARD.to_json())
    random = np.random.default_rng(4)
    for number in range(36):
        tint = (1.3, 0.9, 0.9) if number % 3 == 0 else (1.0, 1.0, 1.0)
        picture = np.clip(random.normal(120, 9, (40, 40, 3)) * tint, 0, 255).astype(np.uint8)
        folder = tmp_path / "drawn" / ("mel" if number % 3 == 0 else "nv")
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{number}.png"), picture[..., ::-1])
    out = tmp_path / "results" / "kept"
    command = [sys.executable, str(ROOT / "bench" / "stress.py"), str(model), str(tmp_path / "drawn")]
    done = subprocess.run(
        [*command, "--split", "all", "--out", str(out), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-1500:]
    record = json.loads(done.stdout)
    assert record["schema"] == "edgekd.stress/1"
    changes = {change["name"]: change["parts"][0] for change in record["changes"]}
    assert list(changes) == list(stress.CHANGES)
    assert record["auc"]["value"] > 0.95
    assert changes["white-light"]["auc"]["high"] < -0.1
    assert changes["no-ruler"]["changed"] == 0
    assert changes["no-ruler"]["auc"]["value"] == 0
    assert len(list(out.glob("*.predictions.csv"))) == 1 + len(stress.CHANGES)
    read_predictions(out / "white-light.predictions.csv", CARD.malignant)
    assert drifted([out / "README.md"], out.parent) == []
    changed = changes["white-light"]["changed"]
    assert changed >= 12  # under white light the others are what they were
    assert f"| white-light | {changed} of 36 |" in (out / "README.md").read_text()


def test_a_network_that_knows_ages_alone_knows_nothing_without_them(tmp_path: Path) -> None:
    """All pictures are one grey: the malignant are told apart by their years, until nobody tells them."""
    ages = PatientInput(columns=(PatientColumn(name="age", field="age", low=0.0, high=100.0),))
    card = dataclasses.replace(CARD, labels=("mel", "nv"), malignant=("mel",), input_px=32, patient=ages)
    (tmp_path / "model.tflite").write_bytes(patient_classifier(32, 2, 1))
    (tmp_path / "card.json").write_text(card.to_json())
    rows = [f"{n}.png,{'mel' if n % 3 == 0 else 'nv'},{80 if n % 3 == 0 else 20}" for n in range(30)]
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "table.csv").write_text("\n".join(["path,diagnosis,age", *rows]))
    for number in range(30):
        cv2.imwrite(str(tmp_path / "drawn" / f"{number}.png"), np.full((40, 40, 3), 120, np.uint8))
    command = [sys.executable, str(ROOT / "bench" / "stress.py"), str(tmp_path / "model.tflite")]
    command += [str(tmp_path / "drawn" / "table.csv"), "--split", "all", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    record = json.loads(done.stdout)
    assert record["auc"]["value"] in (0.0, 1.0)
    whole = record["changes"][-1]["parts"][0]
    assert (record["changes"][-1]["name"], whole["changed"]) == ("unknown-person", 30)
    assert whole["auc"]["value"] == 0.5 - record["auc"]["value"]
