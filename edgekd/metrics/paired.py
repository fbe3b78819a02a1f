"""Two artefacts on the same images: McNemar's test, paired differences, non-inferiority."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm

from edgekd.errors import DataError
from edgekd.metrics.binary import as_labels, require_both
from edgekd.metrics.intervals import CONFIDENCE, Estimate, last_accepted, two_sided_z
from edgekd.metrics.ranking import delong

POWER = 0.80


class Verdict(enum.StrEnum):
    """What the data say about a loss of at most the margin: excluded, shown, or neither."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Images of one class, by which of two artefacts was right about them."""

    both: int
    only_reference: int
    only_candidate: int
    neither: int

    @property
    def n(self) -> int:
        """The number of images."""
        return self.both + self.only_reference + self.only_candidate + self.neither


@dataclass(frozen=True, kw_only=True)
class NonInferiority:
    """Whether the candidate's proportion falls short of the reference's by less than `margin`.

    `difference` is candidate − reference; `lower` and `upper` are its two one-sided bounds, each at
    `confidence`. `passed`: lower > −margin; `failed`: upper < −margin; else `undecided`. `n` images were
    compared and `n_needed` would be needed to pass with a power of 0.80 (see `images_needed`).
    """

    verdict: Verdict
    difference: float | None
    lower: float | None
    upper: float | None
    margin: float
    confidence: float
    method: str
    n: int
    n_needed: int


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """Two artefacts on the same images, each at its own threshold; differences are candidate − reference."""

    sensitivity: Estimate
    specificity: Estimate
    sensitivity_pairs: Pairs
    specificity_pairs: Pairs
    sensitivity_mcnemar_p: float
    specificity_mcnemar_p: float
    non_inferiority: NonInferiority


def compare_calls(
    y_true: ArrayLike,
    reference_called: ArrayLike,
    candidate_called: ArrayLike,
    *,
    margin: float,
    confidence: float = CONFIDENCE,
) -> PairedComparison:
    """How the calls of a candidate differ from those of a reference, and whether its sensitivity holds.

    All bool [n]; the images must be the same ones in the same order. Intervals of the differences are
    two-sided at `confidence`; non-inferiority of the sensitivity is one-sided at `confidence`.

    Raises:
        DataError: the lengths differ, or `margin` lies outside (0, 1).
    """
    labels, reference, candidate = as_labels(y_true), as_labels(reference_called), as_labels(candidate_called)
    if not labels.shape == reference.shape == candidate.shape:
        raise DataError(
            f"{labels.size} labels, {reference.size} reference and {candidate.size} candidate calls: "
            "a paired comparison needs the same images"
        )
    malignant = pairs(reference[labels], candidate[labels])
    benign = pairs(~reference[~labels], ~candidate[~labels])
    return PairedComparison(
        sensitivity=paired_difference(malignant, confidence),
        specificity=paired_difference(benign, confidence),
        sensitivity_pairs=malignant,
        specificity_pairs=benign,
        sensitivity_mcnemar_p=mcnemar(malignant),
        specificity_mcnemar_p=mcnemar(benign),
        non_inferiority=non_inferiority(malignant, margin=margin, confidence=confidence),
    )


def pairs(reference_right: ArrayLike, candidate_right: ArrayLike) -> Pairs:
    """The counts of two artefacts being right (bool [n] each, n may be 0) about the same images."""
    reference, candidate = np.asarray(reference_right, np.bool_), np.asarray(candidate_right, np.bool_)
    return Pairs(
        both=int((reference & candidate).sum()),
        only_reference=int((reference & ~candidate).sum()),
        only_candidate=int((~reference & candidate).sum()),
        neither=int((~reference & ~candidate).sum()),
    )


def mcnemar(counts: Pairs) -> float:
    """The two-sided exact p of McNemar's test: the discordant images against a fair coin; 1 without any."""
    discordant = counts.only_reference + counts.only_candidate
    if not discordant:
        return 1.0
    return float(binomtest(counts.only_candidate, discordant, 0.5).pvalue)


def paired_difference(counts: Pairs, confidence: float = CONFIDENCE) -> Estimate:
    """The difference of two paired proportions, candidate − reference, with the score interval of Tango 1998.

    Statistics in Medicine 17:891–908. The interval holds every δ that the score test does not reject:
    (d − δ)² ≤ z² (2q + δ(1 − δ)) / n, with q the likeliest share of `only_reference` given δ. It stays
    within ±1 and is not empty without discordant images. All None for n = 0.
    """
    z, method, n = two_sided_z(confidence), f"tango_1998({confidence:g})", counts.n
    if n == 0:
        return Estimate(value=None, low=None, high=None, method=method)
    observed = (counts.only_candidate - counts.only_reference) / n

    def accepted(delta: float) -> bool:
        return (observed - delta) ** 2 * n <= z * z * _variance_under(counts, delta)

    return Estimate(
        value=observed,
        low=last_accepted(accepted, observed, -1.0),
        high=last_accepted(accepted, observed, 1.0),
        method=method,
    )


def _variance_under(counts: Pairs, delta: float) -> float:
    """n times the variance of the difference, were it `delta`: 2q + δ(1 − δ), q by Tango's equation."""
    lost, won = counts.only_reference / counts.n, counts.only_candidate / counts.n
    return 2 * _likeliest_lost(lost, won, delta) + delta * (1 - delta)


def _likeliest_lost(lost: float, won: float, delta: float) -> float:
    """The share lost that is likeliest given shares `lost` and `won` and a difference of `delta`.

    The larger root of 2q² + (δ(2 − won + lost) − won − lost) q − lost·δ(1 − δ) = 0.
    """
    b = delta * (2 - won + lost) - won - lost
    c = -lost * delta * (1 - delta)
    return (math.sqrt(max(b * b - 8 * c, 0.0)) - b) / 4


def non_inferiority(counts: Pairs, *, margin: float, confidence: float = CONFIDENCE) -> NonInferiority:
    """Whether the candidate loses less than `margin` against the reference, by Tango's one-sided bounds.

    Raises:
        DataError: `margin` lies outside (0, 1), or `confidence` outside (0.5, 1).
    """
    if not 0 < margin < 1 or not 0.5 < confidence < 1:
        raise DataError(f"margin is {margin}, confidence {confidence}: expected (0, 1) and (0.5, 1)")
    both_sides = paired_difference(counts, 2 * confidence - 1)
    return NonInferiority(
        verdict=_verdict(both_sides.low, both_sides.high, margin),
        difference=both_sides.value,
        lower=both_sides.low,
        upper=both_sides.high,
        margin=margin,
        confidence=confidence,
        method=f"tango_1998, one-sided({confidence:g})",
        n=counts.n,
        n_needed=images_needed(counts, margin=margin, confidence=confidence),
    )


def _verdict(lower: float | None, upper: float | None, margin: float) -> Verdict:
    if lower is None or upper is None:
        return Verdict.UNDECIDED
    if lower > -margin:
        return Verdict.PASSED
    return Verdict.FAILED if upper < -margin else Verdict.UNDECIDED


def images_needed(
    counts: Pairs, *, margin: float, confidence: float = CONFIDENCE, power: float = POWER
) -> int:
    """How many images of the class a non-inferiority decision needs, planned on the discordance seen here.

    n = ((z_confidence √v₀ + z_power √v₁) / margin)², supposing no true difference; v₁ = the share of
    discordant images, v₀ = the variance under a loss of exactly `margin` at that discordance (Nam 1997,
    Biometrics 53:1422–1430). Without discordant images (or without any to plan on) it is the n at which
    Tango's bound passes: the fewest that can decide.
    """
    discordant = (counts.only_reference + counts.only_candidate) / max(counts.n, 1)
    half = discordant / 2
    under_margin = 2 * _likeliest_lost(half, half, -margin) - margin * (1 + margin)
    z_confidence, z_power = float(norm.ppf(confidence)), float(norm.ppf(power))
    root = z_confidence * math.sqrt(under_margin) + z_power * math.sqrt(discordant)
    return math.ceil((root / margin) ** 2)


def auc_difference(
    y_true: ArrayLike, reference: ArrayLike, candidate: ArrayLike, confidence: float = CONFIDENCE
) -> Estimate:
    """The difference of two AUCs on the same images, candidate − reference, with DeLong's paired interval.

    Raises:
        DataError: fewer than two images of a class.
    """
    require_both(as_labels(y_true), "a difference of AUCs")
    areas, covariance = delong(y_true, reference, candidate)
    value = float(areas[1] - areas[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    half = two_sided_z(confidence) * math.sqrt(max(variance, 0.0))
    return Estimate(
        value=value,
        low=max(value - half, -1.0),
        high=min(value + half, 1.0),
        method=f"delong_paired({confidence:g})",
    )
