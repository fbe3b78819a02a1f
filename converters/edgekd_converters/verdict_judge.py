"""`judge`: a file against the float student on the same images, each at its own threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgekd.config import Precision, VerifyConfig
from edgekd.errors import UsageError
from edgekd.metrics.binary import Bools
from edgekd.metrics.intervals import Estimate, auc_interval, wilson
from edgekd.metrics.operating_point import call
from edgekd.metrics.paired import (
    NonInferiority,
    Pairs,
    Verdict,
    auc_difference,
    compare_calls,
    paired_difference,
    pairs,
)
from edgekd.metrics.predictions import Predictions
from edgekd.metrics.subgroups import subgroups, worst_subgroup
from edgekd_converters.verdict import (
    Check,
    Discordant,
    Finding,
    Outcome,
    VerdictRecord,
    WorstSubgroup,
    conclude,
    failed,
)

_FLAT = 0.1
_CHANCE = 0.5


def judge(
    candidate: Predictions,
    reference: Predictions,
    *,
    thresholds: tuple[float, float],
    precision: Precision,
    reference_name: str,
    split: str,
    config: VerifyConfig,
    findings: Sequence[Finding] = (),
    attributes: Mapping[str, Sequence[str | None]] | None = None,
    artefact_sha256: str | None = None,
) -> VerdictRecord:
    """The verdict on `candidate`; `thresholds` are the candidate's and the reference's own.

    `findings` are what was found before, e.g. failed parity; `attributes` (one value per image) divide the
    images into subgroups.

    Raises:
        UsageError: the two were not made from the same images.
    """
    if candidate.image_ids != reference.image_ids:
        raise UsageError(f"{reference_name}: its predictions are of other images than the file's")
    labels = reference.labels
    ours, theirs = call(candidate.score, thresholds[0]), call(reference.score, thresholds[1])
    compared = compare_calls(labels, theirs, ours, margin=config.margin, confidence=config.confidence)
    held, area = compared.non_inferiority, _auc_difference(reference, candidate, config.confidence)
    reasons = (
        *findings,
        *_output_findings(candidate, reference, ours, theirs),
        *_reference_findings(reference, reference_name, config.confidence),
        *_sensitivity_findings(compared.sensitivity_pairs, held),
        *_ranking_findings(area, config.margin),
    )
    return VerdictRecord(
        reference=reference_name,
        candidate=precision,
        split=split,
        n=len(labels),
        n_positive=int(labels.sum()),
        sensitivity_difference=compared.sensitivity,
        specificity_difference=compared.specificity,
        auc_difference=area,
        sensitivity_mcnemar_p=compared.sensitivity_mcnemar_p,
        specificity_mcnemar_p=compared.specificity_mcnemar_p,
        sensitivity_pairs=compared.sensitivity_pairs,
        specificity_pairs=compared.specificity_pairs,
        sensitivity_lower_bound=held.lower,
        margin=config.margin,
        confidence=config.confidence,
        parity_passed=all(finding.check is not Check.PARITY for finding in reasons),
        positives_needed=held.n_needed,
        verdict=conclude(reasons),
        passed=_as_truth(conclude(reasons)),
        reasons=reasons,
        reference_threshold=thresholds[1],
        candidate_threshold=thresholds[0],
        decision_agreement=wilson(int((ours == theirs).sum()), len(labels), config.confidence),
        top_agreement=_top_agreement(candidate, reference, config.confidence),
        discordant=_discordant(candidate, reference, ours, theirs),
        worst_subgroup=_worst(candidate, thresholds[0], theirs, attributes or {}, config.confidence),
        artefact_sha256=artefact_sha256,
    )


def refuse(
    findings: Sequence[Finding],
    *,
    precision: Precision,
    reference_name: str,
    split: str,
    config: VerifyConfig,
    artefact_sha256: str | None,
) -> VerdictRecord:
    """The verdict on a file that could not be run or read: nothing was compared."""
    nothing, none = paired_difference(pairs([], []), config.confidence), pairs([], [])
    return VerdictRecord(
        reference=reference_name,
        candidate=precision,
        split=split,
        n=0,
        n_positive=0,
        sensitivity_difference=nothing,
        specificity_difference=nothing,
        auc_difference=None,
        sensitivity_mcnemar_p=1.0,
        specificity_mcnemar_p=1.0,
        sensitivity_pairs=none,
        specificity_pairs=none,
        sensitivity_lower_bound=None,
        margin=config.margin,
        confidence=config.confidence,
        parity_passed=False,
        positives_needed=None,
        verdict=Verdict.FAILED,
        passed=False,
        reasons=tuple(findings),
        artefact_sha256=artefact_sha256,
    )


def _as_truth(verdict: Verdict) -> bool | None:
    return None if verdict is Verdict.UNDECIDED else verdict is Verdict.PASSED


def _output_findings(
    candidate: Predictions, reference: Predictions, ours: Bools, theirs: Bools
) -> tuple[Finding, ...]:
    """Whether the outputs depend on the image, and the calls divide the images as the reference's do."""
    spread, usual = float(candidate.score.std()), float(reference.score.std())
    found = []
    if spread < _FLAT * usual or np.ptp(candidate.score) == 0:
        found.append(
            failed(Check.OUTPUTS, f"scores hardly vary: deviation {spread:.3g}, the reference's {usual:.3g}")
        )
    if (ours.all() or not ours.any()) and not (theirs.all() or not theirs.any()):
        which = "malignant" if ours.all() else "benign"
        found.append(failed(Check.OUTPUTS, f"every image is called {which}"))
    return tuple(found)


def _reference_findings(reference: Predictions, name: str, confidence: float) -> tuple[Finding, ...]:
    """Whether the reference itself finds malignancy: being no worse than one that does not means nothing.

    The assay sensitivity of ICH E10 (2000), section 1.5.
    """
    area = auc_interval(reference.labels, reference.score, confidence)
    if area.low is not None and area.low > _CHANCE:
        return ()
    positives = int(reference.labels.sum())
    told = (
        f"its AUC is {area.value:.3f} [{area.low:.3f}, {area.high:.3f}]"
        if area.low is not None
        else f"{positives} of {len(reference.labels)} images are malignant"
    )
    message = f"{name} is not shown to tell malignant from benign ({told}): to equal it proves nothing"
    return (Finding(check=Check.REFERENCE, verdict=Verdict.UNDECIDED, message=message),)


def _sensitivity_findings(counts: Pairs, held: NonInferiority) -> tuple[Finding, ...]:
    if held.verdict is Verdict.PASSED:
        return ()
    told = f"{counts.only_reference} lost and {counts.only_candidate} won of {counts.n} malignant images: "
    if held.verdict is Verdict.FAILED:
        message = f"{told}a loss of sensitivity of more than {held.margin:g} is shown"
    else:
        message = (
            f"{told}a loss of sensitivity of {held.margin:g} is neither excluded nor shown; about "
            f"{held.n_needed} malignant images would decide"
        )
    return (Finding(check=Check.SENSITIVITY, verdict=held.verdict, message=message),)


def _ranking_findings(area: Estimate | None, margin: float) -> tuple[Finding, ...]:
    """A threshold that was refitted holds the sensitivity of a file that ranks worse: its AUC tells."""
    if area is None or area.low is None or area.high is None or area.low >= -margin:
        return ()
    told = f"AUC changed by {area.value:+.3f} [{area.low:+.3f}, {area.high:+.3f}]"
    if area.high < -margin:
        return (failed(Check.RANKING, f"{told}: a loss of more than {margin:g} is shown"),)
    message = f"{told}: a loss of {margin:g} is neither excluded nor shown"
    return (Finding(check=Check.RANKING, verdict=Verdict.UNDECIDED, message=message),)


def _auc_difference(reference: Predictions, candidate: Predictions, confidence: float) -> Estimate | None:
    """DeLong's paired difference; null where a class has fewer than two images."""
    labels = reference.labels
    if min(labels.sum(), (~labels).sum()) < 2:
        return None
    return auc_difference(labels, reference.score, candidate.score, confidence)


def _top_agreement(candidate: Predictions, reference: Predictions, confidence: float) -> Estimate | None:
    if len(reference.names) == 1:
        return None
    ours, theirs = (np.array(p.names)[p.logits.argmax(axis=1)] for p in (candidate, reference))
    return wilson(int((ours == theirs).sum()), len(ours), confidence)


def _discordant(
    candidate: Predictions, reference: Predictions, ours: Bools, theirs: Bools
) -> tuple[Discordant, ...]:
    numbers = np.flatnonzero(ours != theirs)
    labels, scores = reference.labels, (reference.score, candidate.score)
    found = [
        Discordant(
            image_id=reference.image_ids[n],
            malignant=bool(labels[n]),
            outcome=Outcome.WON if ours[n] == labels[n] else Outcome.LOST,
            reference_score=float(scores[0][n]),
            candidate_score=float(scores[1][n]),
        )
        for n in numbers
    ]
    return tuple(sorted(found, key=lambda image: (not image.malignant, image.outcome is Outcome.WON)))


def _worst(
    candidate: Predictions,
    threshold: float,
    reference_called: Bools,
    attributes: Mapping[str, Sequence[str | None]],
    confidence: float,
) -> WorstSubgroup | None:
    labels, score = candidate.labels, candidate.score
    parts = [
        part
        for name, values in attributes.items()
        for part in subgroups(name, values, labels, score, threshold)
    ]
    worst = worst_subgroup(parts)
    if worst is None:
        return None
    inside = labels & np.array([value == worst.value for value in attributes[worst.attribute]])
    counts = pairs(reference_called[inside], call(score, threshold)[inside])
    return WorstSubgroup(
        attribute=worst.attribute,
        value=worst.value,
        n=worst.n,
        n_positive=worst.n_positive,
        sensitivity=worst.sensitivity,
        sensitivity_difference=paired_difference(counts, confidence),
    )
