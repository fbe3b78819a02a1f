"""The golden set: pictures, the pixels Python makes of them, and what the model answers.

    golden/golden.json   edgekd.golden/1
    golden/00.png        the upright picture, lossless
    golden/00.rgb        uint8 RGB [input_px, input_px, 3], row by row: what the network is fed

Whoever ports the pixels or the score compares with these files, byte for byte and number for number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.bundle.engine import Answered, ask
from edgekd.bundle.manifest import GOLDEN
from edgekd.bundle.pictures import Picture
from edgekd.card import ModelCard
from edgekd.config import HairRemoval
from edgekd.data.patient import to_bytes
from edgekd.errors import ContractError, ModelError, UsageError
from edgekd.imaging.hair import remove_hair
from edgekd.imaging.opencv import cv2
from edgekd.imaging.resample import prepare
from edgekd.metrics.predictions import malignancy_score
from edgekd.plain import write_json
from edgekd.runtimes.base import Engine

SCHEMA = "edgekd.golden/1"
MAX_ITEMS = 1000
_PNG_LEVEL = 6


@dataclass(frozen=True, kw_only=True)
class GoldenItem:
    """One picture and its answer.

    `image` (PNG, `width` × `height`) and `input` (raw RGB of sha256 `input_sha256`) are names in the bundle;
    `origin` says where the picture is from. `logits` are float32, in the order of the card's labels, `score`
    is in log odds, `malignant` the call at the card's threshold.
    """

    image: str
    width: int
    height: int
    input: str
    input_sha256: str
    logits: tuple[float, ...]
    score: float
    malignant: bool
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class Golden:
    """What golden.json holds (schema edgekd.golden/1).

    `engine` computed the logits. `patient` are the bytes fed to the second input with every picture, where
    the model has one.
    """

    schema: str = SCHEMA
    input_px: int
    engine: Engine
    patient: tuple[int, ...] | None = None
    items: tuple[GoldenItem, ...]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"schema is {self.schema!r:.60}, expected {SCHEMA!r}")
        if not 1 <= len(self.items) <= MAX_ITEMS:
            raise UsageError(f"{len(self.items)} pictures, expected 1 to {MAX_ITEMS}")


def pixels(card: ModelCard, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What the network of `card` sees of an upright `image` (RGB [H, W, 3]): uint8 [px, px, 3].

    Raises:
        ModelError: the card asks for a hair removal that is not known here.
    """
    if card.hair_removal not in set(HairRemoval):
        raise ModelError(f"the card asks for hair removal {card.hair_removal!r:.60}, which is not known here")
    return prepare(remove_hair(image, HairRemoval(card.hair_removal)), card.input_px)


def write_golden(folder: Path, model: Path, card: ModelCard, pictures: Sequence[Picture]) -> Golden:
    """Write the golden set of `model` into the bundle `folder`.

    Raises:
        ContractError: the card has no operating point, or an answer is not finite.
        ModelError: the model cannot be run, or is not the card's.
    """
    if card.operating_point is None:
        raise ContractError(f"{card.name}: its card has no operating point, nothing can be called: verify it")
    (folder / GOLDEN).parent.mkdir(parents=True, exist_ok=True)
    inputs = np.stack([pixels(card, picture.pixels) for picture in pictures])
    patient = example_patient(card)
    answered = ask(model, inputs, patient)
    golden = Golden(
        input_px=card.input_px,
        engine=answered.engine,
        patient=patient,
        items=tuple(_items(folder, card, pictures, inputs, answered)),
    )
    write_json(folder / GOLDEN, golden)
    return golden


def example_patient(card: ModelCard) -> tuple[int, ...] | None:
    """The bytes of a patient vector: half way of every range, the first category of every field.

    None where the model takes pictures alone.
    """
    if card.patient is None:
        return None
    first = {column.field: column.name for column in reversed(card.patient.columns)}
    values = [
        0.5 if column.category is None else float(first[column.field] == column.name)
        for column in card.patient.columns
    ]
    return tuple(int(byte) for byte in to_bytes(np.array(values, np.float32)))


def check_answer(card: ModelCard, logits: NDArray[np.float32]) -> None:
    """Nothing, when `logits` [n, k] are finite and one per label.

    Raises:
        ContractError: they are not.
    """
    if logits.ndim != 2 or logits.shape[1] != len(card.labels):
        raise ContractError(f"{logits.shape[-1]} logits for {len(card.labels)} labels")
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if broken.size:
        raise ContractError(f"the answer to picture {broken[0]} is not finite: the weights are broken")


def _items(
    folder: Path,
    card: ModelCard,
    pictures: Sequence[Picture],
    inputs: NDArray[np.uint8],
    answered: Answered,
) -> list[GoldenItem]:
    check_answer(card, answered.logits)
    scores = malignancy_score(answered.logits, card.labels, card.malignant)
    threshold = card.operating_point.threshold if card.operating_point else np.inf
    return [
        GoldenItem(
            **_write_pixels(folder, number, picture, inputs[number]),
            width=picture.pixels.shape[1],
            height=picture.pixels.shape[0],
            logits=tuple(float(value) for value in answered.logits[number]),
            score=float(scores[number]),
            malignant=bool(scores[number] >= threshold),
            origin=picture.origin,
        )
        for number, picture in enumerate(pictures)
    ]


def _write_pixels(folder: Path, number: int, picture: Picture, fed: NDArray[np.uint8]) -> dict[str, str]:
    image, raw = (f"golden/{number:02d}.{suffix}" for suffix in ("png", "rgb"))
    stored, png = cv2.imencode(".png", picture.pixels[..., ::-1], (cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL))
    if not stored:
        raise ModelError(f"picture {number} cannot be written as PNG")
    (folder / image).write_bytes(png.tobytes())
    (folder / raw).write_bytes(fed.tobytes())
    return {"image": image, "input": raw, "input_sha256": hashlib.sha256(fed.tobytes()).hexdigest()}
