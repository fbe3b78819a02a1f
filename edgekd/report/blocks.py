"""What a page is made of: sections of tables, figures and lists, all text ready to be shown."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Tone(enum.StrEnum):
    """How a cell is coloured; the words always say the same."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One value of a table and, smaller, its circumstances (interval, counts)."""

    text: str
    note: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; the first cell of a row is its heading. `caption` says on what the numbers rest."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    kind: str = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing: `svg` is a whole file, `alternative` says in words what it shows."""

    name: str
    caption: str
    alternative: str
    svg: str
    kind: str = "figure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list that is folded away on the page, e.g. image ids."""

    title: str
    items: tuple[str, ...]
    kind: str = "listing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """Paragraphs."""

    paragraphs: tuple[str, ...]
    kind: str = "prose"


Block = Table | Figure | Listing | Prose


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the page; `anchor` is its address in it."""

    anchor: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One file of the run at a glance."""

    title: str
    verdict: Cell
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The whole report. `missing` names every record that could not be read."""

    title: str
    subtitle: str
    intended_use: str
    tiles: tuple[Tile, ...]
    missing: tuple[str, ...]
    sections: tuple[Section, ...]


def row(*values: Cell | str) -> tuple[Cell, ...]:
    """A row of a table from cells and plain texts."""
    return tuple(value if isinstance(value, Cell) else Cell(text=value) for value in values)
