"""What `verify` says about one file: is it the same network (parity), and is it good enough (verdict)?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.config import Precision, VerifyConfig
from edgekd.errors import UsageError
from edgekd.metrics.intervals import Estimate
from edgekd.metrics.operating_point import call
from edgekd.metrics.paired import Pairs, Verdict, auc_difference, compare_calls
from edgekd.metrics.predictions import Predictions, malignancy_score

PARITY_SCHEMA = "edgekd.parity/1"
VERDICT_SCHEMA = "edgekd.verdict/1"
_CODES = 255


@dataclass(frozen=True, kw_only=True)
class ParityRecord:
    """How far a file's outputs lie from those of its Keras twin (schema edgekd.parity/1).

    Differences are file − twin, in logits, over all outputs of `n_images` validation images. `step_logits` is
    one step of an 8-bit output: the file's own output scale (int8), or the range of the twin's outputs
    divided by 255 (fp16, dynamic: their weights are rounded, the twin's are not); null for fp32. `limit`
    bounds `criterion`. `decision_agreement` is the share of images called the same at the twin's threshold.
    """

    schema: str = PARITY_SCHEMA
    artefact: str
    twin: str
    n_images: int
    mean_difference_logits: float
    mean_absolute_difference_logits: float
    max_absolute_difference_logits: float
    step_logits: float | None
    mean_absolute_difference_steps: float | None
    max_absolute_difference_steps: float | None
    decision_agreement: float
    criterion: str
    limit: float
    passed: bool


@dataclass(frozen=True, kw_only=True)
class VerdictRecord:
    """Whether a file may replace the reference (schema edgekd.verdict/1).

    Both are judged on the same images of `split`, each at the threshold fitted for it on validation;
    differences are candidate − reference, with two-sided intervals at `confidence`. Sensitivity holds when
    the one-sided lower bound of its loss stays above −`margin`. `verdict` is `failed` when parity failed or a
    loss of more than the margin is shown, `passed` when it is excluded, otherwise `undecided`; `passed` says
    the same as true, false and null. `positives_needed` is how many malignant images a decision would take.
    """

    schema: str = VERDICT_SCHEMA
    reference: str
    candidate: str
    split: str
    n: int
    n_positive: int
    sensitivity_difference: Estimate
    specificity_difference: Estimate
    auc_difference: Estimate | None
    sensitivity_mcnemar_p: float
    specificity_mcnemar_p: float
    sensitivity_pairs: Pairs
    specificity_pairs: Pairs
    sensitivity_lower_bound: float | None
    margin: float
    confidence: float
    parity_passed: bool
    positives_needed: int | None
    verdict: Verdict
    passed: bool | None

    def __post_init__(self) -> None:
        if self.schema != VERDICT_SCHEMA:
            raise UsageError(f"verdict: schema is {self.schema!r}, expected {VERDICT_SCHEMA!r}")


def measure_parity(
    candidate: Predictions,
    twin: Predictions,
    *,
    precision: Precision,
    twin_name: str,
    twin_threshold: float,
    output_step: float,
    config: VerifyConfig,
) -> ParityRecord:
    """The parity of the first `config.parity_images` predictions of a file and of its Keras twin.

    fp32: the largest difference is at most `config.parity_absolute` logits. The others, whose weights were
    rounded: the mean difference is at most `config.parity_steps` steps of an 8-bit output.

    Raises:
        UsageError: the two were not made from the same images and outputs.
    """
    if candidate.image_ids != twin.image_ids or candidate.names != twin.names:
        raise UsageError(f"{twin_name}: its predictions are of other images or outputs than the file's")
    head = slice(config.parity_images)
    ours, theirs = candidate.logits[head].astype(np.float64), twin.logits[head].astype(np.float64)
    difference = ours - theirs
    mean, largest = float(np.abs(difference).mean()), float(np.abs(difference).max())
    step = _step(precision, output_step, theirs)
    by_step = step is not None
    return ParityRecord(
        artefact=precision,
        twin=twin_name,
        n_images=len(ours),
        mean_difference_logits=float(difference.mean()),
        mean_absolute_difference_logits=mean,
        max_absolute_difference_logits=largest,
        step_logits=step,
        mean_absolute_difference_steps=mean / step if step else None,
        max_absolute_difference_steps=largest / step if step else None,
        decision_agreement=_agreement(ours, theirs, twin, twin_threshold),
        criterion="mean_absolute_difference_steps" if by_step else "max_absolute_difference_logits",
        limit=config.parity_steps if by_step else config.parity_absolute,
        passed=mean <= config.parity_steps * step if step else largest <= config.parity_absolute,
    )


def judge(
    candidate: Predictions,
    reference: Predictions,
    *,
    thresholds: tuple[float, float],
    precision: Precision,
    reference_name: str,
    split: str,
    parity_passed: bool,
    config: VerifyConfig,
) -> VerdictRecord:
    """The verdict on `candidate`; `thresholds` are the candidate's and the reference's own.

    Raises:
        UsageError: the two were not made from the same images.
    """
    if candidate.image_ids != reference.image_ids:
        raise UsageError(f"{reference_name}: its predictions are of other images than the file's")
    labels = reference.labels
    compared = compare_calls(
        labels,
        call(reference.score, thresholds[1]),
        call(candidate.score, thresholds[0]),
        margin=config.margin,
        confidence=config.confidence,
    )
    held = compared.non_inferiority
    verdict = held.verdict if parity_passed else Verdict.FAILED
    return VerdictRecord(
        reference=reference_name,
        candidate=precision,
        split=split,
        n=len(labels),
        n_positive=int(labels.sum()),
        sensitivity_difference=compared.sensitivity,
        specificity_difference=compared.specificity,
        auc_difference=_auc_difference(labels, reference, candidate, config.confidence),
        sensitivity_mcnemar_p=compared.sensitivity_mcnemar_p,
        specificity_mcnemar_p=compared.specificity_mcnemar_p,
        sensitivity_pairs=compared.sensitivity_pairs,
        specificity_pairs=compared.specificity_pairs,
        sensitivity_lower_bound=held.lower,
        margin=config.margin,
        confidence=config.confidence,
        parity_passed=parity_passed,
        positives_needed=held.n_needed,
        verdict=verdict,
        passed=None if verdict is Verdict.UNDECIDED else verdict is Verdict.PASSED,
    )


def _step(precision: Precision, output_step: float, twin: NDArray[np.float64]) -> float | None:
    if precision is Precision.FP32:
        return None
    return output_step or float(np.ptp(twin)) / _CODES or None


def _agreement(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], twin: Predictions, threshold: float
) -> float:
    calls = [
        call(malignancy_score(logits, twin.names, twin.malignant), threshold) for logits in (ours, theirs)
    ]
    return float(np.mean(calls[0] == calls[1]))


def _auc_difference(
    labels: Sequence[bool] | NDArray[np.bool_],
    reference: Predictions,
    candidate: Predictions,
    confidence: float,
) -> Estimate | None:
    """DeLong's paired difference; null where a class has fewer than two images."""
    if min(np.sum(labels), np.sum(~np.asarray(labels))) < 2:
        return None
    return auc_difference(labels, reference.score, candidate.score, confidence)
