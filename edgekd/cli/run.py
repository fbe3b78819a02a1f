"""`edgekd run`: an experiment, from images to report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from edgekd import console, pipeline
from edgekd.cli import tables
from edgekd.cli.check import require_architecture
from edgekd.cli.options import (
    Before,
    DataRoot,
    Force,
    Json,
    Quiet,
    Settings,
    StrategyName,
    Verbose,
    Weights,
    with_strategy,
)
from edgekd.config import IMAGENET, Experiment, ModelConfig
from edgekd.experiments import EXPERIMENTS, load_experiment
from edgekd.locate import locate_data, locate_weights
from edgekd.runs import Run
from edgekd.settings import apply_settings
from edgekd.training.workers import own_run


def run(
    experiment: Annotated[str, typer.Argument(help=f"One of {', '.join(EXPERIMENTS)}.", show_default=False)],
    data_root: DataRoot = None,
    weights: Weights = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder [default: runs/EXPERIMENT].", show_default=False)
    ] = None,
    to: Annotated[str, typer.Option(help="Stop after this station.")] = "report",
    quick: Annotated[bool, typer.Option("--quick", help="A small trial of the same line.")] = False,
    settings: Settings = None,
    strategy: StrategyName = "",
    force: Force = False,
    before: Before = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, make nothing.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run EXPERIMENT from images to report; what is fresh is kept.

    Example: edgekd run isic2017 --data-root data/isic2017 --weights weights --set distill.method=none
    """
    console.configure(quiet=quiet, verbose=verbose)
    station = pipeline.parse_station(to)
    folder = Run(out or Path("runs") / experiment)
    wanted = resolve(folder, experiment, data_root, weights, quick, with_strategy(settings, strategy))
    require_architecture(wanted, before)
    if dry_run:
        tables.show_states(pipeline.find(folder, wanted), pipeline.upstream(wanted, station), as_json=as_json)
        return
    with own_run(folder, wanted.strategy) as own:
        records = pipeline.make(own, wanted, station, force=force)
    tables.show_result(own, records, as_json=as_json)
    pipeline.require_passed(records)


def resolve(
    folder: Run, name: str, data_root: Path | None, weights: Path | None, quick: bool, settings: list[str]
) -> Experiment:
    """The experiment called `name` with `settings`, its data and weights found, or known from `folder`.

    Raises:
        UnknownNameError, UsageError: no experiment or setting has this name.
        DataError, ModelError: data or weights are not there.
    """
    from edgekd.experiments.layout import with_first_source_of, with_layout_of

    experiment = load_experiment(name, quick=quick)
    if (folder.root / "experiment.json").is_file():
        known = pipeline.open_experiment(folder)
        experiment = _with_known_places(with_first_source_of(experiment, known), known)
    experiment = with_layout_of(apply_settings(experiment, settings), data_root)
    return locate_weights(locate_data(experiment, data_root), weights)


def _with_known_places(experiment: Experiment, known: Experiment) -> Experiment:
    """`experiment` with the folders and weights files an earlier run of it was given."""
    roots = {source.name: source.root for source in known.data.sources}
    sources = tuple(
        dataclasses.replace(source, root=source.root or roots.get(source.name, ""))
        for source in experiment.data.sources
    )
    teach = dataclasses.replace(
        experiment.teach, model=_known_weights(experiment.teach.model, known.teach.model)
    )
    distill = dataclasses.replace(
        experiment.distill, model=_known_weights(experiment.distill.model, known.distill.model)
    )
    data = dataclasses.replace(experiment.data, sources=sources)
    return dataclasses.replace(experiment, data=data, teach=teach, distill=distill)


def _known_weights(model: ModelConfig, known: ModelConfig) -> ModelConfig:
    same = all(getattr(model, name) == getattr(known, name) for name in ("name", "width", "sliced_from"))
    return dataclasses.replace(model, weights=known.weights) if same and model.weights == IMAGENET else model
