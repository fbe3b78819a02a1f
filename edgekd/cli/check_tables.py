"""What `edgekd check` writes to stdout: one table or line per check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekd import console

if TYPE_CHECKING:
    from edgekd.cli.check import Found
    from edgekd_converters.compat import CompatRecord, LoadRecord
    from edgekd_converters.coreml_inspect import CoremlInspection
    from edgekd_converters.edgetpu import EdgeTpuCheck, Finding
    from edgekd_converters.edgetpu_compiled import CompiledFile
    from edgekd_converters.edgetpu_compiler import CompileRecord
    from edgekd_converters.gpu_check import GpuCheck

_NAMED_LAYERS = 3

_APPLE = {
    **{4: "iOS 13 and macOS 10.15", 5: "iOS 14 and macOS 11", 6: "iOS 15 and macOS 12"},
    **{7: "iOS 16 and macOS 13", 8: "iOS 17 and macOS 14", 9: "iOS 18 and macOS 15"},
    10: "iOS 26 and macOS 26",
}
"""The first systems that read a Core ML specification version (coremltools, AvailableTarget)."""


def show(found: Found) -> None:
    """Write the records of one file."""
    if found.compat:
        rows = [_compat_row(record) for record in found.compat]
        console.emit_table("", ("runtime", "version", "accepts", "refused"), rows)
    if found.load:
        _show_load(found.load)
    if found.edgetpu is not None:
        _show_edgetpu(found.edgetpu)
    if found.compile is not None:
        _show_compile(found.compile)
    if found.compiled is not None:
        _show_compiled(found.compiled)
    if found.gpu is not None:
        _show_gpu(found.gpu)


def show_run(found: Sequence[Found]) -> None:
    """Write one table of the files of a run; a cell names the operators that are refused there."""
    runtimes = [record.runtime.value for record in found[0].compat]
    rows = [(one.file, *(_accepts(record) for record in one.compat)) for one in found]
    console.emit_table("", ("file", *runtimes), rows)


def coreml_line(found: CoremlInspection) -> str:
    """What a Core ML package asks of a system."""
    version = found.specification_version
    systems = f"{_APPLE[version]} or newer" if version in _APPLE else "unknown systems"
    return f"Core ML {found.kind}, specification version {version}: needs {systems}; no other check is for it"


def _accepts(record: CompatRecord) -> str:
    return "yes" if record.passed else ", ".join(f"{r.operator} {r.version}" for r in record.refused)


def _compat_row(record: CompatRecord) -> tuple[str, ...]:
    refused = "; ".join(refusal.reason for refusal in record.refused)
    return record.runtime.value, record.runtime_version, "yes" if record.passed else "no", refused


def _show_load(records: Sequence[LoadRecord]) -> None:
    here = records[0].here
    console.emit_table(
        f"run there on {records[0].images} images of noise, against {here.name} {here.version}; a step is "
        "that of an 8-bit output, else a 255th of the range",
        ("runtime", "runs", "agrees", "mean steps", "largest", "same decision", "engine, or why not"),
        [_load_row(record) for record in records],
    )


def _load_row(record: LoadRecord) -> tuple[str, ...]:
    if record.engine is None:
        return record.runtime.value, "no", "", "", "", "", record.reason or ""
    return (
        record.runtime.value,
        "yes",
        "yes" if record.agrees else "no",
        f"{record.mean_difference_steps:.2f}",
        f"{record.max_difference_steps:.2f}",
        f"{record.same_decision:.0%}",
        f"{record.engine.name} {record.engine.version}",
    )


def _show_edgetpu(record: EdgeTpuCheck) -> None:
    console.emit_text(f"Edge TPU: {record.mapped} of {record.operators} operators, by rule")
    for warning in record.warnings:
        console.emit_text(f"  {warning}")
    same: dict[tuple[str, str, bool], list[Finding]] = {}
    for finding in record.findings:
        same.setdefault((finding.operator, finding.limit, finding.certain), []).append(finding)
    rows = [
        (operator, str(len(findings)), _layers(findings), limit, "yes" if certain else "perhaps")
        for (operator, limit, certain), findings in same.items()
    ]
    if rows:
        console.emit_table("", ("operator", "count", "layers", "limit", "breaks it"), rows)


def _layers(findings: Sequence[Finding]) -> str:
    names = list(dict.fromkeys(finding.layer for finding in findings if finding.layer))
    more = f" and {len(names) - _NAMED_LAYERS} more" if len(names) > _NAMED_LAYERS else ""
    return ", ".join(names[:_NAMED_LAYERS]) + more


def _show_compile(record: CompileRecord) -> None:
    if record.log is None:
        console.emit_text(f"  {record.reason}")
        return
    log = record.log
    console.emit_text(
        f"edgetpu_compiler {log.version or ''}: {record.status.value} {record.reason or ''}".rstrip()
    )
    if log.rows:
        rows = [(row.operator, str(row.count), row.status) for row in log.rows]
        console.emit_table("", ("operator", "count", "status"), rows)
    if record.compiled is not None:
        _show_compiled(record.compiled)


def _show_compiled(record: CompiledFile) -> None:
    left = ", ".join(f"{count} {name}" for name, count in record.on_cpu.items()) or "none"
    console.emit_text(
        f"compiled for the Edge TPU: {record.cached_parameter_bytes} bytes of parameters cached, "
        f"{record.streamed_parameter_bytes} streamed; operators left on the CPU: {left}"
    )
    rows = [
        (e.name, e.kind.value, str(e.parameter_bytes), str(e.instruction_bytes)) for e in record.executables
    ]
    console.emit_table("", ("executable", "kind", "parameter bytes", "instruction bytes"), rows)


def _show_gpu(record: GpuCheck) -> None:
    run = record.run
    where = f"{run.adapter} ({run.note})" if run.note else run.adapter or ""
    console.emit_text(f"GPU: {run.status.value} {where}".rstrip())
    if run.agrees is not None:
        console.emit_text(
            f"  against the CPU: {run.mean_difference_steps:.2f} steps in the mean, "
            f"{run.max_difference_steps:.2f} at most, same decision {run.same_decision:.0%}"
        )
    if run.on_gpu is not None:
        console.emit_text(f"  {run.on_gpu} operators on the GPU, {run.on_cpu} on the CPU")
    listed = [("listed", r.operator, str(r.count), r.reason) for r in record.listed]
    seen = [("seen", r.operator, "", r.reason) for r in run.refused]
    if listed or seen:
        console.emit_table("", ("falls back", "operator", "count", "reason"), [*seen, *listed])
