"""What people see: log and progress on stderr, tables and JSON on stdout."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from edgekd.plain import to_plain

log = logging.getLogger("edgekd")

_PLAIN_SECONDS = 10.0


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure(*, quiet: bool = False, verbose: bool = False) -> None:
    """Send the log of edgekd to stderr: warnings only when `quiet`, everything when `verbose`."""
    handler = _Stderr()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)


@contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
    """A function `advance(n, note)` that shows how far `label` is and the time left.

    A bar on a terminal; elsewhere a log line every ten seconds. Silent with `--quiet`.
    """
    if not log.isEnabledFor(logging.INFO):
        yield _silent
    elif sys.stderr.isatty():
        with _bar(label, total, unit) as advance:
            yield advance
    else:
        yield _Lines(label, total, unit).advance


@contextmanager
def _bar(label: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(label, total=total, note="")

        def advance(count: int, note: str = "") -> None:
            bars.update(task, advance=count, note=note)

        yield advance


class _Lines:
    """Progress as log lines, for pipes and CI."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = 0
        self._began = self._shown = time.monotonic()

    def advance(self, count: int, note: str = "") -> None:
        self._done += count
        now = time.monotonic()
        if now - self._shown < _PLAIN_SECONDS or not self._done:
            return
        self._shown = now
        left = (now - self._began) / self._done * (self._total - self._done)
        log.info(
            "%s %d/%d %s, %s left %s", self._label, self._done, self._total, self._unit, duration(left), note
        )


def duration(seconds: float) -> str:
    """`seconds` as people say it: 0.4 s, 12 s, 3 min 05 s, 1 h 02 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def emit_json(value: Any) -> None:
    """Write one JSON document to stdout."""
    sys.stdout.write(json.dumps(to_plain(value), indent=2, allow_nan=False) + "\n")


def emit_text(text: str) -> None:
    """Write `text` and a newline to stdout, unwrapped and without markup."""
    sys.stdout.write(text + "\n")


def emit_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout: drawn by rich on a terminal, plain aligned columns in a pipe."""
    if sys.stdout.isatty():
        _rich_table(title, columns, rows)
        return
    widths = [max(len(row[n]) for row in [columns, *rows]) for n in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in [columns, *rows]
    ]
    emit_text("\n".join([title, *(line.rstrip() for line in lines)] if title else lines))


def _rich_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _silent(count: int, note: str = "") -> None:
    del count, note
