"""How figures are drawn: one look, the same bytes every time, colours that a page can turn dark."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from edgekd import lazy

INK, FAINT, RULE = "#23272e", "#69717d", "#d5dae1"
_PALETTE = ("#3f82e0", "#17957f", "#c77f00", "#c2407e", "#7a5ad6", "#8a8f98")
NETWORK_COLOURS: Mapping[str, str] = {
    "teacher": "#8a8f98",
    "float student": "#3f82e0",
    "quantization-aware student": "#7a5ad6",
    "fp32": "#4b9cd3",
    "fp16": "#17957f",
    "dynamic": "#c77f00",
    "int8": "#c2407e",
    "int8-ptq": "#a0522d",
    "int8-mixed": "#d9773f",
    "int16x8": "#2f9fa8",
    "coreml-fp32": "#5b6bd5",
    "coreml-fp16": "#6f8f2f",
    "coreml-int8": "#b0508f",
    "coreml-pal4": "#c9a227",
}
_WIDTH_INCHES = 5.0
_PNG_DPI = 160
_LOOK = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edgekd",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.9,
}
_THEME = {INK: "var(--ink)", FAINT: "var(--faint)", RULE: "var(--rule)"}


def draw(paint: Callable[[Any], None], *, height_inches: float) -> str:
    """The SVG text of a figure that `paint` fills; the same calls give the same bytes.

    `paint` gets an empty `matplotlib.figure.Figure`.
    """
    text = io.StringIO()
    with _painted(paint, height_inches) as figure:
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    return re.sub(r"'?DejaVu Sans'?", "system-ui, sans-serif", "\n".join(lines)) + "\n"


def draw_png(paint: Callable[[Any], None], *, height_inches: float) -> bytes:
    """The same figure as a PNG on white."""
    pixels = io.BytesIO()
    with _painted(paint, height_inches) as figure:
        figure.savefig(pixels, format="png", dpi=_PNG_DPI, facecolor="white", metadata={"Software": None})
    return pixels.getvalue()


@contextmanager
def _painted(paint: Callable[[Any], None], height_inches: float) -> Iterator[Any]:
    plt = lazy.pyplot()
    with plt.rc_context(_LOOK):
        figure = plt.figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
        try:
            paint(figure)
            yield figure
        finally:
            plt.close(figure)


def colour(name: str) -> str:
    """The colour a network or file has in every figure."""
    return NETWORK_COLOURS.get(name) or _PALETTE[sum(name.encode()) % len(_PALETTE)]


def inline(name: str, svg: str, alternative: str) -> str:
    """`svg` as an element for a page: no XML head, ids of its own, colours of the theme, fluid width."""
    title = f'<title id="{name}-title">{html.escape(alternative)}</title>'
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r'(url\(#|xlink:href="#)', rf"\g<1>{name}-", element)
    for fixed, themed in _THEME.items():
        element = element.replace(fixed, themed)
    head, rest = element.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-labelledby="{name}-title">{title}{rest}'
