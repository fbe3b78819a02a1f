"""The leaderboard as pictures and as one HTML file that loads nothing."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekd.drawing import FAINT, colour, draw, draw_png, inline
from edgekd_bench.leaderboard import (
    HEAD,
    Entry,
    Point,
    cells,
    evaluated_alike,
    latency_points,
    notes,
    pareto,
    size_points,
    split_of,
)

_PANEL_INCHES, _HEAD_INCHES = 3.4, 0.5
_LINE_POINTS = 12.0
_WIDE = 10.0
_STYLE = """
:root { --ink: #23272e; --faint: #69717d; --rule: #d5dae1; --paper: #fff; color-scheme: light dark }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --faint: #99a2ae; --rule: #3a414b; --paper: #15181c }
}
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid var(--rule); padding: .3rem .7rem; text-align: left; white-space: nowrap }
figure { margin: 2rem 0; max-width: 40rem } figcaption, .note { color: var(--faint) }
"""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture in both formats and what it shows, in words."""

    name: str
    svg: str
    png: bytes
    caption: str


def pictures(entries: Sequence[Entry]) -> list[Picture]:
    """Sensitivity against latency and against size; none where nothing was evaluated.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    shown = evaluated_alike(entries)
    if not shown:
        return []
    split, front = split_of(shown[0]), "the line joins those that no other beats in both"
    panels = {
        "pareto_latency": (latency_points(entries), "latency of one run, ms: dot p50, bar to p90"),
        "pareto_size": ({"every file": size_points(entries)}, "size of the file, MB (10⁶ bytes)"),
    }
    return [
        _picture(name, found, label, split, f"Sensitivity (95 % interval, {split}) against {label}; {front}.")
        for name, (found, label) in panels.items()
        if found
    ]


def _picture(name: str, panels: Mapping[str, list[Point]], label: str, split: str, caption: str) -> Picture:
    paint, height = _painter(panels, label, split), _HEAD_INCHES + _PANEL_INCHES * len(panels)
    return Picture(
        name=name,
        svg=draw(paint, height_inches=height),
        png=draw_png(paint, height_inches=height),
        caption=caption,
    )


def _painter(panels: Mapping[str, list[Point]], label: str, split: str) -> Callable[[Any], None]:
    def paint(figure: Any) -> None:
        column = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, (title, points) in zip(column, panels.items(), strict=True):
            _panel(axes, points)
            axes.set(title=title, xlabel=label, ylabel=f"sensitivity, fraction\n{split}")

    return paint


def _panel(axes: Any, points: Sequence[Point]) -> None:
    front = pareto(points)
    axes.step(
        [point.cost for point in front],
        [point.sensitivity.value for point in front],
        where="post",
        color=FAINT,
        linewidth=1.2,
        linestyle="--",
        zorder=1,
    )
    for point in points:
        ink, at = _ink(point), point.sensitivity
        axes.plot([point.cost, point.cost], [at.low, at.high], color=ink, linewidth=2.2, alpha=0.45)
        axes.plot([point.cost, point.cost_to], [at.value, at.value], color=ink, linewidth=2.2, alpha=0.45)
        edge = FAINT if point in front else "white"
        if point.noisy:
            axes.plot(point.cost, at.value, "o", color=ink, markersize=8, fillstyle="none")
        else:
            axes.plot(point.cost, at.value, "o", color=ink, markersize=9, markeredgecolor=edge)
    _scale(axes, min(point.cost for point in points), max(point.cost_to for point in points))
    axes.margins(y=0.12)
    _name(axes, points)


def _scale(axes: Any, least: float, most: float) -> None:
    """From 0 on; where one takes ten times another, by powers, so that the others can be told apart."""
    if most < _WIDE * least:
        axes.set_xlim(0, 1.3 * most)
        return
    axes.set_xscale("log", subs=[])
    axes.xaxis.get_major_locator().set_params(subs=(1, 2, 5))
    axes.set_xlim(0.7 * least, 2.5 * most)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter("")


def _name(axes: Any, points: Sequence[Point]) -> None:
    """Write each name to the right of its dot, moved up where it would cover one written before."""
    axes.figure.canvas.draw()
    taken: list[tuple[float, float]] = []
    scale = 72 / axes.figure.dpi
    for point in sorted(points, key=lambda one: (one.sensitivity.value or 0.0, one.cost)):
        x, y = (float(v) * scale for v in axes.transData.transform((point.cost_to, point.sensitivity.value)))
        lift = 0.0
        while any(abs(x - a) < _width(point) and abs(y + lift - b) < _LINE_POINTS for a, b in taken):
            lift += _LINE_POINTS / 2
        taken.append((x, y + lift))
        axes.annotate(
            point.label,
            (point.cost_to, point.sensitivity.value),
            (9, lift),
            textcoords="offset points",
            va="center",
            fontsize=10,
            color=_ink(point),
        )


def _ink(point: Point) -> str:
    return colour(point.label.rsplit("/", 1)[-1])


def _width(point: Point) -> float:
    return 6.5 * len(point.label) + 12


def page(entries: Sequence[Entry], drawn: Sequence[Picture]) -> str:
    """The whole page: table, notes and pictures; it loads nothing and runs nothing."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in HEAD)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells(entry)) + "</tr>"
        for entry in entries
    )
    figures = "\n".join(
        f"<figure>{inline(one.name, one.svg, one.caption)}<figcaption>{html.escape(one.caption)}</figcaption>"
        "</figure>"
        for one in drawn
    )
    said = "\n".join(f'<p class="note">{html.escape(note)}</p>' for note in notes(entries))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Leaderboard</title><style>{_STYLE}</style></head>\n<body><h1>Leaderboard</h1>\n"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>\n'
        f"{said}\n{figures}\n</body></html>\n"
    )
