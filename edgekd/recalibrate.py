"""A model at a new source: threshold and temperature fitted to it anew, and nothing else.

Another camera, another clinic: scores shift as a whole more often than they change their order. A few hundred
labelled images of the new source then mend the operating point and the probabilities, without training. They
are never those the model is judged on: no image, patient or lesion is on both sides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.assess import evaluate_model, rows_of, with_threshold
from edgekd.card import ModelCard
from edgekd.config import ThresholdRule
from edgekd.console import log
from edgekd.data.folds import assign_folds
from edgekd.data.leaks import Dropped
from edgekd.data.source import DataSource
from edgekd.data.table import Row
from edgekd.errors import DataError, UsageError
from edgekd.metrics.calibration import fit_temperature
from edgekd.metrics.evaluation import EvaluationRecord, evaluate
from edgekd.metrics.operating_point import fit_threshold
from edgekd.metrics.predictions import Predictions
from edgekd.metrics.subgroups import TOO_FEW
from edgekd.runtimes.base import Runtime

SCHEMA = "edgekd.recalibration/1"
_RULE, _TARGET = ThresholdRule.SENSITIVITY_AT_LEAST, 0.90


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """A model judged on the same images as it came and fitted to their source (edgekd.recalibration/1).

    `n` images of `source`, `n_positive` malignant, gave threshold and temperature; `n_left_out` more were of
    the patients or lesions that are judged.
    """

    schema: str = SCHEMA
    source: str
    n: int
    n_positive: int
    n_left_out: int
    as_it_came: EvaluationRecord
    calibrated: EvaluationRecord


@dataclass(frozen=True)
class Chosen:
    """Some `rows` of a `source`, as a data source."""

    source: DataSource
    chosen: tuple[Row, ...]

    @property
    def name(self) -> str:
        """The name of the source."""
        return self.source.name

    def rows(self) -> tuple[Row, ...]:
        """The chosen rows."""
        return self.chosen

    def left_out(self) -> tuple[Dropped, ...]:
        """What the source leaves out."""
        return self.source.left_out()

    def image(self, row: Row) -> NDArray[np.uint8]:
        """The upright image of `row`, RGB [H, W, 3]."""
        return self.source.image(row)

    def fingerprint(self) -> str:
        """That of the whole source."""
        return self.source.fingerprint()


def recalibrate(
    runtime: Runtime,
    card: ModelCard,
    judged: DataSource,
    calibrating: DataSource | None,
    *,
    split: str,
    artefact: str,
    folds: int = 2,
    seed: int = 1,
) -> tuple[Recalibration, Predictions]:
    """`card`\'s model judged on `split` of `judged`, as it came and calibrated; its predictions there.

    Calibrated on all of `calibrating` but what shares a patient or lesion with a judged image; where that is
    None, `judged` itself is divided by patient and lesion, and one of `folds` parts calibrates.

    Raises:
        DataError: no image is left on one side, or a class is absent there.
        ModelError, ImageError: as `evaluate_model`.
    """
    rows = rows_of(judged, split)
    if calibrating is None:
        known, rows = _divided(rows, folds, seed)
        left_out, place = 0, judged
    else:
        place = calibrating
        every = rows_of(calibrating, "all")
        known = apart_from(every, rows)
        left_out = len(every) - len(known)
    _require_both(known, place.name)
    shipped = card if card.operating_point else with_threshold(card, 0.0)
    fitted = fit_card(runtime, shipped, Chosen(place, known))
    before, said = evaluate_model(runtime, shipped, Chosen(judged, rows), split="all", artefact=artefact)
    after = _again(before, said, fitted, rows)
    return (
        Recalibration(
            source=place.name,
            n=len(known),
            n_positive=sum(row.malignant for row in known),
            n_left_out=left_out,
            as_it_came=dataclasses.replace(before, split=split),
            calibrated=dataclasses.replace(after, split=split),
        ),
        said,
    )


def fit_card(runtime: Runtime, card: ModelCard, source: DataSource) -> ModelCard:
    """`card` with threshold and temperature fitted on all images of `source`, by the card's own rule.

    Raises:
        DataError: a class is absent.
        UsageError: the card's rule is none that is known.
    """
    _, said = evaluate_model(runtime, card, source, split="all", artefact="calibration")
    rule, target = _rule_of(card)
    point = fit_threshold(
        said.labels, said.score, rule, target, fitted_on=f"{source.name}, {len(said.labels)} images"
    )
    return dataclasses.replace(
        card, operating_point=point, temperature=fit_temperature(said.labels, said.score)
    )


def apart_from(rows: Sequence[Row], judged: Sequence[Row]) -> tuple[Row, ...]:
    """Those of `rows` that share no image, patient or lesion with one of `judged`."""
    ids = {row.image_id for row in judged}
    patients = {row.patient for row in judged} - {None}
    lesions = {row.lesion for row in judged} - {None}
    return tuple(
        row
        for row in rows
        if row.image_id not in ids and row.patient not in patients and row.lesion not in lesions
    )


def _divided(rows: Sequence[Row], folds: int, seed: int) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """The rows that calibrate, one of `folds` parts, and those that are judged."""
    labels = np.array([row.malignant for row in rows], np.int32)
    place = assign_folds(rows, labels, folds, seed).tolist()
    known = tuple(row for row, fold in zip(rows, place, strict=True) if fold == 0)
    return known, tuple(row for row, fold in zip(rows, place, strict=True) if fold)


def _require_both(rows: Sequence[Row], name: str) -> None:
    positives = sum(row.malignant for row in rows)
    if not 0 < positives < len(rows):
        raise DataError(
            f"{len(rows)} images of {name} are left to calibrate on, {positives} malignant: expected some of "
            "both kinds; images, patients and lesions that are judged do not count"
        )
    if positives < TOO_FEW:
        log.warning("%d malignant images are too few to trust a threshold fitted to them", positives)


def _rule_of(card: ModelCard) -> tuple[ThresholdRule, float]:
    """The rule of the card's operating point and its target; one given by hand counts as the usual one."""
    rule, _, target = (card.operating_point.rule if card.operating_point else "").partition("(")
    if rule not in set(ThresholdRule):
        log.info("the card names no rule of fitting: sensitivity of at least %g it is", _TARGET)
        return _RULE, _TARGET
    try:
        return ThresholdRule(rule), float(target.rstrip(")")) if target else _TARGET
    except ValueError as error:
        raise UsageError(f"the card's rule {rule}({target} is not readable; give --threshold") from error


def _again(
    before: EvaluationRecord, said: Predictions, card: ModelCard, rows: Sequence[Row]
) -> EvaluationRecord:
    """The same predictions at the operating point and temperature of `card`."""
    if card.operating_point is None:
        raise UsageError("a card without an operating point cannot be judged")
    return evaluate(
        said,
        operating_point=card.operating_point,
        temperature=card.temperature,
        artefact=before.artefact,
        runtime=before.runtime,
        engine=before.engine,
        split=before.split,
        groups=[row.patient or row.lesion for row in rows],
        attributes={"sex": [row.sex for row in rows], "site": [row.site for row in rows]},
    )
