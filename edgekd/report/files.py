"""The sections about the exported files: what they cost, and what they lost against the float student."""

from __future__ import annotations

from edgekd.config import VerifyConfig
from edgekd.metrics.evaluation import EvaluationRecord
from edgekd.report import figures, words
from edgekd.report.blocks import Block, Cell, Figure, Prose, Section, Table, Tile, Tone, row
from edgekd.report.records import NETWORKS, Artefact, Records
from edgekd_bench.record import BenchRecord
from edgekd_converters.verdict import VerdictRecord

_DEFAULT_THREADS = (1, 2)


def tiles(records: Records) -> tuple[Tile, ...]:
    """Every file at a glance."""
    return tuple(_tile(artefact, _threads(records)[0]) for artefact in records.artefacts)


def _tile(artefact: Artefact, threads: int) -> Tile:
    record, timing = artefact.evaluation, artefact.bench(threads)
    p50 = timing.latency_ms.p50 if timing and timing.latency_ms else None
    return Tile(
        title=artefact.name,
        verdict=words.verdict(artefact.verdict.verdict if artefact.verdict else None),
        facts=(
            ("size", words.megabytes(artefact.size_bytes)),
            (f"p50, {words.threads(threads)}", words.milliseconds(p50)),
            ("sensitivity", words.number(record.sensitivity.value if record else None)),
            ("specificity", words.number(record.specificity.value if record else None)),
        ),
    )


def files_section(records: Records) -> Section | None:
    """The table of files and the picture of what they cost; None without a file."""
    if not records.artefacts:
        return None
    threads = _threads(records)
    blocks: list[Block] = [_file_table(records, threads)]
    if any(artefact.evaluation or artefact.size_bytes for artefact in records.artefacts):
        blocks.append(_cost_figure(records, threads[0]))
    return Section(
        anchor="files",
        title="The files",
        lead="What can be copied to a phone: how large, how fast, and what each finds on the test images.",
        blocks=tuple(blocks),
    )


def _threads(records: Records) -> tuple[int, ...]:
    configured = records.experiment.bench.threads if records.experiment else _DEFAULT_THREADS
    return tuple(sorted(configured))


def _file_table(records: Records, threads: tuple[int, ...]) -> Table:
    latency = tuple(f"latency, {words.threads(count)}" for count in threads)
    return Table(
        caption=f"On the {circumstances(records)}; {rules(records)}. Latency: p50 with p90 below, one image, "
        f"after warm-up, {_devices(records)}. Intervals are 95 %.",
        columns=(
            *("file", "size", *latency, "peak memory", "AUC", "sensitivity", "specificity"),
            *("threshold", "change of sensitivity", "verdict"),
        ),
        rows=tuple(_file_row(artefact, threads) for artefact in records.artefacts),
    )


def _file_row(artefact: Artefact, threads: tuple[int, ...]) -> tuple[Cell, ...]:
    record, verdict = artefact.evaluation, artefact.verdict
    return row(
        artefact.name,
        words.megabytes(artefact.size_bytes),
        *(_latency(artefact.bench(count)) for count in threads),
        _memory(artefact.bench(threads[0])),
        words.estimate(record.auc if record else None),
        sensitivity(record),
        specificity(record),
        threshold(record),
        words.estimate(verdict.sensitivity_difference if verdict else None, signed=True),
        words.verdict(verdict.verdict if verdict else None),
    )


def circumstances(records: Records) -> str:
    """Split, n and prevalence of the test images, for captions."""
    judged = records.judged()
    if not judged or judged[0].evaluation is None:
        return "No evaluation is there"
    record = judged[0].evaluation
    prevalence = words.share(record.n_positive, record.n)
    return f"{record.split} split, n = {record.n} images, {record.n_positive} malignant ({prevalence})"


def rules(records: Records) -> str:
    """How the thresholds were found, for captions."""
    points = [network.evaluation.operating_point for network in records.judged() if network.evaluation]
    found = {f"{point.rule} on {point.fitted_on}" for point in points}
    return f"thresholds by {', '.join(sorted(found))}" if found else "no thresholds"


def _devices(records: Records) -> str:
    found = {
        f"{bench.device.cpu}, {bench.device.cores} cores"
        for artefact in records.artefacts
        for bench in artefact.benches
    }
    return "; ".join(sorted(found)) or "not measured"


def sensitivity(record: EvaluationRecord | None) -> Cell:
    """Sensitivity with interval and counts."""
    if record is None:
        return Cell(text=words.ABSENT)
    found = record.confusion.true_positive
    return words.estimate(record.sensitivity, counts=f"{found} of {record.n_positive}")


def specificity(record: EvaluationRecord | None) -> Cell:
    """Specificity with interval and counts."""
    if record is None:
        return Cell(text=words.ABSENT)
    found = record.confusion.true_negative
    return words.estimate(record.specificity, counts=f"{found} of {record.n - record.n_positive}")


def threshold(record: EvaluationRecord | None) -> Cell:
    """The operating point."""
    if record is None:
        return Cell(text=words.ABSENT)
    return Cell(text=words.number(record.operating_point.threshold), note="log odds")


def _latency(bench: BenchRecord | None) -> Cell:
    if bench is None or bench.latency_ms is None:
        return Cell(text=words.ABSENT)
    note = f"p90 {words.milliseconds(bench.latency_ms.p90)}, {bench.latency_ms.n} runs"
    if bench.noise:
        return Cell(text=words.milliseconds(bench.latency_ms.p50), note=f"{note}, noisy", tone=Tone.OPEN)
    return Cell(text=words.milliseconds(bench.latency_ms.p50), note=note)


def _memory(bench: BenchRecord | None) -> str:
    return words.mebibytes(bench.peak_memory_bytes if bench else None)


def _cost_figure(records: Records, threads: int) -> Figure:
    margin = records.experiment.verify.margin if records.experiment else None
    return Figure(
        name="costs",
        caption="Size, latency and sensitivity of every file. The full line is the float student's "
        "sensitivity, the dotted one the least that is tolerated (the margin below it).",
        alternative="Three rows of bars, one bar per file; the same numbers stand in the table above.",
        svg=figures.costs(records.artefacts, threads, margin, records.reference),
    )


def verdict_section(records: Records) -> Section | None:
    """What each file lost against the float student, on the same images; None without a file."""
    if not records.artefacts:
        return None
    judged = [artefact for artefact in records.artefacts if artefact.verdict is not None]
    config = records.experiment.verify if records.experiment else VerifyConfig()
    blocks: list[Block] = [_rule(config)]
    if judged:
        margin = next(artefact.verdict.margin for artefact in judged if artefact.verdict)
        blocks.append(_verdict_table(judged))
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
            f"{100 * config.confidence:g} %, Tango 1998). Failed: such a loss is shown, or the file does not "
            "compute what its model computes (parity). Undecided: the malignant images are too few to say.",
            "Overlap of two separate intervals proves nothing, so none are compared: the differences are "
            "paired, and McNemar's exact p is given beside them.",
        )
    )


def _verdict_table(judged: list[Artefact]) -> Table:
    first = next(artefact.verdict for artefact in judged if artefact.verdict)
    return Table(
        caption=f"Differences are file − {NETWORKS.get(first.reference, first.reference)}, "
        f"{first.split} split, n = {first.n} images, {first.n_positive} malignant; "
        f"intervals at {100 * first.confidence:g} %.",
        columns=(
            *("file", "sensitivity", "lower bound", "McNemar p", "specificity", "McNemar p", "AUC"),
            *("lost / won", "malignant images needed", "verdict"),
        ),
        rows=tuple(_verdict_row(artefact.name, artefact.verdict) for artefact in judged if artefact.verdict),
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


def _parity_table(artefacts: tuple[Artefact, ...]) -> Table:
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
