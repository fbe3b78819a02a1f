"""`edgekd search`: the best student that a budget allows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd import console
from edgekd.cli.options import DataRoot, Json, Quiet, Settings, Verbose, Weights
from edgekd.cli.run import resolve
from edgekd.runs import Run, require_run


def search(
    experiment: Annotated[str, typer.Argument(help="As edgekd run takes it.", show_default=False)],
    data_root: DataRoot = None,
    weights: Weights = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder [default: searches/EXPERIMENT].", show_default=False)
    ] = None,
    trials: Annotated[int, typer.Option(help="How many students to train.", min=1)] = 20,
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="a.b=x,y",
            help="What a trial may change, as distill.model.width=0.35,0.5 or "
            "distill.fit.learning_rate=1e-4..1e-2:log [default: width, depth and resolution].",
            show_default=False,
        ),
    ] = None,
    budget_bytes: Annotated[int, typer.Option(help="Largest int8 file; 0: any.", min=0)] = 0,
    budget_ms: Annotated[float, typer.Option(help="Longest latency on this machine; 0: any.", min=0)] = 0.0,
    relative_latency: Annotated[
        float, typer.Option(help="Longest latency as a multiple of the reference's; 0: any.", min=0)
    ] = 0.0,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="A .tflite file to compare latency with [default: MobileNetV2 1.0 at 224 px, int8].",
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Take data and teacher of this run.", show_default=False),
    ] = None,
    pruner: Annotated[
        str, typer.Option(help="Who stops a trial early: median, hyperband or none.")
    ] = "median",
    seed: Annotated[int, typer.Option(help="Of what is tried; the experiment has its own.")] = 1,
    threads: Annotated[int, typer.Option(help="Of the latency.", min=1)] = 1,
    rounds: Annotated[int, typer.Option(help="Fresh processes for each latency.", min=1)] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Search on a small trial of the line.")] = False,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find the student of EXPERIMENT with the best validation AUC that a budget allows.

    Size and latency are measured before anything is trained; students that fall behind are stopped early. The
    test split is never looked at. Killed, the same command goes on; a greater --trials adds to what there is.

    Example: edgekd search isic2017 --data-root data/isic2017 --budget-bytes 1000000 --relative-latency 0.35
    """
    console.configure(quiet=quiet, verbose=verbose)
    folder = out or Path("searches") / experiment
    base = resolve(Run(folder), experiment, data_root, None, quick, list(settings or []))
    from edgekd.search import page
    from edgekd.search.record import Budget
    from edgekd.search.search import Asked
    from edgekd.search.search import search as find
    from edgekd.search.space import default_space, parse_axis

    record = find(
        Asked(
            experiment=base,
            space=tuple(parse_axis(text, base) for text in space) if space else default_space(base),
            options=_options(data_root, weights, quick, settings or []),
            budget=Budget(bytes=budget_bytes, ms=budget_ms, relative_latency=relative_latency),
            weights=weights,
            teacher=require_run(teacher) if teacher else None,
            reference=reference,
            pruner=pruner,
            seed=seed,
            threads=threads,
            rounds=rounds,
        ),
        folder,
        trials=trials,
    )
    if as_json:
        console.emit_json(record)
        return
    console.emit_table(page.summary(record), page.HEAD, page.rows(record))
    console.emit_text(f"page: {folder / page.PAGE}, picture: {folder / page.PICTURE}.png")
    if record.best:
        console.emit_text(f"next: {page.command_of(record)}")


def _options(
    data_root: Path | None, weights: Path | None, quick: bool, settings: list[str]
) -> tuple[str, ...]:
    """What `edgekd run` needs to make the same experiment, without this machine's folders."""
    places = [("--data-root", data_root), ("--weights", weights)]
    named = [part for name, place in places if place for part in (name, "DIR")]
    changed = [part for setting in settings for part in ("--set", setting)]
    return (*named, *(["--quick"] if quick else []), *changed)
