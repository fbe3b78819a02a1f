"""The sections about judgement: how well lesions are ranked and called, which are missed, for whom."""

from __future__ import annotations

from collections.abc import Sequence

from edgekd.metrics.evaluation import EvaluationRecord, PredictiveValues
from edgekd.metrics.intervals import Estimate
from edgekd.metrics.subgroups import TOO_FEW, Subgroup, worst_subgroup
from edgekd.report import figures, words
from edgekd.report.blocks import Block, Cell, Figure, Listing, Section, Table, Tone, row
from edgekd.report.files import circumstances, rules, sensitivity, specificity, threshold
from edgekd.report.records import Network, Records

_INT8 = "int8"


def candidate(records: Records) -> Network | None:
    """The network a reader will want to know most about: int8, else the last file, else the last network."""
    judged = records.judged()
    named = [network for network in judged if network.name == _INT8]
    return next(iter(named or reversed(judged)), None)


def accuracy_section(records: Records) -> Section | None:
    """Teacher, students and files side by side; None without any evaluation."""
    judged = records.judged()
    if not judged:
        return None
    drawn = _drawable(judged)
    blocks: list[Block] = [_network_table(records, judged)]
    if drawn:
        blocks.append(_roc_figure(records, drawn))
    return Section(
        anchor="accuracy",
        title="Teacher, students, files",
        lead="Every network was judged on the same test images; thresholds were fixed on validation before.",
        blocks=(*blocks, _curve_table(records, judged)),
    )


def _drawable(judged: Sequence[Network]) -> list[Network]:
    """The networks whose predictions hold both classes."""
    return [
        network
        for network in judged
        if network.predictions is not None
        and 0 < network.predictions.labels.sum() < len(network.predictions.labels)
    ]


def _network_table(records: Records, judged: Sequence[Network]) -> Table:
    return Table(
        caption=f"On the {circumstances(records)}; {rules(records)}. Intervals: {_methods(judged)}.",
        columns=("network", "AUC", "sensitivity", "specificity", "threshold", "engine"),
        rows=tuple(
            row(
                network.name,
                words.estimate(record.auc),
                sensitivity(record),
                specificity(record),
                threshold(record),
                words.engine(record.engine),
            )
            for network, record in _pairs(judged)
        ),
    )


def _pairs(judged: Sequence[Network]) -> list[tuple[Network, EvaluationRecord]]:
    return [(network, network.evaluation) for network in judged if network.evaluation is not None]


def _methods(judged: Sequence[Network]) -> str:
    found = {
        estimate.method
        for _, record in _pairs(judged)
        for estimate in (record.auc, record.sensitivity, record.specificity)
    }
    return "; ".join(sorted(found))


def _roc_figure(records: Records, drawn: Sequence[Network]) -> Figure:
    return Figure(
        name="roc",
        caption=f"ROC curves, {circumstances(records)}. A dot is an operating point, fixed on validation.",
        alternative="Sensitivity against 1 − specificity of every network; the areas stand in the table.",
        svg=figures.roc(drawn),
    )


def _curve_table(records: Records, judged: Sequence[Network]) -> Table:
    return Table(
        caption=f"What the curves offer elsewhere, {circumstances(records)}: found on these very images, so "
        "a description, not a promise. Partial AUC: specificity ≥ 0.80, standardised (McClish 1989).",
        columns=(
            "network",
            *("sensitivity at specificity 0.80", "at 0.90"),
            *("specificity at sensitivity 0.90", "at 0.95"),
            "partial AUC",
        ),
        rows=tuple(
            row(
                network.name,
                words.number(record.curve.sensitivity_at_specificity_80),
                words.number(record.curve.sensitivity_at_specificity_90),
                words.number(record.curve.specificity_at_sensitivity_90),
                words.number(record.curve.specificity_at_sensitivity_95),
                words.number(record.curve.partial_auc_specificity_80),
            )
            for network, record in _pairs(judged)
        ),
    )


def errors_section(records: Records) -> Section | None:
    """The four counts, the missed lesions by name, and what a call is worth; None without evaluation."""
    judged = _pairs(records.judged())
    if not judged:
        return None
    blocks: list[Block] = [_confusion_table(records, judged)]
    blocks += [
        Listing(
            title=f"{network.name}: {len(record.false_negatives)} malignant images missed of "
            f"{record.n_positive}",
            items=record.false_negatives,
        )
        for network, record in judged
    ]
    blocks.append(_value_table(judged))
    drawn = _drawable(_shown(records))
    if drawn:
        blocks.append(_benefit_figure(records, drawn))
    return Section(
        anchor="errors",
        title="What is missed",
        lead="Counts at the operating point. A missed malignancy is the worst error, so each is named.",
        blocks=tuple(blocks),
    )


def _shown(records: Records) -> list[Network]:
    """The few networks that crowded figures show: teacher, float student, and the candidate."""
    wanted = [records.networks.get("teach"), records.reference, candidate(records)]
    return list({network.name: network for network in wanted if network and network.evaluation}.values())


def _confusion_table(records: Records, judged: Sequence[tuple[Network, EvaluationRecord]]) -> Table:
    return Table(
        caption=f"Images by truth and call, {circumstances(records)}.",
        columns=(
            "network",
            *("malignant, called malignant", "malignant, missed"),
            *("benign, called benign", "benign, called malignant"),
        ),
        rows=tuple(
            row(
                network.name,
                words.whole(record.confusion.true_positive),
                words.whole(record.confusion.false_negative),
                words.whole(record.confusion.true_negative),
                words.whole(record.confusion.false_positive),
            )
            for network, record in judged
        ),
    )


def _value_table(judged: Sequence[tuple[Network, EvaluationRecord]]) -> Table:
    worth = [{value.prevalence: value for value in record.predictive_values} for _, record in judged]
    prevalences = sorted({prevalence for values in worth for prevalence in values})
    return Table(
        caption="What a call is worth where malignancy is as common as stated (Bayes' theorem from the "
        "sensitivity and specificity above): positive / negative predictive value, fractions.",
        columns=("network", *(f"prevalence {100 * prevalence:g} %" for prevalence in prevalences)),
        rows=tuple(
            row(network.name, *(_worth(values.get(prevalence)) for prevalence in prevalences))
            for (network, _), values in zip(judged, worth, strict=True)
        ),
    )


def _worth(value: PredictiveValues | None) -> str:
    return f"{words.number(value.positive)} / {words.number(value.negative)}" if value else words.ABSENT


def _benefit_figure(records: Records, drawn: Sequence[Network]) -> Figure:
    return Figure(
        name="net_benefit",
        caption=f"Net benefit (Vickers & Elkin 2006), {circumstances(records)}: true calls less false ones, "
        "weighed by the odds of the probability at which one would act.",
        alternative="Net benefit per image over threshold probability, beside calling every lesion and none.",
        svg=figures.net_benefit(drawn),
    )


def calibration_section(records: Records) -> Section | None:
    """Whether probabilities can be believed; None without evaluation."""
    judged = records.judged()
    if not judged:
        return None
    drawn = _drawable(_shown(records))
    table = Table(
        caption=f"Probability = sigmoid(score / temperature), {circumstances(records)}. ECE: ten bins of "
        "equal mass. Ideal: Brier and ECE 0, slope 1, intercept 0. Intervals at 95 %, by bootstrap.",
        columns=("network", "Brier", "ECE", "slope", "intercept", "temperature"),
        rows=tuple(
            row(
                network.name,
                _bounded(record.brier, record.brier_interval),
                _bounded(record.ece, record.ece_interval),
                words.number(record.calibration_slope, 2),
                words.number(record.calibration_intercept, 2, signed=True),
                words.number(record.temperature, 2),
            )
            for network, record in _pairs(judged)
        ),
    )
    return Section(
        anchor="calibration",
        title="Can the probabilities be believed?",
        lead="The temperature was fitted on validation. The threshold acts on the score and does not depend "
        "on it.",
        blocks=(table, _calibration_figure(records, drawn)) if drawn else (table,),
    )


def _bounded(value: float, interval: Estimate | None) -> Cell:
    """A figure with its interval, where the record has one."""
    return Cell(text=words.number(value), note=words.interval(interval) if interval else "")


def _calibration_figure(records: Records, drawn: Sequence[Network]) -> Figure:
    return Figure(
        name="calibration",
        caption=f"Calibration, ten bins of equal mass, {circumstances(records)}.",
        alternative="Observed share of malignant images against predicted probability, and the diagonal.",
        svg=figures.calibration_plot(drawn),
    )


def subgroup_section(records: Records) -> Section | None:
    """The candidate's figures per age band, sex, site and source; None where there are none."""
    network = candidate(records)
    if network is None or network.evaluation is None or not network.evaluation.subgroups:
        return None
    worst = worst_subgroup(network.evaluation.subgroups)
    table = Table(
        caption=f"{network.name}, {circumstances(records)}, at its one threshold. “Too few” marks fewer than "
        f"{TOO_FEW} malignant images: not to be read as a finding. “Lowest” marks the lowest sensitivity of "
        "the others.",
        columns=("group", "images", "malignant", "AUC", "sensitivity", "specificity", ""),
        rows=tuple(
            row(
                Cell(text=group.value, note=group.attribute),
                words.whole(group.n),
                words.whole(group.n_positive),
                words.estimate(group.auc),
                words.estimate(group.sensitivity),
                words.estimate(group.specificity),
                _mark(group, worst),
            )
            for group in network.evaluation.subgroups
        ),
    )
    return Section(
        anchor="subgroups",
        title="For whom?",
        lead=f"{network.name} in parts of the test images; the other networks are in their evaluation.json.",
        blocks=(table,),
    )


def _mark(group: Subgroup, worst: Subgroup | None) -> Cell:
    if group.too_few:
        return Cell(text="too few", tone=Tone.OPEN)
    return Cell(text="lowest", tone=Tone.BAD) if group is worst else Cell(text="")
