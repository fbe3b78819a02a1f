"""What `verify` answers about one file: may it replace the float student? And if not, why not?"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from edgekd.errors import UsageError
from edgekd.metrics.intervals import Estimate
from edgekd.metrics.paired import Pairs, Verdict

SCHEMA = "edgekd.verdict/1"
VERDICT = "verdict.json"


class Check(enum.StrEnum):
    """What is asked of a file, in the order of asking."""

    CARD = "card"
    CALIBRATION = "calibration"
    RUNS = "runs"
    OPERATING_POINT = "operating_point"
    PARITY = "parity"
    OUTPUTS = "outputs"
    REFERENCE = "reference"
    SENSITIVITY = "sensitivity"
    RANKING = "ranking"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One reason why a file is not passed: the check it did not hold, and in words how."""

    check: Check
    verdict: Verdict
    message: str


class Outcome(enum.StrEnum):
    """Who was right about an image on which two calls differ: the reference (lost) or the candidate (won)."""

    LOST = "lost"
    WON = "won"


@dataclass(frozen=True, kw_only=True)
class Discordant:
    """An image that reference and candidate call differently, with both scores (log odds)."""

    image_id: str
    malignant: bool
    outcome: Outcome
    reference_score: float
    candidate_score: float


@dataclass(frozen=True, kw_only=True)
class WorstSubgroup:
    """The part of the images where the candidate finds the smallest share of the malignant ones.

    By the rule of `edgekd.metrics.subgroups.worst_subgroup`: ten malignant images or more, a known value of
    an attribute that divides the images. `sensitivity_difference` is candidate − reference, paired, there.
    """

    attribute: str
    value: str
    n: int
    n_positive: int
    sensitivity: Estimate
    sensitivity_difference: Estimate


@dataclass(frozen=True, kw_only=True)
class VerdictRecord:
    """Whether a file may replace the reference, and why not (schema edgekd.verdict/1).

    Both are judged on the same images of `split`, each at the threshold fitted for it on validation;
    differences are candidate − reference, with two-sided intervals at `confidence`. Sensitivity holds when
    the one-sided lower bound of its loss stays above −`margin`. `reasons` lists every check that did not
    hold: one that failed makes the verdict `failed`, else one that could not be decided `undecided`, else it
    is `passed`; `passed` says the same as true, null and false. `positives_needed` is how many malignant
    images a decision would take. `decision_agreement` is the share of images called alike, `top_agreement`
    of those whose most likely diagnosis is the same (null with a single logit). `discordant` lists the
    images called differently, malignant ones first. `artefact_sha256` is the digest of what was judged. A
    file that could not be run is compared on n = 0 images.
    """

    schema: str = SCHEMA
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
    reasons: tuple[Finding, ...] = ()
    reference_threshold: float | None = None
    candidate_threshold: float | None = None
    decision_agreement: Estimate | None = None
    top_agreement: Estimate | None = None
    discordant: tuple[Discordant, ...] = ()
    worst_subgroup: WorstSubgroup | None = None
    artefact_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"verdict: schema is {self.schema!r}, expected {SCHEMA!r}")


def failed(check: Check, message: str) -> Finding:
    """The finding that `check` does not hold."""
    return Finding(check=check, verdict=Verdict.FAILED, message=message)


def conclude(reasons: Sequence[Finding]) -> Verdict:
    """Failed by one failed check, else undecided by one undecided; passed only without any reason."""
    told = {finding.verdict for finding in reasons}
    return next((v for v in (Verdict.FAILED, Verdict.UNDECIDED) if v in told), Verdict.PASSED)
