"""`edgekd patient`: a network on age, sex and site alone, beside the line of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd import console, pipeline
from edgekd.cli.options import Force, Json, Quiet, RunFolder, Settings, Verbose
from edgekd.config import Experiment
from edgekd.errors import UsageError
from edgekd.locate import locate_data
from edgekd.pipeline import Station
from edgekd.runs import Run, Step, require_run
from edgekd.settings import apply_settings

NAME = "patient"
_TOOLS = ("tensorflow", "tf-keras", "numpy", "imbalanced-learn", "scikit-learn")


def patient(
    run: RunFolder,
    settings: Settings = None,
    units: Annotated[str, typer.Option(help="Widths of the dense layers.")] = "64,32",
    dropout: Annotated[float, typer.Option(help="After each of them.")] = 0.3,
    epochs: Annotated[int, typer.Option(help="At most.")] = 100,
    smote: Annotated[
        float, typer.Option(help="Bring every class to this share of the largest by SMOTE; 0: no SMOTE.")
    ] = 0.5,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a dense network on the patient data of RUN, and measure it as every other.

    Example: edgekd patient RUN --set data.patient=age,sex,site
    """
    console.configure(quiet=quiet, verbose=verbose)
    folder = require_run(run)
    with folder.locked():
        experiment = locate_data(apply_settings(pipeline.open_experiment(folder), settings or []), None)
        pipeline.make(folder, experiment, Station.DATA)
        step = _step(folder, experiment, units=_widths(units), dropout=dropout, epochs=epochs, smote=smote)
        record = folder.do(step, force=force)
    if as_json:
        console.emit_json({"run": str(folder.root), "metrics": record["metrics"]})
        return
    rows = [(name, f"{value:.4g}") for name, value in record["metrics"].items()]
    console.emit_table(f"{NAME}: a research tool, not a medical device", ("metric", "value"), rows)


def _step(
    run: Run, experiment: Experiment, *, units: tuple[int, ...], dropout: float, epochs: int, smote: float
) -> Step:
    from edgekd.data.dataset import open_dataset
    from edgekd.training.patient_network import PatientNetworkConfig, patient_network

    config = PatientNetworkConfig(units=units, dropout=dropout, epochs=epochs, smote_share=smote)

    def make(out: Path) -> dict[str, float]:
        return patient_network(
            dataset=open_dataset(run.folder(Station.DATA)),
            config=config,
            verify=experiment.verify,
            seed=experiment.seed,
            out=out,
        )

    return Step(
        name=NAME,
        make=make,
        config={"network": config, "verify": experiment.verify, "seed": experiment.seed},
        needs=(Station.DATA.value,),
        tools=_TOOLS,
    )


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--units is {text!r}, expected whole numbers such as 64,32") from error
