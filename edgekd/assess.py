"""Somebody's model file on somebody's images: single answers, and an evaluation on labelled ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.card import ModelCard, OperatingPoint, read_card
from edgekd.config import HairRemoval
from edgekd.console import progress
from edgekd.data.patient import Person, encode, people, tell_unseen
from edgekd.data.source import DataSource
from edgekd.data.table import Row, Split
from edgekd.errors import DataError, ModelError, UsageError
from edgekd.imaging.decode import read_image
from edgekd.imaging.hair import remove_hair
from edgekd.imaging.quality import judge
from edgekd.imaging.resample import prepare
from edgekd.metrics.calibration import probability
from edgekd.metrics.evaluation import EvaluationRecord, evaluate
from edgekd.metrics.predictions import Predictions, malignancy_score
from edgekd.photo_quality import Photo
from edgekd.runtimes.base import Runtime, beside
from edgekd_converters import metadata


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says about one image.

    `score` is in log odds, `probability` the calibrated sigmoid of it; `malignant` the call at the card's
    operating point, `borderline` whether another photo of the lesion may well be called otherwise; None where
    the card has no such point or band. `logits` are by label. `photo` is what was measured of the picture,
    None where the card has no limits for that; with flags only for who wanted an answer anyway.
    """

    image: str
    score: float
    probability: float
    malignant: bool | None
    borderline: bool | None
    logits: dict[str, float]
    photo: Photo | None = None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A photo that cannot be judged, and why; the fields of an `Answer` are there and empty."""

    image: str
    score: None = None
    probability: None = None
    malignant: None = None
    borderline: None = None
    logits: None = None
    photo: Photo


def find_card(model: Path, card: Path | None = None) -> ModelCard:
    """The card of `model`: the file `card`, else that of its run, the one beside it or inside.

    Raises:
        ModelError: there is none.
    """
    if card is not None:
        return read_card(card)
    verified = model.parent.parent.parent / "verify" / model.parent.name / "card.json"
    for place in (verified, model.parent / "card.json"):
        if place.is_file():
            return read_card(place)
    if model.suffix == ".tflite":
        return metadata.read_card(model)
    raise ModelError(f"{model}: no model card beside it; give one with --card FILE")


def open_runtime(model: Path, *, threads: int = 1) -> Runtime:
    """The engine for a model file: LiteRT for .tflite, Keras for .keras and .h5.

    Raises:
        ModelError: missing, of another kind, or unreadable (tried in a process of its own).
    """
    if not model.is_file():
        raise ModelError(f"{model}: no such model file")
    if model.suffix == ".tflite":
        from edgekd.runtimes.litert import LitertRuntime
        from edgekd.runtimes.probe import probe

        probe(model)
        return LitertRuntime(model, threads=threads)
    if model.suffix in (".keras", ".h5"):
        from edgekd.runtimes.keras import KerasRuntime

        return KerasRuntime(model)
    raise ModelError(f"{model}: expected a .tflite, .keras or .h5 file")


def predict(
    runtime: Runtime,
    card: ModelCard,
    images: Iterable[Path],
    person: Person | None = None,
    *,
    strict: bool = False,
    judge_anyway: bool = False,
) -> Iterator[Answer | Refusal]:
    """The answer for each image file of one `person` (None: nothing is known), in order.

    A photo outside the limits of the card is refused, unless `judge_anyway`. With `strict` a category that
    the network was not trained on is refused, not taken as unknown.

    Raises:
        ImageError: a file cannot be read.
        ModelError: the card does not fit the model.
        DataError: an unknown category, with `strict`.
        UsageError: something is told of the person that the network does not take.
    """
    check_card(runtime, card)
    person = person or Person()
    _check_person(card, person)
    vector = _vectors(card, [person], strict=strict)
    for path in images:
        seen = pixels(card, read_image(path))
        found = photo(card, seen)
        if found and found.flags and not judge_anyway:
            yield Refusal(image=str(path), photo=found)
            continue
        logits = runtime.logits(seen[np.newaxis], *beside(vector))
        yield answer(card, str(path), logits[0], found)


def photo(card: ModelCard, seen: NDArray[np.uint8]) -> Photo | None:
    """What there is to say against a photo, `seen` as `pixels` makes it; None: the card has no limits."""
    return judge(card.quality, seen) if card.quality else None


def nobody(card: ModelCard) -> NDArray[np.float32]:
    """The patient vector [1, f] of a person of whom nothing is known."""
    return _vectors(card, [Person()])


def answer(card: ModelCard, image: str, logits: NDArray[np.float32], found: Photo | None = None) -> Answer:
    """What `logits` [k] mean by the card; `found` is what was measured of the photo."""
    score = malignancy_score(logits[np.newaxis], card.labels, card.malignant)
    point = card.operating_point
    return Answer(
        image=image,
        score=float(score[0]),
        probability=float(probability(score, card.temperature)[0]),
        malignant=bool(score[0] >= point.threshold) if point else None,
        borderline=point.borderline(float(score[0])) if point else None,
        logits={name: float(value) for name, value in zip(card.labels, logits, strict=True)},
        photo=found,
    )


def pixels(card: ModelCard, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What the network of `card` sees of an upright `image` (RGB [H, W, 3]): uint8 [px, px, 3].

    Raises:
        ModelError: the card asks for a hair removal that is not known here.
    """
    return prepare(remove_hair(image, _hair_removal(card)), card.input_px)


def _hair_removal(card: ModelCard) -> HairRemoval:
    try:
        return HairRemoval(card.hair_removal)
    except ValueError as error:
        raise ModelError(
            f"the card asks for hair removal {card.hair_removal!r}, known here are {', '.join(HairRemoval)}: "
            "the network cannot be shown what it was trained on"
        ) from error


def check_card(runtime: Runtime, card: ModelCard) -> None:
    """Nothing, when the card describes this model.

    Raises:
        ModelError: another input size, number of labels or of patient values, or a hair removal that is not
            known here.
    """
    _hair_removal(card)
    values = len(card.patient.columns) if card.patient else 0
    wanted = (card.input_px, len(card.labels), values)
    if (runtime.input_px, runtime.n_logits, runtime.n_features) != wanted:
        raise ModelError(
            f"the card says {card.input_px} px, {len(card.labels)} labels and {values} patient values, the "
            f"model has {runtime.input_px} px, {runtime.n_logits} outputs and {runtime.n_features} patient "
            "values: this is the card of another model"
        )


def rows_of(source: DataSource, split: str) -> tuple[Row, ...]:
    """The rows of one split; every row for "all", or where the source has no splits.

    Raises:
        DataError: the split is empty, or an image is synthetic.
    """
    rows = source.rows()
    if any(row.parent is not None for row in rows):
        raise DataError(f"source {source.name} holds synthetic images: nothing is measured on those")
    if split == "all" or all(row.split is None for row in rows):
        return rows
    if split not in set(Split):
        raise UsageError(f"split {split!r}: expected all, {', '.join(Split)}")
    chosen = tuple(row for row in rows if row.split == split)
    if not chosen:
        raise DataError(f"source {source.name} has no {split} images")
    return chosen


def evaluate_model(
    runtime: Runtime, card: ModelCard, source: DataSource, *, split: str = "test", artefact: str
) -> tuple[EvaluationRecord, Predictions]:
    """The evaluation of a model on labelled images at its card's operating point, and the predictions.

    Raises:
        ModelError: the card does not fit the model or has no operating point.
        DataError: the labels cannot be used.
        ImageError: an image cannot be read.
    """
    check_card(runtime, card)
    if card.operating_point is None:
        raise ModelError("the card has no operating point: verify the model first, or give --threshold")
    rows = rows_of(source, split)
    predictions = Predictions(
        image_ids=tuple(row.image_id for row in rows),
        labels=np.array([row.malignant for row in rows], np.bool_),
        logits=_logits(runtime, card, source, rows),
        names=card.labels,
        malignant=card.malignant,
    )
    record = evaluate(
        predictions,
        operating_point=card.operating_point,
        temperature=card.temperature,
        artefact=artefact,
        runtime=runtime.engine.name,
        engine=runtime.engine,
        split=split,
        groups=[row.patient or row.lesion for row in rows],
        attributes={"sex": [row.sex for row in rows], "site": [row.site for row in rows]},
    )
    return record, predictions


def with_threshold(card: ModelCard, threshold: float | None) -> ModelCard:
    """`card` with a threshold given by hand, where one is given."""
    if threshold is None:
        return card
    point = OperatingPoint(rule="given", threshold=threshold, fitted_on="none")
    return dataclasses.replace(card, operating_point=point)


def _logits(
    runtime: Runtime, card: ModelCard, source: DataSource, rows: Sequence[Row]
) -> NDArray[np.float32]:
    output = np.empty((len(rows), runtime.n_logits), np.float32)
    vectors = _vectors(card, people(rows))
    with progress("evaluate", len(rows), "images") as advance:
        for number, row in enumerate(rows):
            known = beside(vectors[number : number + 1])
            output[number] = runtime.logits(pixels(card, source.image(row))[np.newaxis], *known)[0]
            advance(1, "")
    return output


def _check_person(card: ModelCard, person: Person) -> None:
    read = card.patient.fields if card.patient else ()
    idle = [field for field in person.told() if field not in read]
    if idle:
        raise UsageError(
            f"{card.name} does not take {', '.join(idle)}; it takes the picture"
            f"{''.join(f', {field}' for field in read)}: leave the rest out"
        )


def _vectors(card: ModelCard, persons: Sequence[Person], *, strict: bool = False) -> NDArray[np.float32]:
    """The patient vectors [n, f] of `persons`, as the card makes them; f = 0 without patient data."""
    if card.patient is None:
        return np.zeros((len(persons), 0), np.float32)
    tell_unseen(card.patient, persons, strict=strict)
    return encode(card.patient, persons)
