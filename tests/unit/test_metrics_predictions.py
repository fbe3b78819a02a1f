from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import DataError
from edgekd.metrics.predictions import (
    Predictions,
    malignancy_score,
    read_predictions,
    write_predictions,
)
from tolerances import EXACT_ARITHMETIC


def small(**changes: object) -> Predictions:
    fields: dict[str, object] = {
        "image_ids": ("a", "b,c"),
        "labels": np.array([True, False]),
        "logits": np.array([[2.0, 0.5, -1.0], [0.1, 3.0, 1e-30]], np.float32),
        "names": ("mel", "nv", "bcc"),
        "malignant": ("bcc", "mel"),
    }
    return Predictions(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_score_is_the_log_odds_of_malignancy() -> None:
    logits = np.array([[2.0, 0.5, -1.0]])
    p = np.exp(logits[0]) / np.exp(logits[0]).sum()
    expected = math.log((p[0] + p[2]) / p[1])
    score = malignancy_score(logits, ("mel", "nv", "bcc"), ("mel", "bcc"))
    assert score[0] == pytest.approx(expected, abs=EXACT_ARITHMETIC)


def test_a_single_logit_is_the_score() -> None:
    assert malignancy_score(np.array([[1.5], [-2.0]]), ("malignant",), ("malignant",)).tolist() == [1.5, -2.0]


def test_huge_logits_do_not_overflow() -> None:
    assert malignancy_score(np.array([[1e30, -1e30]]), ("mel", "nv"), ("mel",))[0] == 2e30


@pytest.mark.parametrize("malignant", [(), ("mel", "nv", "bcc"), ("melanoma",)])
def test_a_malignant_set_that_cannot_be_meant(malignant: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="at least one malignant and one benign"):
        small(malignant=malignant)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.array([True])}, r"labels \(1,\)"),
        ({"names": ("mel", "bcc")}, "2 names"),
        ({"labels": np.array([1, 0])}, "int64"),
        ({"logits": np.zeros((2, 3))}, "float64"),
        ({"image_ids": ("a", "a")}, "'a' appears 2 times"),
        ({"image_ids": ("a", "")}, "empty or holds a line break"),
        ({"image_ids": ("a", "b\rc")}, "line break"),
        ({"logits": np.array([[0, 0, 0], [0, np.nan, 0]], np.float32)}, "1 of 2 images.*first 'b,c'"),
    ],
)
def test_contradictions_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        small(**changes)


def test_the_table_reads_back_exactly(tmp_path: Path) -> None:
    path, before = tmp_path / "predictions.csv", small()
    write_predictions(path, before)
    after = read_predictions(path, before.malignant)
    assert (after.image_ids, after.names, after.malignant) == (
        before.image_ids,
        before.names,
        before.malignant,
    )
    np.testing.assert_array_equal(after.logits, before.logits)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert after.logits.dtype == np.float32


def test_another_malignant_set_is_noticed(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", small())
    with pytest.raises(DataError, match="score column does not follow"):
        read_predictions(tmp_path / "p.csv", ("mel",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not enough values"),
        ("image_id,label,logit_m,score\n", "n of 1 or more"),
        ("image_id,label,score\na,1,2\n", "columns are"),
        ("image_id,label,m,score\na,1,2,2\n", "logit_<name>"),
        ("image_id,label,logit_m,score\na,1,2\n", "4 columns in every line"),
        ("image_id,label,logit_m,score\na,yes,2,2\n", "neither 0"),
        ("image_id,label,logit_m,score\na,1,two,2\n", "could not convert"),
        ("image_id,label,logit_m,score\na,1,2,3\n", "does not follow"),
        ('image_id,label,logit_m,score\n"a,1,2,3\n', "no readable table"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(path, ("m",))
    assert str(path) in str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv"):
        read_predictions(tmp_path / "absent.csv", ("m",))


def test_predictions_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        small().names = ("x",)  # type: ignore[misc]
