"""The model card: exact JSON, and refusal of what is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.card import ModelCard, OperatingPoint, read_card
from edgekd.errors import ModelError, UsageError

CARD = ModelCard(
    name="student",
    precision="int8",
    input_px=224,
    labels=("mel", "nv"),
    malignant=("mel",),
    operating_point=OperatingPoint(rule="sensitivity_at_least(0.9)", threshold=-1.25, fitted_on="validation"),
    provenance={"weights": "abc"},
)


def test_a_card_reads_back_equal_and_writes_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(CARD.to_json())
    assert read_card(path) == CARD
    assert read_card(path).to_json() == CARD.to_json()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "edgekd.card/9"}', "\x00"])
def test_anything_else_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(ModelError, match="no readable model card") as raised:
        read_card(path)
    assert "\n" not in str(raised.value)


def test_a_malignant_name_must_be_a_label() -> None:
    with pytest.raises(UsageError, match="not among the labels"):
        ModelCard(name="x", precision="fp32", input_px=32, labels=("nv",), malignant=("mel",))
