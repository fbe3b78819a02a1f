"""The picture of an embedding: a point an image, colour and shape for its label, and how to read it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.drawing import FAINT

# Okabe and Ito 2008, without yellow and black: seven that no common colour blindness confuses.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7a7f87")
_SHAPES = ("o", "^", "s", "D", "v", "P", "X")
_LINE = 78
_MANY = 5000
_LEGEND_COLUMNS = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """`points` [n, 2] with a label each; labels in `malignant` are called so.

    `ticks`: x and y are numbers that mean something.
    """

    points: NDArray[np.float32]
    labels: Sequence[str]
    malignant: Collection[str]
    title: str
    caption: str
    ticks: bool


def height_inches(picture: Picture) -> float:
    """How tall the figure of `picture` is to be."""
    width, height = np.ptp(picture.points, axis=0).tolist()
    legend = ceil(len(set(picture.labels)) / _LEGEND_COLUMNS)
    return 4.6 * float(np.clip(height / width, 0.6, 1.2)) + 0.6 + 0.22 * legend + 0.15 * len(_lines(picture))


def picture_painter(picture: Picture) -> Callable[[Any], None]:
    """A function that paints `picture` into an empty matplotlib figure, for `edgekd.drawing.draw`.

    The commonest label is painted first, so that the rare ones lie on top.
    """

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        names = np.array(picture.labels)
        for number, (name, count) in enumerate(_ordered(picture.labels)):
            chosen = picture.points[names == name]
            axes.scatter(
                *chosen.T,
                s=_area(len(names)),
                color=_COLOURS[number % len(_COLOURS)],
                marker=_SHAPES[(number + number // len(_COLOURS)) % len(_SHAPES)],
                linewidths=0.0 if len(names) > _MANY else 0.3,
                edgecolors="white",
                label=f"{name}{' (malignant)' if name in picture.malignant else ''}, n = {count}",
                rasterized=len(names) > _MANY,  # a page of so many shapes would take seconds to draw
            )
        axes.set_title(picture.title)
        axes.set_xlabel("\n".join(_lines(picture)), loc="left", fontsize=8, color=FAINT, labelpad=8)
        axes.set_aspect("equal", adjustable="datalim")
        if not picture.ticks:
            axes.set(xticks=[], yticks=[])
            axes.spines[["left", "bottom"]].set_visible(False)
        figure.legend(
            loc="outside lower left",
            fontsize=10,
            ncols=_LEGEND_COLUMNS,
            markerscale=sqrt(40 / _area(len(names))),
        )

    return paint


def _ordered(labels: Sequence[str]) -> list[tuple[str, int]]:
    """Labels with their counts, the commonest first; equally common ones by name."""
    return sorted(Counter(labels).items(), key=lambda item: (-item[1], item[0]))


def _area(count: int) -> float:
    """The area of a point, in points²: smaller, the more there are."""
    return float(np.clip(9000 / count, 4, 26))


def _lines(picture: Picture) -> list[str]:
    return textwrap.wrap(picture.caption, _LINE)
