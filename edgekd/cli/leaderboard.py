"""`edgekd leaderboard`: every kept measurement of a folder in one table, with Pareto pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd import console
from edgekd.cli.options import Json, Quiet, Verbose


def leaderboard(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Searched for benchmark records, deep.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write the table as Markdown and HTML, and the pictures.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Rank the records in DIR by sensitivity, then speed; software GPUs and emulators have no latency.

    Example: edgekd leaderboard bench/results --out leaderboard
    """
    console.configure(quiet=quiet, verbose=verbose)
    from edgekd_bench.leaderboard import markdown, read_board, write_board

    entries = read_board(folder) if out is None else write_board(folder, out)
    if as_json:
        console.emit_json(entries)
    else:
        console.emit_text(markdown(entries).rstrip("\n"))
