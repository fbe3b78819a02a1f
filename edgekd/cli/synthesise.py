"""`edgekd data synthesise`: malignant images made from the benign training photographs of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console, pipeline
from edgekd.cli.options import Force, Json, Quiet, RunFolder, Settings, Verbose
from edgekd.errors import UsageError
from edgekd.locate import locate_data, locate_weights
from edgekd.pipeline import Station
from edgekd.runs import Run, require_run
from edgekd.settings import apply_settings

if TYPE_CHECKING:
    from edgekd.data.synthesised import SynthesisRecord

_NEXT = "to train on them: a source of kind synthesised, --set data.sources.NAME.root={out}"


def synthesise(
    run: RunFolder,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the images and their record.", show_default=False)
    ],
    epochs: Annotated[int, typer.Option(help="Epochs of the CycleGAN.", min=1)] = 200,
    px: Annotated[int, typer.Option(help="Side of the images.")] = 128,
    count: Annotated[
        int | None, typer.Option(help="How many images to make.", min=1, show_default=False)
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="As many as balance the classes (the default).")
    ] = False,
    minutes: Annotated[
        float,
        typer.Option(help="Begin no epoch after this; repeat the command to go on. 0: no limit.", min=0),
    ] = 0.0,
    settings: Settings = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Turn benign training photographs of RUN into malignant ones until the classes balance.

    They are for training only, and marked so: a source of kind synthesised keeps them out of validation and
    test. --set changes the training of the generator, as in --set width=0.5 or --set cycle_weight=5.

    Example: edgekd data synthesise runs/isic2017 --out synthetic --epochs 100 --px 128
    """
    console.configure(quiet=quiet, verbose=verbose)
    if balance and count is not None:
        raise UsageError("--balance and --count: expected one of them")
    source = require_run(run)
    from edgekd.data.dataset import open_dataset
    from edgekd.training.synthesis.config import SynthesisConfig

    config = SynthesisConfig(epochs=epochs, px=px, count=count or 0)
    config = apply_settings(config, settings or [])
    with source.locked():
        experiment = locate_weights(locate_data(pipeline.open_experiment(source), None), None)
        pipeline.make(source, experiment, Station.DATA)
    from edgekd.training.synthesis.station import synthesise as make

    with Run(out).locked():
        record = make(
            dataset=open_dataset(source.folder(Station.DATA)),
            run=experiment.name,
            config=config,
            seed=experiment.seed,
            out=out,
            force=force,
            minutes=minutes,
        )
    _show(record, out, as_json=as_json)


def _show(record: SynthesisRecord | None, out: Path, *, as_json: bool) -> None:
    if record is None:
        console.log.warning("%s: the training is not whole yet; repeat the command to go on", out)
        if as_json:
            console.emit_json(None)
        return
    if as_json:
        console.emit_json(record)
        return
    rows = [
        ("benign photographs", str(record.benign)),
        ("malignant photographs", str(record.malignant)),
        (f"synthetic images of {record.diagnosis}", str(record.images)),
        ("side, pixels", str(record.px)),
        ("epochs", str(record.epochs)),
        ("folder", str(out)),
    ]
    console.emit_table("", ("what", "value"), rows)
    console.log.info(_NEXT.format(out=out))
