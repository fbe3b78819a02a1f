"""The section about the exported files: what they cost, and what each finds."""

from __future__ import annotations

from edgekd.metrics.evaluation import EvaluationRecord
from edgekd.report import figures, words
from edgekd.report.blocks import Block, Cell, Figure, Section, Table, Tile, Tone, row
from edgekd.report.records import Artefact, Records
from edgekd_bench.record import BenchRecord

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
        f"after warm-up, {_devices(records)}. Same call: the share of images the float student calls "
        "alike. Intervals are 95 %.",
        columns=(
            *("file", "size", *latency, "peak memory", "AUC", "sensitivity", "specificity"),
            *("threshold", "change of sensitivity", "same call", "verdict"),
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
        words.estimate(verdict.decision_agreement if verdict else None),
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
