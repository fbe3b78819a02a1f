"""`edgekd check`: will a file load over there, and on what will it run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekd import console
from edgekd.cli.options import Json, Quiet, Verbose
from edgekd.errors import ContractError, DeviceError, ModelError, UsageError
from edgekd.plain import parse_enum

if TYPE_CHECKING:
    from edgekd_converters.compat import CompatRecord, LoadRecord
    from edgekd_converters.edgetpu import EdgeTpuCheck
    from edgekd_converters.edgetpu_compiled import CompiledFile
    from edgekd_converters.gpu_check import GpuCheck

_NOISE_IMAGES = 4

Checks = dict[str, Any]


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tflite file.", show_default=False)],
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help="A runtime, e.g. tflite-runtime-2.14; may be repeated [default: all of them].",
            show_default=False,
        ),
    ] = None,
    load: Annotated[
        bool, typer.Option("--load", help="Also run it there; makes the environment on first use.")
    ] = False,
    edgetpu: Annotated[bool, typer.Option("--edgetpu", help="The rules of the Edge TPU.")] = False,
    gpu: Annotated[bool, typer.Option("--gpu", help="What falls back from the GPU.")] = False,
    input_range: Annotated[
        str, typer.Option(help="What 0 and 255 become in a float32 input, e.g. -1,1.", show_default=False)
    ] = "",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say whether FILE loads in other runtimes, and what an Edge TPU or a GPU would run of it.

    Example: edgekd check model.tflite --runtime tflite-runtime-2.14 --load --edgetpu
    """
    console.configure(quiet=quiet, verbose=verbose)
    if load and not runtime:
        raise UsageError("--load needs the runtime to load it in, e.g. --runtime tflite-runtime-2.14")
    everywhere = not (runtime or edgetpu or gpu)
    found = run_checks(
        file,
        runtimes=runtime or (),
        everywhere=everywhere,
        load=load,
        edgetpu=edgetpu,
        gpu=gpu,
        input_range=parse_range(input_range),
    )
    if as_json:
        console.emit_json({"file": str(file), **found})
    else:
        show(found)
    judge(file, found)


def run_checks(
    file: Path,
    *,
    runtimes: Sequence[str] = (),
    everywhere: bool = False,
    load: bool = False,
    edgetpu: bool = False,
    gpu: bool = False,
    input_range: tuple[float, float] | None = None,
) -> Checks:
    """The records of the checks asked for: lists `compat` and `load`, `edgetpu`, `compiled` and `gpu`.

    Raises:
        UnknownNameError: a runtime has another name.
        MissingError: the file cannot be read, or an environment cannot be made.
    """
    from edgekd_converters.compat import TargetRuntime, check_compat
    from edgekd_converters.inspect import inspect_tflite

    targets = list(TargetRuntime) if everywhere else [_target(name) for name in runtimes]
    inspection = inspect_tflite(file, run=False)
    found: Checks = {}
    if targets:
        found["compat"] = [check_compat(inspection, target) for target in targets]
    if load:
        found["load"] = [_load(file, target, inspection.inputs[0].shape, input_range) for target in targets]
    if edgetpu:
        found |= _edgetpu(file)
    if gpu:
        from edgekd_converters.gpu_check import check_gpu

        found["gpu"] = check_gpu(file, input_range=input_range)
    return found


def parse_range(text: str) -> tuple[float, float] | None:
    """The two numbers of "-1,1"; None for an empty text.

    Raises:
        UsageError: it is something else.
    """
    if not text:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--input-range takes two numbers, e.g. -1,1, got {text!r}") from error
    return low, high


def _target(name: str) -> Any:
    from edgekd_converters.compat import TargetRuntime

    return parse_enum(TargetRuntime, name, "runtime")


def _load(file: Path, target: Any, shape: tuple[int, ...], span: tuple[float, float] | None) -> LoadRecord:
    import numpy as np

    from edgekd_converters.compat import prove_loading

    if len(shape) != 4 or not 0 < shape[1] <= 4096:
        raise ModelError(f"{file}: the input is {list(shape)}, expected [1, px, px, 3]")
    noise = np.random.Generator(np.random.PCG64(0))
    images = noise.integers(0, 256, (_NOISE_IMAGES, shape[1], shape[1], 3), np.uint8)
    return prove_loading(file, target, images, input_range=span)


def _edgetpu(file: Path) -> Checks:
    from edgekd_converters.edgetpu import check_edgetpu, is_compiled
    from edgekd_converters.edgetpu_compiled import inspect_compiled

    if is_compiled(file):
        return {"compiled": inspect_compiled(file)}
    return {"edgetpu": check_edgetpu(file)}


def judge(file: Path, found: Checks) -> None:
    """Nothing, when every check passed.

    Raises:
        ContractError: one did not; the first reason is named.
        DeviceError: there was no GPU to ask.
    """
    reasons = [*_refusals(found.get("compat", ())), *_unloaded(found.get("load", ()))]
    check, gpu = found.get("edgetpu"), found.get("gpu")
    if check is not None and not check.passed:
        reasons.append(f"an Edge TPU would run {check.mapped} of {check.operators} operators")
    if gpu is not None and gpu.passed is False:
        reasons.append(gpu.run.reason or f"{gpu.run.on_cpu} operators fall back from the GPU")
    if reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise ContractError(f"{file}: {reasons[0]}{more}")
    if gpu is not None and gpu.passed is None:
        raise DeviceError(f"{file}: {gpu.run.reason}")


def _refusals(records: Sequence[CompatRecord]) -> list[str]:
    return [refusal.reason for record in records for refusal in record.refused]


def _unloaded(records: Sequence[LoadRecord]) -> list[str]:
    absent = [f"{record.runtime} does not run it: {record.reason}" for record in records if not record.loaded]
    wrong = [f"{record.runtime} answers otherwise" for record in records if record.agrees is False]
    return [*absent, *wrong]


def show(found: Checks) -> None:
    """Write the records to stdout as tables."""
    if "compat" in found:
        rows = [_compat_row(record) for record in found["compat"]]
        console.emit_table("", ("runtime", "version", "accepts", "refused"), rows)
    if "load" in found:
        rows = [_load_row(record) for record in found["load"]]
        console.emit_table("", ("runs in", "engine", "largest difference", "same decision"), rows)
    if "edgetpu" in found:
        _show_edgetpu(found["edgetpu"])
    if "compiled" in found:
        _show_compiled(found["compiled"])
    if "gpu" in found:
        _show_gpu(found["gpu"])


def _compat_row(record: CompatRecord) -> tuple[str, ...]:
    refused = "; ".join(refusal.reason for refusal in record.refused)
    return record.runtime.value, record.runtime_version, "yes" if record.passed else "no", refused


def _load_row(record: LoadRecord) -> tuple[str, ...]:
    if record.engine is None or record.max_difference is None or record.same_decision is None:
        return record.runtime.value, record.reason or "", "", ""
    engine = f"{record.engine.name} {record.engine.version}"
    difference = f"{record.max_difference:.2g} ({record.max_difference_steps:.1f} steps)"
    return record.runtime.value, engine, difference, f"{record.same_decision:.0%}"


def _show_edgetpu(record: EdgeTpuCheck) -> None:
    console.emit_text(f"Edge TPU: {record.mapped} of {record.operators} operators, by rule")
    for warning in record.warnings:
        console.emit_text(f"  {warning}")
    rows = [
        (str(f.number), f.operator, f.layer or "", f.limit, "" if f.certain else "perhaps")
        for f in record.findings
    ]
    if rows:
        console.emit_table("", ("number", "operator", "layer", "limit", ""), rows)


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
    where = f"{run.adapter} ({run.note})" if run.note else run.adapter or run.reason or ""
    console.emit_text(f"GPU: {run.status.value}; {where}")
    if run.on_gpu is not None:
        console.emit_text(f"  {run.on_gpu} operators on the GPU, {run.on_cpu} on the CPU")
    listed = [("listed", r.operator, str(r.count), r.reason) for r in record.listed]
    seen = [("seen", r.operator, "", r.reason) for r in run.refused]
    if listed or seen:
        console.emit_table("", ("falls back", "operator", "count", "reason"), [*seen, *listed])
