"""The section of the pictures that somebody asked to have explained with `edgekd explain --report RUN`."""

from __future__ import annotations

from pathlib import Path

from edgekd.console import log
from edgekd.errors import UsageError
from edgekd.explained import FOLDER, Explained, read_explained
from edgekd.report.blocks import Figure, Section

_LEAD = (
    "What the score of single pictures hangs on. Such a map shows what the network reacts to, not where a "
    "disease is, and one picture says nothing of the others."
)


def explained_section(run: Path) -> Section | None:
    """The maps kept in the run folder, in the order of their names; None without any."""
    blocks = tuple(
        block for path in sorted((run / FOLDER).glob("*.json")) if (block := _figure(path)) is not None
    )
    if not blocks:
        return None
    return Section(anchor="explained", title="Explained pictures", lead=_LEAD, blocks=blocks)


def _figure(path: Path) -> Figure | None:
    try:
        kept = read_explained(path)
        svg = path.with_suffix(".svg").read_text(encoding="utf-8")
    except (OSError, ValueError, UsageError) as error:
        log.warning("report: %s is left out (%s)", path.name, error)
        return None
    return Figure(
        name=f"explained-{path.stem}",
        caption=f"{kept.image}, {kept.model}: {_method(kept)}. {kept.meaning} Score {kept.score:+.3f}.",
        alternative=f"{kept.image} and the {kept.method} map of its score over it",
        svg=svg,
    )


def _method(kept: Explained) -> str:
    if kept.patch_px is None:
        return kept.method
    return f"{kept.method} by patches of {kept.patch_px} px in steps of {kept.stride_px}"
