"""The picture of a profile: where the time goes, and every operator under the roofline."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekd.drawing import INK, draw, draw_png
from edgekd_bench.profile import OperatorTime, Profile
from edgekd_bench.roofline import Peaks

_LONGEST = 20
_BAR_INCHES, _ROOF_INCHES, _HEAD_INCHES = 0.21, 4.6, 1.0
_COLOURS = {
    "CONV_2D": "#3f82e0",
    "DEPTHWISE_CONV_2D": "#17957f",
    "FULLY_CONNECTED": "#7a5ad6",
    "QUANTIZE": "#c77f00",
    "DEQUANTIZE": "#c77f00",
    "ADD": "#c2407e",
}
_OTHER = "#8a8f98"


def picture(found: Profile) -> tuple[str, bytes]:
    """SVG text and PNG bytes: the longest layers, and below them the roofline where peaks were measured.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    bars = _BAR_INCHES * min(len(found.by_layer), _LONGEST) + _HEAD_INCHES
    roof = _ROOF_INCHES if found.peaks else 0.0

    def paint(figure: Any) -> None:
        if found.peaks is None:
            _bars(figure.add_subplot(), found)
            return
        above, below = figure.subplots(2, 1, height_ratios=(bars, roof))
        _bars(above, found)
        _roofline(below, found, found.peaks)

    return draw(paint, height_inches=bars + roof), draw_png(paint, height_inches=bars + roof)


def _bars(axes: Any, found: Profile) -> None:
    groups = found.by_layer[:_LONGEST]
    kinds = {one.layer: one.kind for one in found.operators}
    places = np.arange(len(groups))[::-1]
    for place, group in zip(places, groups, strict=True):
        axes.barh(place, group.ms, height=0.7, color=_colour(kinds[group.name]), alpha=0.85)
        axes.annotate(
            f"{group.share:.1%}",
            (group.ms, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(places, [group.name for group in groups], fontsize=8)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.15, y=0.02)
    left = len(found.by_layer) - len(groups)
    more = f"; {left} shorter ones left out" if left else ""
    axes.set_title(f"{found.name}: {found.invoke_ms:.2f} ms, threads: {found.threads}", fontsize=10)
    axes.set_xlabel(f"ms by layer{more}", fontsize=9)
    for kind in dict.fromkeys(kinds[group.name] for group in groups):
        axes.barh(0, 0, color=_colour(kind), label=kind)
    axes.legend(loc="lower right", fontsize=8)
    axes.tick_params(axis="x", labelsize=9)


def _roofline(axes: Any, found: Profile, peaks: Peaks) -> None:
    shown = [one for one in found.operators if one.gmac_per_s and one.macs and one.bytes_moved]
    intensity = [_intensity(one) for one in shown]
    at = np.geomspace(min([0.1, *intensity]) / 2, max([100.0, *intensity]) * 4, 200)
    fastest = max(one.gb_per_s for one in peaks.bandwidths)
    for name, peak, bandwidth, style in (
        ("int8, cache", peaks.int8_gmac_per_s, fastest, "-"),
        ("float32, cache", peaks.float32_gmac_per_s, fastest, "--"),
        ("int8, memory", peaks.int8_gmac_per_s, peaks.bandwidths[-1].gb_per_s, ":"),
    ):
        label = f"{name}: {peak:.0f} GMAC/s, {bandwidth:.0f} GB/s"
        axes.plot(
            at, np.minimum(peak, at * bandwidth), color=INK, linestyle=style, linewidth=1.2, label=label
        )
    for kind in dict.fromkeys(one.kind for one in shown):
        same = [one for one in shown if one.kind == kind]
        axes.scatter(
            [_intensity(one) for one in same],
            [one.gmac_per_s for one in same],
            [12 + 600 * one.share for one in same],
            color=_colour(kind),
            alpha=0.7,
            label=kind,
        )
    axes.set(xscale="log", yscale="log")
    axes.set_xlabel("multiply-adds per byte; area of a dot: share of the time", fontsize=9)
    axes.set_ylabel("GMAC/s", fontsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter("")
    axes.tick_params(labelsize=9)
    axes.set_title(f"roofline of this machine, threads: {found.threads}", fontsize=10)
    kinds = len(axes.get_legend_handles_labels()[0])
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.18), ncols=2 if kinds > 3 else 1, fontsize=7)


def _colour(kind: str) -> str:
    return _COLOURS.get(kind, _OTHER)


def _intensity(one: OperatorTime) -> float:
    return (one.macs or 0) / max(one.bytes_moved or 1, 1)
