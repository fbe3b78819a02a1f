"""What an answer says of the operating point: the call, and whether another photo might change it."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.assess import answer
from edgekd.card import ModelCard, OperatingPoint


def card(point: OperatingPoint | None) -> ModelCard:
    return ModelCard(
        name="m",
        precision="int8",
        input_px=8,
        labels=("nv", "mel"),
        malignant=("mel",),
        operating_point=point,
    )


def point(halfwidth: float | None) -> OperatingPoint:
    return OperatingPoint(rule="r", threshold=1.0, fitted_on="validation", borderline_halfwidth=halfwidth)


@pytest.mark.parametrize(
    ("score", "malignant", "borderline"),
    [(0.4, False, False), (0.6, False, True), (1.0, True, True), (1.4, True, True), (1.5, True, False)],
)
def test_near_the_threshold_it_is_borderline(score: float, malignant: bool, borderline: bool) -> None:
    said = answer(card(point(0.5)), "x.png", np.array([0.0, score], np.float32))
    assert (said.malignant, said.borderline) == (malignant, borderline)


@pytest.mark.parametrize("without", [None, point(None)])
def test_a_card_without_a_band_says_nothing_of_it(without: OperatingPoint | None) -> None:
    said = answer(card(without), "x.png", np.array([0.0, 1.0], np.float32))
    assert said.borderline is None
    assert said.malignant is (True if without else None)
