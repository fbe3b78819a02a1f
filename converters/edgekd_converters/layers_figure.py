"""The picture of a layer report: what every layer does to the answer, and the signal left, by depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgekd_converters.layers import LayerReport

HEIGHT_INCHES = 6.4
_NAMED = 5
_SHOWN_DB = 80.0


def layers_painter(report: LayerReport, *, strong: str, weak: str) -> Callable[[Any], None]:
    """A function that paints `report` into an empty matplotlib figure, for `edgekd.drawing.draw`.

    Above, the error of the logits each layer's own rounding makes, the worst named; below, the
    signal-to-noise ratio by depth, accumulated and own (cut off at 80 dB). `strong` and `weak` are the
    colours of the worst layers and of the others.
    """

    def paint(figure: Any) -> None:
        effect, ratio = figure.subplots(2, 1, sharex=True)
        worst = report.worst(_NAMED)
        _paint_effect(effect, report, {layer.place for layer in worst}, strong, weak)
        for number, layer in enumerate(worst):
            effect.annotate(
                layer.layer,
                (layer.place, layer.logit_error),
                (0.42, 0.92 - 0.11 * number),
                textcoords="axes fraction",
                fontsize=9,
                va="center",
                arrowprops={"arrowstyle": "-", "color": weak, "linewidth": 0.8, "shrinkB": 3},
            )
        places = [layer.place for layer in report.layers]
        for name, colour in (("accumulated", strong), ("own", weak)):
            values = [min(getattr(layer, f"{name}_sqnr_db"), _SHOWN_DB) for layer in report.layers]
            ratio.plot(places, values, "o-", color=colour, markersize=3, linewidth=1.2, label=name)
        effect.set_title("error of the logits by one layer's rounding alone (mean, logits)")
        ratio.set_title("signal to quantization noise, dB")
        ratio.set_xlabel(f"layer in running order ({report.n_images} images)")
        figure.legend(*ratio.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=10)

    return paint


def _paint_effect(axes: Any, report: LayerReport, worst: set[int], strong: str, weak: str) -> None:
    places = [layer.place for layer in report.layers]
    colours = [strong if place in worst else weak for place in places]
    axes.bar(places, [layer.logit_error for layer in report.layers], width=0.8, color=colours)
    axes.grid(visible=False, axis="x")
