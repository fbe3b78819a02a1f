"""The card that a model file carries."""

from __future__ import annotations

from pathlib import Path

from edgekd.card import ModelCard
from edgekd.errors import ModelError
from edgekd_converters.metadata import read_card


def embedded_card(model: Path) -> ModelCard | None:
    """The card inside the model; None where there is none, as in somebody else's."""
    try:
        if model.is_dir():
            from edgekd_converters.coreml_card import read_card_coreml

            return read_card_coreml(model)
        return read_card(model)
    except ModelError:
        return None
