"""The two files that other programs read: predictions.csv byte for byte, evaluation.json field for field."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from edgekd.card import OperatingPoint
from edgekd.metrics.evaluation import EvaluationRecord, evaluate, read_evaluation
from edgekd.metrics.predictions import Predictions, read_predictions, write_predictions
from edgekd.plain import to_plain, write_json
from tolerances import EXACT_ARITHMETIC

FOLDER = Path(__file__).parent / "metrics"
MALIGNANT = ("mel", "bcc")


def predictions() -> Predictions:
    n = np.arange(24)
    logits = np.stack([np.sin(n * 1.7), np.cos(n * 0.9), np.sin(n * 0.3) / 3], axis=1)
    return Predictions(
        image_ids=tuple(f"ISIC_{k:07d}" for k in n),
        labels=(n * 5) % 7 < 3,
        logits=np.round(logits * 4096).astype(np.float32) / 4096,  # exact: sines may differ in the last place
        names=("mel", "nv", "bcc"),
        malignant=MALIGNANT,
    )


def record() -> EvaluationRecord:
    read = read_predictions(FOLDER / "predictions.csv", MALIGNANT)
    return evaluate(
        read,
        operating_point=OperatingPoint(
            rule="sensitivity_at_least(0.9)", threshold=0.25, fitted_on="validation"
        ),
        temperature=1.5,
        artefact="int8",
        runtime="litert",
        engine={"name": "ai-edge-litert", "threads": 1},
        split="test",
        attributes={"sex": ["female", "male", None] * 8},
    )


def test_predictions_csv(tmp_path: Path, regenerate_golden: bool) -> None:
    if regenerate_golden:
        FOLDER.mkdir(exist_ok=True)
        write_predictions(FOLDER / "predictions.csv", predictions())
    golden = read_predictions(FOLDER / "predictions.csv", MALIGNANT)
    np.testing.assert_array_equal(golden.logits, predictions().logits)
    write_predictions(tmp_path / "p.csv", predictions())
    # The score column may differ in its last digit where exp and log do; all else is text for text.
    for ours, theirs in zip(lines(tmp_path / "p.csv"), lines(FOLDER / "predictions.csv"), strict=True):
        assert ours.rpartition(",")[0] == theirs.rpartition(",")[0]


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\n")


def test_evaluation_json(regenerate_golden: bool) -> None:
    path = FOLDER / "evaluation.json"
    if regenerate_golden:
        write_json(path, record())
    assert read_evaluation(path).schema == "edgekd.evaluation/1"
    same(to_plain(record()), json.loads(path.read_text(encoding="utf-8")), "evaluation")


def same(ours: object, golden: object, where: str) -> None:
    if isinstance(golden, dict) and isinstance(ours, dict):
        assert ours.keys() == golden.keys(), where
        for key, value in golden.items():
            same(ours[key], value, f"{where}.{key}")
    elif isinstance(golden, list) and isinstance(ours, list):
        assert len(ours) == len(golden), where
        for number, (one, other) in enumerate(zip(ours, golden, strict=True)):
            same(one, other, f"{where}[{number}]")
    elif isinstance(golden, float) and isinstance(ours, float):
        assert abs(ours - golden) < EXACT_ARITHMETIC, where
    else:
        assert ours == golden, where
