"""The verbs that make one station of a run, and what it stands on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgekd import console, pipeline
from edgekd.cli import tables
from edgekd.cli.check import require_architecture
from edgekd.cli.options import (
    Before,
    Force,
    Json,
    Quiet,
    RunFolder,
    Settings,
    StrategyName,
    Verbose,
    with_strategy,
)
from edgekd.locate import locate_data, locate_weights
from edgekd.pipeline import Station
from edgekd.runs import require_run
from edgekd.settings import apply_settings
from edgekd.training.workers import own_run


def make_station(
    root: Path, station: Station, settings: list[str], *, force: bool, as_json: bool, before: str = ""
) -> None:
    """Make `station` in the run folder `root`, what is missing upstream first, and show the result.

    `before` names the check that the student must pass beforehand; none when empty.
    """
    run = require_run(root)
    experiment = apply_settings(pipeline.open_experiment(run), settings)
    experiment = locate_weights(locate_data(experiment, None), None)
    require_architecture(experiment, before)
    with own_run(run, experiment.strategy) as own:
        records = pipeline.make(own, experiment, station, force=force)
    tables.show_result(own, records, as_json=as_json)
    pipeline.require_passed(records)


def _verb(station: Station, text: str, example: str) -> Callable[..., None]:
    def command(
        run: RunFolder,
        settings: Settings = None,
        strategy: StrategyName = "",
        force: Force = False,
        before: Before = "",
        as_json: Json = False,
        quiet: Quiet = False,
        verbose: Verbose = False,
    ) -> None:
        console.configure(quiet=quiet, verbose=verbose)
        make_station(
            run, station, with_strategy(settings, strategy), force=force, as_json=as_json, before=before
        )

    command.__doc__ = f"{text}\n\nExample: edgekd {example}"
    return command


prepare = _verb(Station.DATA, "Read, split, check and store the images of RUN.", "data prepare RUN")

VERBS: Mapping[str, Callable[..., None]] = {
    "teach": _verb(Station.TEACH, "Train the teacher of RUN.", "teach RUN --set teach.fit.epochs=12"),
    "distill": _verb(Station.DISTILL, "Train the student of RUN.", "distill RUN --set distill.method=none"),
    "qat": _verb(Station.QAT, "Fine-tune the student of RUN for 8 bits.", "qat RUN"),
    "verify": _verb(
        Station.VERIFY, "Measure what every file of RUN lost; exit code 3 if one fails.", "verify RUN"
    ),
    "report": _verb(Station.REPORT, "Write the report pages of RUN.", "report RUN"),
}
