"""`EvaluationRecord`: every figure of one artefact on one split, with its circumstances."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.card import OperatingPoint
from edgekd.errors import DataError, UsageError
from edgekd.metrics.binary import Bools, Floats
from edgekd.metrics.calibration import (
    brier_interval,
    brier_score_loss,
    calibration,
    ece_interval,
    expected_calibration_error,
    probability,
)
from edgekd.metrics.intervals import Estimate, auc_interval, cluster_bootstrap, weighted_auc, weighted_share
from edgekd.metrics.operating_point import Confusion, call, confusion, predictive_values
from edgekd.metrics.predictions import Predictions
from edgekd.metrics.ranking import roc_auc_score, sensitivity_at_specificity, specificity_at_sensitivity
from edgekd.metrics.subgroups import Subgroup, sensitivity_of, specificity_of, subgroups
from edgekd.plain import from_plain, to_plain

__all__ = [
    "SCHEMA",
    "CurvePoints",
    "Estimate",
    "EvaluationRecord",
    "PredictiveValues",
    "evaluate",
    "read_evaluation",
]

SCHEMA = "edgekd.evaluation/1"
PREVALENCES = (0.01, 0.05, 0.20)  # general practice, a referred patient, a specialist's data set


@dataclass(frozen=True, kw_only=True)
class PredictiveValues:
    """What a call is worth at a stated prevalence; None where nothing would be called so."""

    prevalence: float
    positive: float | None
    negative: float | None


@dataclass(frozen=True, kw_only=True)
class CurvePoints:
    """What the ROC curve offers besides the operating point, found on these images: not a fixed threshold.

    `partial_auc_specificity_80` is the area where specificity ≥ 0.80, standardised by McClish. None without
    both classes.
    """

    sensitivity_at_specificity_80: float | None = None
    sensitivity_at_specificity_90: float | None = None
    specificity_at_sensitivity_90: float | None = None
    specificity_at_sensitivity_95: float | None = None
    partial_auc_specificity_80: float | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """The figures of `artefact`, run by `runtime` on `engine`, over the n images of `split`.

    Rates, areas and probabilities are fractions 0..1; `threshold` is in log odds. None marks a figure that
    is undefined for want of a class. `ece` has ten bins of equal mass; probabilities are sigmoid(score /
    temperature). `brier_interval` and `ece_interval` hold the same values with their bounds (null in records
    of earlier versions). `false_negatives` are the ids of the malignant images missed, in the order of the
    images.
    """

    schema: str = SCHEMA
    artefact: str
    runtime: str
    engine: Any
    split: str
    n: int
    n_positive: int
    operating_point: OperatingPoint
    auc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    confusion: Confusion
    curve: CurvePoints
    brier: float
    ece: float
    temperature: float
    calibration_slope: float | None
    calibration_intercept: float | None
    predictive_values: tuple[PredictiveValues, ...]
    subgroups: tuple[Subgroup, ...] = ()
    false_negatives: tuple[str, ...]
    brier_interval: Estimate | None = None
    ece_interval: Estimate | None = None

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"evaluation: schema is {self.schema!r}, expected {SCHEMA!r}")


def evaluate(
    predictions: Predictions,
    *,
    operating_point: OperatingPoint,
    temperature: float = 1.0,
    artefact: str,
    runtime: str,
    engine: Any,
    split: str,
    groups: Sequence[str | None] | None = None,
    attributes: Mapping[str, Sequence[str | None]] | None = None,
) -> EvaluationRecord:
    """Every figure of `predictions` at a threshold that was fixed before.

    `groups` (a patient or lesion per image, None = unknown) turns the intervals of AUC, sensitivity and
    specificity into cluster-bootstrap ones, unless every group holds a single image; those of Brier score
    and ECE always are. `attributes` (e.g. `{"sex": [...]}`, one value per image) adds subgroups.

    Raises:
        DataError: `groups` or an attribute has another length than the predictions.
    """
    labels, score = predictions.labels, predictions.score
    called = call(score, operating_point.threshold)
    counts = confusion(labels, called)
    proba, fitted = probability(score, temperature), calibration(labels, score / temperature)
    auc, sensitivity, specificity = _headline(labels, score, called, groups)
    clusters = groups or (None,) * labels.size
    return EvaluationRecord(
        artefact=artefact,
        runtime=runtime,
        engine=to_plain(engine),
        split=split,
        n=labels.size,
        n_positive=int(labels.sum()),
        operating_point=operating_point,
        auc=auc,
        sensitivity=sensitivity,
        specificity=specificity,
        confusion=counts,
        curve=_curve(labels, score),
        brier=brier_score_loss(labels, proba),
        ece=expected_calibration_error(labels, proba),
        temperature=temperature,
        calibration_slope=fitted.slope,
        calibration_intercept=fitted.intercept,
        predictive_values=_predictive_values(counts),
        subgroups=tuple(
            group
            for name, values in (attributes or {}).items()
            for group in subgroups(name, values, labels, score, operating_point.threshold)
        ),
        false_negatives=tuple(predictions.image_ids[n] for n in np.flatnonzero(labels & ~called)),
        brier_interval=brier_interval(labels, proba, clusters),
        ece_interval=ece_interval(labels, proba, clusters),
    )


def _headline(
    labels: Bools, score: Floats, called: Bools, groups: Sequence[str | None] | None
) -> tuple[Estimate, Estimate, Estimate]:
    if groups is not None and len(groups) != labels.size:
        raise DataError(f"{len(groups)} groups for {labels.size} images, expected one each")
    known = [group for group in groups or () if group is not None]
    if groups is None or len(set(known)) == len(known) or labels.all() or not labels.any():
        counts = confusion(labels, called)
        return auc_interval(labels, score), sensitivity_of(counts), specificity_of(counts)
    return (
        cluster_bootstrap(weighted_auc(labels, score), groups),
        cluster_bootstrap(weighted_share(labels, called), groups),
        cluster_bootstrap(weighted_share(~labels, ~called), groups),
    )


def _curve(labels: Bools, score: Floats) -> CurvePoints:
    if labels.all() or not labels.any():
        return CurvePoints()
    return CurvePoints(
        sensitivity_at_specificity_80=sensitivity_at_specificity(labels, score, 0.80),
        sensitivity_at_specificity_90=sensitivity_at_specificity(labels, score, 0.90),
        specificity_at_sensitivity_90=specificity_at_sensitivity(labels, score, 0.90),
        specificity_at_sensitivity_95=specificity_at_sensitivity(labels, score, 0.95),
        partial_auc_specificity_80=roc_auc_score(labels, score, max_fpr=0.20),
    )


def _predictive_values(counts: Confusion) -> tuple[PredictiveValues, ...]:
    sensitivity, specificity = sensitivity_of(counts).value, specificity_of(counts).value
    if sensitivity is None or specificity is None:
        return ()
    values = [(p, *predictive_values(sensitivity, specificity, p)) for p in PREVALENCES]
    return tuple(PredictiveValues(prevalence=p, positive=ppv, negative=npv) for p, ppv, npv in values)


def read_evaluation(path: Path) -> EvaluationRecord:
    """The evaluation in the JSON file `path`, as written by `edgekd.plain.write_json`.

    Raises:
        DataError: the file is missing or is not an evaluation.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return from_plain(EvaluationRecord, plain, "evaluation")
    except (OSError, ValueError, UsageError) as error:
        raise DataError(f"{path}: no readable evaluation ({error})") from error
