"""The section about the measurements: every job with its circumstances."""

from __future__ import annotations

from edgekd.report import words
from edgekd.report.blocks import Cell, Section, Table, Tone, row
from edgekd.report.records import Records
from edgekd_bench.record import BenchRecord
from edgekd_bench.round import Status


def bench_section(records: Records) -> Section | None:
    """Every measurement with its circumstances; None where nothing was measured."""
    measured = [bench for artefact in records.artefacts for bench in artefact.benches]
    if not measured:
        return None
    return Section(
        anchor="bench",
        title="How it was timed",
        lead="A latency belongs to the device it was measured on. One image per run; decoding and resizing "
        "of the photograph are not part of it.",
        blocks=(_jobs(measured), _machines(measured)),
    )


def _jobs(measured: list[BenchRecord]) -> Table:
    return Table(
        caption="Milliseconds per image; each job in a process of its own. Sensitivity is that of the very "
        "engine that was timed.",
        columns=(
            *("job", "asked / ran on", "p50", "p90", "p99", "first run", "load", "runs", "peak memory"),
            *("sensitivity", "state"),
        ),
        rows=tuple(_job(bench) for bench in measured),
    )


def _job(bench: BenchRecord) -> tuple[Cell, ...]:
    found = bench.timed_ms
    times = [words.milliseconds(getattr(found, name, None)) for name in ("p50", "p90", "p99", "first")]
    return row(
        Cell(text=bench.model.name, note=words.threads(bench.threads)),
        f"{bench.requested_accelerator} / {bench.actual_accelerator or words.ABSENT}",
        *times,
        words.milliseconds(bench.init_ms),
        words.whole(found.n if found else None),
        words.mebibytes(bench.peak_memory_bytes),
        words.number(bench.evaluation.sensitivity.value if bench.evaluation else None),
        _state(bench),
    )


def _state(bench: BenchRecord) -> Cell:
    if bench.timed_ms is None and bench.status is Status.OK:
        return Cell(text="correctness only", note=bench.reason or "", tone=Tone.OPEN)
    if bench.timed_ms is None:
        return Cell(text=bench.status.value, note=bench.reason or "", tone=Tone.BAD)
    if bench.noise:
        return Cell(text="noisy", note="; ".join(bench.noise), tone=Tone.OPEN)
    return Cell(text="ok", tone=Tone.GOOD)


def _machines(measured: list[BenchRecord]) -> Table:
    rows = {
        (
            bench.device.cpu,
            f"{bench.device.isa}, {bench.device.cores} cores",
            bench.device.os,
            ", ".join(f"{name} {version}" for name, version in sorted(bench.versions.items())),
            bench.measured_at,
        )
        for bench in measured
    }
    return Table(
        caption="The machine and the tools.",
        columns=("processor", "instruction sets", "system", "versions", "measured (UTC)"),
        rows=tuple(row(*values) for values in sorted(rows)),
    )
