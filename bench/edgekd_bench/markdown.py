"""Tables in Markdown: a row of cells as a line, an estimate as a cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgekd.metrics.intervals import Estimate

NONE = "–"


def lines(rows: Iterable[Sequence[str]]) -> list[str]:
    """A line for each of `rows` (head, rule and body alike); a bar inside a cell is escaped."""
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def estimate(value: Estimate | None, *, signed: bool = False, none: str = NONE) -> str:
    """`0.842 [0.791, 0.880]`, with a sign for a difference; `none` where there is no value or interval."""
    if value is None or value.value is None or value.low is None or value.high is None:
        return none
    sign = "+" if signed else ""
    return f"{value.value:{sign}.3f} [{value.low:{sign}.3f}, {value.high:{sign}.3f}]"
