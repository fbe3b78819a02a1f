"""`edgekd export`: TFLite files of a run, or of a Keras model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd import console
from edgekd.cli.options import Force, Json, Quiet, Settings, Verbose
from edgekd.cli.stations import make_station
from edgekd.config import Precision
from edgekd.errors import ModelError, UsageError
from edgekd.pipeline import Station


def export(
    source: Annotated[Path, typer.Argument(metavar="RUN|MODEL", help="A run folder or a .keras file.")],
    int8: Annotated[bool, typer.Option("--int8", help="All 8-bit (of a run).")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Half-precision weights.")] = False,
    fp32: Annotated[bool, typer.Option("--fp32", help="Float.")] = False,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="8-bit weights, float activations.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the files of a MODEL [default: beside it].", show_default=False),
    ] = None,
    settings: Settings = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert the student of RUN, or a Keras MODEL made by edgekd, to TFLite.

    Example: edgekd export runs/quickstart --int8 --fp16
    """
    console.configure(quiet=quiet, verbose=verbose)
    named = {Precision.FP32: fp32, Precision.FP16: fp16, Precision.DYNAMIC: dynamic, Precision.INT8: int8}
    chosen = tuple(precision for precision, wanted in named.items() if wanted)
    if source.is_file():
        _export_model(source, chosen or (Precision.FP16,), out, force=force, as_json=as_json)
        return
    if out is not None:
        raise UsageError("--out belongs to a MODEL; the files of a run lie in RUN/export")
    wanted = [*(settings or []), *([f"export.precisions={','.join(chosen)}"] if chosen else [])]
    make_station(source, Station.EXPORT, wanted, force=force, as_json=as_json)


def _export_model(
    model: Path, precisions: tuple[Precision, ...], out: Path | None, *, force: bool, as_json: bool
) -> None:
    from edgekd_converters.export import export_file

    folder = out or model.parent
    targets = {precision: folder / f"{model.stem}.{precision}.tflite" for precision in precisions}
    taken = [path for path in targets.values() if path.exists()]
    if taken and not force:
        raise UsageError(f"{taken[0]} is there already: choose another --out, or --force")
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder to write to")
    made = {precision: export_file(model, precision, path) for precision, path in targets.items()}
    if as_json:
        console.emit_json({p.value: {"path": str(targets[p]), "conversion": made[p]} for p in made})
        return
    rows = [(p.value, f"{targets[p].stat().st_size / 1e6:.2f}", str(targets[p])) for p in made]
    console.emit_table("", ("precision", "MB", "file"), rows)
