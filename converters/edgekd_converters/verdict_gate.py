"""`require_passed`: what stands between a verified file and its bundle."""

from __future__ import annotations

import math
from pathlib import Path

from edgekd.card import ModelCard, read_card
from edgekd.config import VerifyConfig
from edgekd.errors import ContractError, EdgekdError
from edgekd.metrics.evaluation import read_evaluation
from edgekd.metrics.operating_point import fit_threshold
from edgekd.metrics.paired import Verdict
from edgekd.metrics.predictions import read_predictions
from edgekd.plain import digest, file_digest, from_plain, read_json
from edgekd.runtimes.evaluate import EVALUATION, VALIDATION_PREDICTIONS
from edgekd_converters.export import CARD
from edgekd_converters.verdict import VERDICT, VerdictRecord

_ANOTHER_MACHINE = 1e-9  # relative: exp and log may differ in the last places


def require_passed(
    verified: Path, artefact: Path, *, config: VerifyConfig, allow_undecided: bool = False
) -> ModelCard:
    """The completed card of `artefact`, whose records lie in the folder `verified`, when it may be shipped.

    Nothing is taken on trust: the digest of the file, the threshold (refitted here on the file's own
    validation predictions) and the margin must be those of the records. An undecided verdict is refused
    unless `allow_undecided` says that somebody has decided to ship it.

    Raises:
        ContractError: it must not be shipped; the reasons are named.
    """
    try:
        verdict = from_plain(VerdictRecord, read_json(verified / VERDICT), "verdict")
        _require_verdict(verdict, allow_undecided)
        card = read_card(verified / CARD)
        problem = _contradiction(verified, artefact, verdict, card, config)
    except ContractError as error:
        raise ContractError(f"{artefact}: {error}") from error
    except (EdgekdError, OSError, ValueError) as error:
        raise ContractError(f"{artefact}: not verified ({error}); run edgekd verify") from error
    if problem:
        raise ContractError(f"{artefact}: {problem}; run edgekd verify again")
    return card


def artefact_digest(artefact: Path) -> str:
    """The sha256 of a file; of a package that of the names and digests of all files in it."""
    if not artefact.is_dir():
        return file_digest(artefact)
    files = sorted(path for path in artefact.rglob("*") if path.is_file())
    return digest({path.relative_to(artefact).as_posix(): file_digest(path) for path in files})


def _require_verdict(verdict: VerdictRecord, allow_undecided: bool) -> None:
    if verdict.verdict is Verdict.PASSED and verdict.passed and not verdict.reasons:
        return
    if verdict.verdict is Verdict.UNDECIDED and allow_undecided:
        return
    reasons = "; ".join(f"{finding.check}: {finding.message}" for finding in verdict.reasons)
    raise ContractError(f"{verdict.verdict}, so it is not shipped ({reasons or 'no reason on record'})")


def _contradiction(
    verified: Path, artefact: Path, verdict: VerdictRecord, card: ModelCard, config: VerifyConfig
) -> str:
    """The first thing that is not as the records say; empty when everything is."""
    if verdict.artefact_sha256 != artefact_digest(artefact):
        return "the file is not the one that was verified"
    if {verdict.margin, card.margin} != {config.margin}:
        return f"verified with a margin of {verdict.margin:g}, asked for is {config.margin:g}"
    validation = read_predictions(verified / VALIDATION_PREDICTIONS, card.malignant)
    fitted = fit_threshold(validation.labels, validation.score, config.rule, config.target)
    told = [card.operating_point, read_evaluation(verified / EVALUATION).operating_point]
    for point in told:
        if point is None or point.rule != fitted.rule or not _close(point.threshold, fitted.threshold):
            return (
                f"its threshold is {point.threshold if point else None}, but its own validation predictions "
                f"give {fitted.threshold:.6g} by {fitted.rule}: a threshold is fitted for each file anew"
            )
    return ""


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_ANOTHER_MACHINE, abs_tol=_ANOTHER_MACHINE)
