"""`edgekd data audit`: what is wrong with a data set."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from edgekd import console
from edgekd.cli.options import Json, Kind, Quiet, Verbose


def audit(
    data: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Labelled images, or their table; one or several.")
    ],
    kind: Kind = "",
    workers: Annotated[int, typer.Option(help="Processes; 0 takes every core.", min=0)] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find unreadable, suspicious, identical and near-identical images, and leaks across splits.

    Example: edgekd data audit data/isic2017 data/ham10000
    """
    console.configure(quiet=quiet, verbose=verbose)
    from edgekd.config import DataConfig
    from edgekd.data.audit import audit as examine
    from edgekd.data.audit import audit_tables, gather_facts
    from edgekd.data.detect import detect_kind, open_folder

    sources = [open_folder(root, detect_kind(root, kind), DataConfig.malignant) for root in data]
    rows = [source.rows() for source in sources]
    facts = [gather_facts(source, part, workers) for source, part in zip(sources, rows, strict=True)]
    record = examine(list(chain(*rows)), list(chain(*facts)))
    if as_json:
        console.emit_json(record)
        return
    for title, columns, lines in audit_tables(record):
        console.emit_table(title, columns, lines)
