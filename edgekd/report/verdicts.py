"""The section about verdicts: what each file lost against the float student, where, and for whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekd.config import VerifyConfig
from edgekd.metrics.paired import Verdict
from edgekd.metrics.subgroups import TOO_FEW
from edgekd.report import figures, words
from edgekd.report.blocks import Block, Cell, Figure, Listing, Prose, Section, Table, Tone, row
from edgekd.report.records import NETWORKS, Artefact, Records
from edgekd_converters.verdict import Discordant, VerdictRecord

_TONES = {Verdict.FAILED: Tone.BAD, Verdict.UNDECIDED: Tone.OPEN}


def verdict_section(records: Records) -> Section | None:
    """What each file lost against the float student, on the same images; None without a file."""
    if not records.artefacts:
        return None
    judged = [artefact for artefact in records.artefacts if artefact.verdict is not None]
    config = records.experiment.verify if records.experiment else VerifyConfig()
    blocks: list[Block] = [_rule(config)]
    if judged:
        margin = next(artefact.verdict.margin for artefact in judged if artefact.verdict)
        blocks += [_verdict_table(judged), *_reason_table(judged), _agreement_table(judged)]
        blocks.append(
            Figure(
                name="differences",
                caption="Change of sensitivity against the float student on the same malignant images, with "
                "its two-sided interval; dotted: the margin.",
                alternative="One dot with an interval per file, beside a line at zero and one at the margin.",
                svg=figures.differences(judged, margin),
            )
        )
    if any(artefact.parity for artefact in records.artefacts):
        blocks.append(_parity_table(records.artefacts))
    blocks += [_discordant_listing(artefact.name, verdict) for artefact, verdict in _pairs(judged)]
    return Section(
        anchor="verdict",
        title="What was lost on the way",
        lead="Each file against the float student it came from: same images, paired.",
        blocks=tuple(blocks),
    )


def _rule(config: VerifyConfig) -> Prose:
    return Prose(
        paragraphs=(
            f"Passed: a loss of sensitivity of {config.margin:g} or more is excluded (one-sided bound at "
            f"{100 * config.confidence:g} %, Tango 1998), and nothing else speaks against the file. Failed: "
            "such a loss is shown, of sensitivity or of AUC, or the file does not compute what its model "
            "computes (parity), does not run, or was calibrated on images it is judged by. Undecided: the "
            "malignant images are too few to say.",
            "Overlap of two separate intervals proves nothing, so none are compared: the differences are "
            "paired, and McNemar's exact p is given beside them.",
        )
    )


def _verdict_table(judged: Sequence[Artefact]) -> Table:
    first = max((verdict for _, verdict in _pairs(judged)), key=lambda verdict: verdict.n)
    return Table(
        caption=f"Differences are file − {NETWORKS.get(first.reference, first.reference)}, "
        f"{first.split} split, n = {first.n} images, {first.n_positive} malignant; "
        f"intervals at {100 * first.confidence:g} %.",
        columns=(
            *("file", "sensitivity", "lower bound", "McNemar p", "specificity", "McNemar p", "AUC"),
            *("lost / won", "malignant images needed", "verdict"),
        ),
        rows=tuple(_verdict_row(artefact.name, verdict) for artefact, verdict in _pairs(judged)),
    )


def _verdict_row(name: str, verdict: VerdictRecord) -> tuple[Cell, ...]:
    pairs = verdict.sensitivity_pairs
    return row(
        name,
        words.estimate(verdict.sensitivity_difference, signed=True),
        Cell(
            text=words.number(verdict.sensitivity_lower_bound, signed=True),
            note=f"must exceed {words.number(-verdict.margin)}",
        ),
        words.probability(verdict.sensitivity_mcnemar_p),
        words.estimate(verdict.specificity_difference, signed=True),
        words.probability(verdict.specificity_mcnemar_p),
        words.estimate(verdict.auc_difference, signed=True),
        Cell(text=f"{pairs.only_reference} / {pairs.only_candidate}", note=f"of {pairs.n} malignant"),
        Cell(text=words.whole(verdict.positives_needed), note=f"{verdict.n_positive} there"),
        words.verdict(verdict.verdict),
    )


def _pairs(judged: Sequence[Artefact]) -> Iterator[tuple[Artefact, VerdictRecord]]:
    return ((artefact, artefact.verdict) for artefact in judged if artefact.verdict is not None)


def _reason_table(judged: Sequence[Artefact]) -> tuple[Table, ...]:
    """Why files did not pass; nothing when all did."""
    reasons = [(artefact, finding) for artefact, verdict in _pairs(judged) for finding in verdict.reasons]
    if not reasons:
        return ()
    table = Table(
        caption="Why a file did not pass: every check that did not hold.",
        columns=("file", "check", "", "what was found"),
        rows=tuple(
            row(
                artefact.name,
                finding.check.replace("_", " "),
                Cell(text=finding.verdict.value, tone=_TONES.get(finding.verdict, Tone.PLAIN)),
                finding.message,
            )
            for artefact, finding in reasons
        ),
    )
    return (table,)


def _agreement_table(judged: Sequence[Artefact]) -> Table:
    return Table(
        caption="Agreement with the float student on the test images, each at its own threshold. Worst "
        f"subgroup: where the file finds the smallest share of the malignant images, of known values with at "
        f"least {TOO_FEW} of them; the change there is paired.",
        columns=(
            "file",
            "same call",
            "same diagnosis first",
            "worst subgroup",
            "sensitivity there",
            "change there",
        ),
        rows=tuple(_agreement_row(artefact.name, verdict) for artefact, verdict in _pairs(judged)),
    )


def _agreement_row(name: str, verdict: VerdictRecord) -> tuple[Cell, ...]:
    worst = verdict.worst_subgroup
    group = (
        Cell(text=worst.value, note=f"{worst.attribute}; {worst.n_positive} malignant of {worst.n}")
        if worst
        else Cell(text=words.ABSENT)
    )
    return row(
        name,
        words.estimate(verdict.decision_agreement),
        words.estimate(verdict.top_agreement),
        group,
        words.estimate(worst.sensitivity if worst else None),
        words.estimate(worst.sensitivity_difference if worst else None, signed=True),
    )


def _discordant_listing(name: str, verdict: VerdictRecord) -> Listing:
    malignant = sum(image.malignant for image in verdict.discordant)
    return Listing(
        title=f"{name}: called otherwise than by the float student: {malignant} malignant and "
        f"{len(verdict.discordant) - malignant} benign images of {verdict.n}",
        items=tuple(_discordant_line(image) for image in verdict.discordant),
    )


def _discordant_line(image: Discordant) -> str:
    kind = "malignant" if image.malignant else "benign"
    scores = (words.number(score, signed=True) for score in (image.reference_score, image.candidate_score))
    return f"{image.image_id}: {kind}, {image.outcome.value}, score {' → '.join(scores)}"


def _parity_table(artefacts: Sequence[Artefact]) -> Table:
    return Table(
        caption="Parity: the file's logits against those of its Keras twin on validation images. A step is "
        "one step of an 8-bit output.",
        columns=("file", "twin", "images", "mean |difference|", "largest", "same decision", "criterion", ""),
        rows=tuple(
            row(
                artefact.name,
                NETWORKS.get(parity.twin, parity.twin),
                words.whole(parity.n_images),
                _difference(parity.mean_absolute_difference_logits, parity.mean_absolute_difference_steps),
                _difference(parity.max_absolute_difference_logits, parity.max_absolute_difference_steps),
                f"{100 * parity.decision_agreement:.1f} %",
                Cell(text=f"≤ {parity.limit:g}", note=parity.criterion.replace("_", " ")),
                Cell(text="passed", tone=Tone.GOOD) if parity.passed else Cell(text="failed", tone=Tone.BAD),
            )
            for artefact in artefacts
            if (parity := artefact.parity) is not None
        ),
    )


def _difference(logits: float, steps: float | None) -> Cell:
    return Cell(text=f"{logits:.2g} logits", note="" if steps is None else f"{steps:.2f} steps")
