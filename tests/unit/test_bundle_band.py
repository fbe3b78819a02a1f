"""The band around the threshold: fitted by verify on second views, in the card, absent from older ones."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import pooled_line
from edgekd.card import ModelCard, OperatingPoint, read_card
from edgekd.config import Precision
from edgekd.data.dataset import Samples, open_dataset
from edgekd.data.table import image_key
from edgekd.errors import UsageError
from edgekd.imaging.augment import augment
from edgekd.plain import from_plain, to_plain
from edgekd.runtimes.litert import LitertRuntime
from edgekd.runtimes.predict import run
from edgekd.runtimes.second_view import FEWEST, VIEW, Band, fit_band
from edgekd_converters.verify import verify
from tiny_dataset import CLASSES, PX, prepare

POINT = OperatingPoint(rule="sensitivity_at_least(0.9)", threshold=-1.25, fitted_on="validation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("band")
    prepare(root / "data")
    pooled_line.exported(root / "export", Precision.FP16)
    pooled_line.trained(root / "distill", root / "data")
    return root


def validation(folder: Path) -> Samples:
    return open_dataset(folder / "data").validation


def fit(folder: Path, samples: Samples) -> Band | None:
    runtime = LitertRuntime(folder / "export" / "fp16" / "model.tflite")
    first = run(runtime, samples, classes=CLASSES, malignant=("mel",))
    return fit_band(runtime, samples, first, label="fp16")


def test_nine_tenths_of_the_images_move_by_no_more(folder: Path) -> None:
    samples = validation(folder)
    band = fit(folder, samples)
    assert band is not None
    runtime = LitertRuntime(folder / "export" / "fp16" / "model.tflite")
    first = run(runtime, samples, classes=CLASSES, malignant=("mel",))
    views = np.stack(
        [
            augment(
                samples.images.image(n),
                px=PX,
                config=VIEW,
                seed=20,
                image_key=image_key(row.image_id),
                variant=0,
            )
            for n, row in enumerate(samples.rows)
        ]
    )
    second = dataclasses.replace(first, logits=runtime.logits(views))
    moved = np.abs(second.score - first.score)
    assert 0.9 <= (moved <= band.halfwidth).mean() < 0.9 + 1 / len(samples)
    assert moved.max() > 0
    assert f"90% of {len(samples)} validation images" in band.rule
    assert fit(folder, samples) == band


def test_few_images_give_no_band(folder: Path) -> None:
    samples = validation(folder)
    few = dataclasses.replace(samples, rows=samples.rows[: FEWEST - 1])
    assert fit_band(LitertRuntime(folder / "export" / "fp16" / "model.tflite"), few, None, label="") is None  # type: ignore[arg-type]


def test_verify_writes_the_band_into_the_card_and_nowhere_else(folder: Path) -> None:
    verify(
        dataset_folder=folder / "data",
        student=folder / "distill",
        qat=None,
        exported=folder / "export",
        config=pooled_line.CONFIG,
        out=folder / "verify",
    )
    band = fit(folder, validation(folder))
    assert band is not None
    point = read_card(folder / "verify" / "fp16" / "card.json").operating_point
    assert point is not None
    assert (point.borderline_halfwidth, point.borderline_rule) == (band.halfwidth, band.rule)
    evaluation = json.loads((folder / "verify" / "fp16" / "evaluation.json").read_text())
    assert set(evaluation["operating_point"]) == {"rule", "threshold", "fitted_on"}


def test_older_cards_read_as_before_and_keep_their_text() -> None:
    card = ModelCard(
        name="x",
        precision="int8",
        input_px=32,
        labels=("mel", "nv"),
        malignant=("mel",),
        operating_point=POINT,
    )
    text = card.to_json()
    assert "borderline" not in text
    assert ModelCard.from_json(text) == card
    assert ModelCard.from_json(text).to_json() == text
    assert POINT.borderline(-1.25) is None


def test_a_score_in_the_band_is_borderline() -> None:
    point = dataclasses.replace(POINT, borderline_halfwidth=0.5, borderline_rule="r")
    assert [point.borderline(score) for score in (-1.76, -1.74, -1.25, -0.76, -0.74)] == [
        *(False, True, True, True, False)
    ]
    assert from_plain(OperatingPoint, to_plain(point)) == point
    assert dataclasses.replace(point, borderline_halfwidth=0.0).borderline(-1.25) is False


@pytest.mark.parametrize("width", [-0.1, float("nan")])
def test_a_width_that_cannot_be(width: float) -> None:
    with pytest.raises(UsageError, match="borderline_halfwidth"):
        dataclasses.replace(POINT, borderline_halfwidth=width)
