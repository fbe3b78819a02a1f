"""The model card inside a .tflite file: an entry of its metadata that other readers skip.

The card stands in front of the converter's bytes (see `metadata_front`); `strip_card(embed_card(file, card))`
is the file.
"""

from __future__ import annotations

from pathlib import Path

from edgekd.card import METADATA_NAME, ModelCard
from edgekd.errors import ModelError, UsageError
from edgekd_converters.metadata_front import (
    DAMAGED,
    embed_entry,
    find_entry,
    open_model,
    read_model,
    strip_entry,
)

__all__ = ["DAMAGED", "embed_card", "find_card", "open_model", "read_card", "strip_card"]

_MAX_CARD_BYTES = 1 << 20


def read_card(path: Path) -> ModelCard:
    """The card inside the .tflite file `path`, which may come from anywhere.

    Raises:
        ModelError: the file is missing, larger than 1 GiB or damaged, or holds no card.
    """
    model = read_model(path)
    try:
        return find_card(model)
    except (ModelError, UsageError) as error:
        raise ModelError(f"{path}: {error}") from error


def find_card(model: bytes) -> ModelCard:
    """The card inside the bytes of a .tflite file.

    Raises:
        ModelError: it is not a .tflite file, or holds no card.
        UsageError: the card is not of a known schema.
    """
    found = find_entry(model, METADATA_NAME)
    if not found:
        raise ModelError("no model card inside: not exported by edgekd, or stripped since")
    if len(found) > _MAX_CARD_BYTES:
        raise ModelError(f"a model card of {len(found)} bytes inside, expected at most {_MAX_CARD_BYTES}")
    try:
        return ModelCard.from_json(found.decode())
    except (UnicodeDecodeError, RecursionError) as error:
        raise ModelError("the model card inside is damaged") from error


def embed_card(model: bytes, card: ModelCard) -> bytes:
    """The .tflite file `model` with `card` inside, in place of a card it held before.

    Raises:
        ModelError: `model` is not a .tflite file.
    """
    return embed_entry(model, METADATA_NAME, card.to_json().encode())


def strip_card(model: bytes) -> bytes:
    """The .tflite file `model` without the card that `embed_card` put in front, byte for byte as it was.

    Raises:
        ModelError: `model` is not a .tflite file.
    """
    return strip_entry(model, METADATA_NAME)
