"""`Explained`: the record of one explained picture in a run folder, beside its drawing.

RUN/explanations/<name>.json    this record (edgekd.explained/1)
RUN/explanations/<name>.svg     the drawing
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import UsageError
from edgekd.plain import from_plain, read_json, write_json, write_text

SCHEMA = "edgekd.explained/1"
FOLDER = "explanations"


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What was asked of which model about which picture; `score` in log odds, `meaning` in one sentence."""

    schema: str = SCHEMA
    image: str
    model: str
    method: str
    meaning: str
    score: float
    patch_px: int | None = None
    stride_px: int | None = None

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"explained picture: schema is {self.schema!r}, expected {SCHEMA!r}")


def keep(run: Path, name: str, explained: Explained, svg: str) -> None:
    """Put the record and its drawing into the run folder as `name`, in place of those that are there."""
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    write_text(folder / f"{name}.svg", svg)
    write_json(folder / f"{name}.json", explained)


def read_explained(path: Path) -> Explained:
    """The record in the file `path`.

    Raises:
        OSError, ValueError, UsageError: it cannot be read as one.
    """
    return from_plain(Explained, read_json(path), path.name)
