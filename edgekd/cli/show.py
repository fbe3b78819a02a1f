"""`edgekd show`: what a run folder holds."""

from __future__ import annotations

from edgekd import console, pipeline
from edgekd.cli import tables
from edgekd.cli.options import Json, RunFolder
from edgekd.runs import require_run


def show(run: RunFolder, as_json: Json = False) -> None:
    """Say of every station whether it is kept, stale (and which field changed) or missing.

    Example: edgekd show runs/quickstart
    """
    console.configure()
    folder = require_run(run)
    states = pipeline.find(folder, pipeline.open_experiment(folder))
    tables.show_states(states, tuple(states), as_json=as_json)
