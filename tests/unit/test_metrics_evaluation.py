from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekd.card import OperatingPoint
from edgekd.errors import DataError, UsageError
from edgekd.metrics.evaluation import EvaluationRecord, evaluate, read_evaluation
from edgekd.metrics.intervals import auc_interval, wilson
from edgekd.metrics.operating_point import Confusion
from edgekd.metrics.predictions import Predictions
from edgekd.metrics.subgroups import subgroups
from edgekd.plain import from_plain, to_plain, write_json
from tolerances import EXACT_ARITHMETIC

POINT = OperatingPoint(rule="sensitivity_at_least(0.9)", threshold=0.0, fitted_on="validation")


def predictions(labels: list[int], score: list[float]) -> Predictions:
    return Predictions(
        image_ids=tuple(f"image{n}" for n in range(len(labels))),
        labels=np.array(labels, bool),
        logits=np.array(score, np.float32)[:, None],
        names=("malignant",),
        malignant=("malignant",),
    )


def record(labels: list[int], score: list[float], **changes: object) -> EvaluationRecord:
    return evaluate(
        predictions(labels, score),
        operating_point=POINT,
        artefact="int8",
        runtime="litert",
        engine={"threads": 1},
        split="test",
        **changes,  # type: ignore[arg-type]
    )


def test_the_figures_of_ten_images() -> None:
    labels, score = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [3, 2, 1, -1, 2.5, -1, -2, -3, -4, -5]
    result = record(labels, score)
    assert (result.n, result.n_positive, result.split) == (10, 4, "test")
    assert result.confusion == Confusion(true_positive=3, false_negative=1, true_negative=5, false_positive=1)
    assert result.sensitivity == wilson(3, 4)
    assert result.specificity == wilson(5, 6)
    assert result.auc == auc_interval(labels, score)
    assert result.false_negatives == ("image3",)
    assert result.curve.sensitivity_at_specificity_80 == 3 / 4
    assert result.curve.specificity_at_sensitivity_95 == 4 / 6
    at_5_percent = result.predictive_values[1]
    assert at_5_percent.prevalence == 0.05
    expected = 0.75 * 0.05 / (0.75 * 0.05 + 0.95 / 6)
    assert at_5_percent.positive == pytest.approx(expected, abs=EXACT_ARITHMETIC)


def test_the_temperature_changes_probabilities_and_no_call() -> None:
    labels, score = [1, 1, 1, 0, 0, 0], [3, 2, -1, 1, -2, -3]
    cold, warm = record(labels, score), record(labels, score, temperature=2.0)
    assert warm.confusion == cold.confusion and warm.auc == cold.auc
    proba = 1 / (1 + np.exp(-np.array(score) / 2))
    assert warm.brier == pytest.approx(np.mean((proba - labels) ** 2), abs=EXACT_ARITHMETIC)
    assert cold.calibration_slope is not None
    assert warm.calibration_slope == pytest.approx(2 * cold.calibration_slope, rel=1e-9)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0]])
def test_an_absent_class_leaves_nulls_not_nan(labels: list[int]) -> None:
    result = record(labels, [1.0, -1.0, 2.0], groups=["p", "p", "q"])
    assert result.auc.value is None
    assert (result.sensitivity.value is None) is (labels[0] == 0)
    assert (result.specificity.value is None) is (labels[0] == 1)
    assert result.curve.partial_auc_specificity_80 is None
    assert result.predictive_values == ()
    json.dumps(to_plain(result), allow_nan=False)


def test_groups_with_several_images_are_resampled_whole() -> None:
    labels, score = [1, 1, 0, 0, 1, 0], [1.0, 2, -1, -2, -1, 1]
    single = record(labels, score, groups=["a", "b", None, None, "c", "d"])
    assert single == record(labels, score)
    grouped = record(labels, score, groups=["a", "a", None, None, "c", "d"])
    assert "cluster_bootstrap(0.95, 2000 resamples of 5 groups" in grouped.sensitivity.method
    assert grouped.sensitivity.value == single.sensitivity.value
    assert grouped.auc.value == pytest.approx(single.auc.value, abs=EXACT_ARITHMETIC)
    with pytest.raises(DataError, match="1 groups for 6 images"):
        record(labels, score, groups=["a"])


def test_subgroups_are_marked_below_ten_malignant_images() -> None:
    labels = np.array([1] * 10 + [0] * 5 + [1] * 9 + [0] * 5, bool)
    score = np.where(labels, 1.0, -1.0)
    parts = subgroups("sex", ["male"] * 15 + [None] * 14, labels, score, 0.0)
    assert [(part.value, part.n, part.n_positive, part.too_few) for part in parts] == [
        ("male", 15, 10, False),
        ("unknown", 14, 9, True),
    ]
    assert parts[0].sensitivity == wilson(10, 10)
    with pytest.raises(DataError, match="sex: 1 values"):
        subgroups("sex", ["male"], labels, score, 0.0)


def test_attributes_become_subgroups_of_the_record() -> None:
    result = record([1, 0, 1, 0], [1.0, 2, 3, 4], attributes={"site": ["head", "hand", "head", None]})
    assert [(part.attribute, part.value, part.n) for part in result.subgroups] == [
        ("site", "hand", 1),
        ("site", "head", 2),
        ("site", "unknown", 1),
    ]


def test_a_record_reads_back(tmp_path: Path) -> None:
    before = record([1, 0, 1, 0], [1.0, 2, -3, 4], attributes={"sex": ["f", "m", "f", "m"]})
    write_json(tmp_path / "evaluation.json", before)
    assert read_evaluation(tmp_path / "evaluation.json") == before


def test_another_schema_is_refused(tmp_path: Path) -> None:
    plain = {**to_plain(record([1, 0], [1.0, 2])), "schema": "edgekd.evaluation/2"}
    with pytest.raises(UsageError, match=r"edgekd\.evaluation/1"):
        from_plain(EvaluationRecord, plain)
    write_json(tmp_path / "evaluation.json", plain)
    with pytest.raises(DataError, match=r"evaluation\.json"):
        read_evaluation(tmp_path / "evaluation.json")
    with pytest.raises(DataError, match=r"absent\.json"):
        read_evaluation(tmp_path / "absent.json")
