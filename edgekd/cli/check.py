"""`edgekd check`: will a file load over there, and on what will it run."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli import check_tables
from edgekd.cli.options import Json, Quiet, Verbose
from edgekd.config import NO_WEIGHTS, Experiment
from edgekd.console import log
from edgekd.errors import ContractError, DeviceError, ModelError, UnknownNameError, UsageError
from edgekd.plain import parse_enum

if TYPE_CHECKING:
    from edgekd_converters.compat import CompatRecord, LoadRecord, TargetRuntime
    from edgekd_converters.edgetpu import EdgeTpuCheck
    from edgekd_converters.edgetpu_compiled import CompiledFile
    from edgekd_converters.edgetpu_compiler import CompileRecord
    from edgekd_converters.gpu_check import GpuCheck

EDGETPU = "edgetpu"
_NOISE_IMAGES, _MAX_PX = 4, 4096
_KERAS = (".keras", ".h5")


@dataclass(frozen=True, kw_only=True)
class Found:
    """The records of the checks that were asked for, null or empty where one was not.

    `compiled` is of a file that went through the Edge TPU's compiler before, `compile` of what it makes now.
    """

    file: str
    compat: tuple[CompatRecord, ...] = ()
    load: tuple[LoadRecord, ...] = ()
    edgetpu: EdgeTpuCheck | None = None
    compile: CompileRecord | None = None
    compiled: CompiledFile | None = None
    gpu: GpuCheck | None = None


def check(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .tflite file, an .mlpackage, or a RUN folder.", show_default=False
        ),
    ],
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
    edgetpu: Annotated[
        bool,
        typer.Option("--edgetpu", help="The rules of the Edge TPU, and its compiler where there is one."),
    ] = False,
    gpu: Annotated[bool, typer.Option("--gpu", help="What falls back from the GPU.")] = False,
    input_range: Annotated[str, typer.Option(help="What 0 and 255 become in a float32 input.")] = "-1,1",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say whether FILE loads in other runtimes, and what an Edge TPU or a GPU would run of it.

    Exit code 3 when one of the checks fails.

    Example: edgekd check model.tflite --runtime tflite-runtime-2.14 --load --edgetpu
    """
    console.configure(quiet=quiet, verbose=verbose)
    if load and not runtime:
        raise UsageError("--load needs the runtime to load it in, e.g. --runtime tflite-runtime-2.14")
    if source.is_dir() or source.suffix == ".mlpackage":
        if load or edgetpu or gpu:
            raise UsageError(f"{source}: --load, --edgetpu and --gpu take one .tflite file")
        show = _check_package if source.suffix == ".mlpackage" else _check_run
        show(source, runtime or [], as_json=as_json)
        return
    names = runtime or (() if edgetpu or gpu else None)
    found = run_checks(
        source, names, load=load, edgetpu=edgetpu, gpu=gpu, input_range=parse_range(input_range)
    )
    if as_json:
        console.emit_json(found)
    else:
        check_tables.show(found)
    judge([found])


def run_checks(
    file: Path,
    runtimes: Sequence[str] | None = None,
    *,
    load: bool = False,
    edgetpu: bool = False,
    gpu: bool = False,
    input_range: tuple[float, float] = (-1.0, 1.0),
) -> Found:
    """The records of the checks asked for; `runtimes` None are all of them.

    Raises:
        UnknownNameError: a runtime has another name.
        MissingError: the file cannot be read, or an environment cannot be made.
    """
    from edgekd_converters.compat import TargetRuntime, check_compat
    from edgekd_converters.inspect import inspect_tflite

    if file.suffix in _KERAS:
        raise ModelError(
            f"{file}: a Keras model, expected a .tflite file: convert it first (edgekd export {file} --fp16)"
        )
    targets: Sequence[TargetRuntime] = tuple(TargetRuntime)
    if runtimes is not None:
        targets = [parse_enum(TargetRuntime, name, "runtime") for name in runtimes]
    inspection = inspect_tflite(file, run=False)
    rules, compiler, compiled = _edgetpu(file) if edgetpu else (None, None, None)
    return Found(
        file=str(file),
        compat=tuple(check_compat(inspection, target) for target in targets),
        load=_load(file, targets, [port.shape for port in inspection.inputs], input_range) if load else (),
        edgetpu=rules,
        compile=compiler,
        compiled=compiled,
        gpu=_gpu(file, input_range) if gpu else None,
    )


def parse_range(text: str) -> tuple[float, float]:
    """The two numbers of "-1,1".

    Raises:
        UsageError: it is something else.
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError(f"--input-range takes two numbers, e.g. -1,1, got {text!r}")
    return low, high


def _load(
    file: Path, targets: Sequence[TargetRuntime], inputs: list[tuple[int, ...]], span: tuple[float, float]
) -> tuple[LoadRecord, ...]:
    import numpy as np

    from edgekd_converters.compat import prove_loading

    px = inputs[0][1] if [len(shape) for shape in inputs] == [4] else 0
    if not 0 < px <= _MAX_PX:
        raise ModelError(f"{file}: it takes {[list(shape) for shape in inputs]}, expected [1, px, px, 3]")
    noise = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (_NOISE_IMAGES, px, px, 3), np.uint8)
    return tuple(prove_loading(file, target, noise, input_range=span) for target in targets)


def _edgetpu(file: Path) -> tuple[EdgeTpuCheck | None, CompileRecord | None, CompiledFile | None]:
    from edgekd_converters.edgetpu import check_edgetpu, is_compiled
    from edgekd_converters.edgetpu_compiled import inspect_compiled
    from edgekd_converters.edgetpu_compiler import compile_edgetpu

    if is_compiled(file):
        return None, None, inspect_compiled(file)
    rules = check_edgetpu(file)
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        return rules, compile_edgetpu(file, Path(folder)), None


def _gpu(file: Path, span: tuple[float, float]) -> GpuCheck:
    from edgekd_converters.gpu_check import check_gpu

    return check_gpu(file, input_range=span)


def _check_run(run: Path, runtimes: Sequence[str], *, as_json: bool) -> None:
    """One table: the .tflite files of RUN by runtimes."""
    files = sorted((run / "export").glob("*/model.tflite"))
    if not files:
        raise ModelError(f"{run / 'export'}: no */model.tflite in it; run edgekd export {run} first")
    found = [run_checks(file, runtimes or None) for file in files]
    if as_json:
        console.emit_json({"run": str(run), "files": found})
    else:
        check_tables.show_run(found)
    judge(found)


def _check_package(package: Path, runtimes: Sequence[str], *, as_json: bool) -> None:
    """One line: what has to run an .mlpackage."""
    from edgekd_converters.coreml_inspect import inspect_coreml

    if runtimes:
        raise UsageError(f"{package}: a Core ML package; --runtime is for .tflite files")
    found = inspect_coreml(package)
    if as_json:
        console.emit_json({"file": str(package), "coreml": found})
    else:
        console.emit_text(check_tables.coreml_line(found))


def judge(found: Sequence[Found]) -> None:
    """Nothing, when every check of every file passed.

    Raises:
        ContractError: one did not; the first reason is named.
        DeviceError: there was no GPU to ask.
    """
    reasons = [f"{one.file}: {reason}" for one in found for reason in _reasons(one)]
    if reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise ContractError(f"{reasons[0]}{more}")
    for one in found:
        if one.gpu is not None and one.gpu.passed is None:
            raise DeviceError(f"{one.file}: {one.gpu.run.reason}")


def _reasons(found: Found) -> list[str]:
    reasons = [refusal.reason for record in found.compat for refusal in record.refused]
    reasons += [reason for record in found.load if (reason := _unlike(record)) is not None]
    tpu = found.compile if found.compile is not None and found.compile.asked else found.edgetpu
    if tpu is not None and tpu.fails is not None:
        reasons.append(tpu.fails)
    if found.gpu is not None and found.gpu.fails is not None:
        reasons.append(found.gpu.fails)
    return reasons


def _unlike(record: LoadRecord) -> str | None:
    if not record.loaded:
        return f"{record.runtime} does not run it: {record.reason}"
    if record.agrees:
        return None
    return (
        f"{record.runtime} answers otherwise than {record.here.name} {record.here.version}, by "
        f"{record.mean_difference_steps:.1f} steps in the mean"
    )


def require_architecture(experiment: Experiment, target: str) -> None:
    """Refuse a student that `target` would not run as a whole, before anything is made; nothing for "".

    Its network is built with random weights, quantized and thrown away, in a process of its own.

    Raises:
        UnknownNameError: `target` is not "edgetpu".
        ContractError: an operator breaks a rule; it, the limit and the layer are named.
    """
    if not target:
        return
    if target != EDGETPU:
        raise UnknownNameError("check", target, [EDGETPU])
    from edgekd_converters.edgetpu_architecture import check_student

    model, px = dataclasses.replace(experiment.distill.model, weights=NO_WEIGHTS), experiment.data.input_px
    what = f"student {model.name}, width {model.width:g}, {px} px"
    found = check_student(model, input_px=px)
    if found.fails is not None:
        raise ContractError(f"{what}: {found.fails}; nothing was trained")
    log.info("%s: an Edge TPU would run all %d operators, by rule", what, found.operators)
    for finding in found.findings:
        log.warning("%s of layer %s: %s", finding.operator, finding.layer, finding.limit)
