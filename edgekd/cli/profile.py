"""`edgekd profile`: where the time of a file goes, operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd import console
from edgekd.cli.options import Json, Quiet, Verbose
from edgekd.errors import UsageError


def profile(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A .tflite file, anybody's.", show_default=False)
    ],
    threads: Annotated[int, typer.Option(help="Threads of the engine.", min=1)] = 1,
    runs: Annotated[int, typer.Option(help="Runs that are averaged.", min=1)] = 100,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep profile.json and its picture, SVG and PNG, here.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Time every operator of MODEL on the CPU, and set it against what this machine can do at most.

    Example: edgekd profile runs/quickstart/export/int8/model.tflite --out profile
    """
    console.configure(quiet=quiet, verbose=verbose)
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, expected a folder")
    from edgekd_bench.profile import emit_profile, write_profile
    from edgekd_bench.profile import profile as measure
    from edgekd_bench.profile_graph import operations
    from edgekd_bench.roofline import measure_peaks

    operations(model)  # a bad file is found before the seconds of measuring
    found = measure(model, threads=threads, runs=runs, peaks=measure_peaks(threads))
    if out is not None:
        write_profile(found, out)
    if as_json:
        console.emit_json(found)
    else:
        emit_profile(found)
