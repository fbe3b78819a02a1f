"""What a search found, for people: a table, a picture, and the command that trains the winner."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekd.drawing import FAINT, INK, draw, draw_png
from edgekd.plain import write_json, write_text
from edgekd.search.record import SearchRecord, Trial, TrialState, best
from edgekd_bench.markdown import NONE, estimate
from edgekd_bench.markdown import lines as table_lines

RECORD, PAGE, PICTURE = "results.json", "README.md", "pareto"
HEAD = (
    "trial",
    "state",
    "kB",
    "ms",
    "× reference",
    "MMAC",
    "epochs",
    "AUC searched by",
    "AUC of kept weights",
)
_COLOUR, _OTHERS = "#c2407e", "#3f82e0"
_NAMED = 6


def write_results(folder: Path, record: SearchRecord) -> None:
    """Write results.json and README.md, and pareto.svg and pareto.png once a trial is complete.

    Raises:
        MissingExtraError: there is something to draw, and matplotlib is not installed.
    """
    write_json(folder / RECORD, record)
    write_text(folder / PAGE, page(record))
    if record.front:
        write_text(folder / f"{PICTURE}.svg", draw(lambda figure: _paint(figure, record), height_inches=6.6))
        (folder / f"{PICTURE}.png").write_bytes(
            draw_png(lambda figure: _paint(figure, record), height_inches=6.6)
        )


def rows(record: SearchRecord) -> list[tuple[str, ...]]:
    """The cells of the table under `HEAD`: the complete by their value, then the others as they came."""
    whole = best(record.trials)
    others = [trial for trial in record.trials if trial.state is not TrialState.COMPLETE]
    return [_row(trial, record) for trial in [*whole, *others]]


def summary(record: SearchRecord) -> str:
    """One line: what was searched, on how many images, and how sure the first place is."""
    whole = best(record.trials)
    if not whole:
        return f"{record.question.experiment}: no trial is complete yet"
    first = whole[0]
    said = (
        f"{record.question.experiment}: {len(whole)} of {len(record.trials)} trials complete; validation, "
        f"n = {first.n}, {first.n_positive} malignant; 95 % intervals"
    )
    if record.margin and record.margin.value is not None:
        said += f"; first − second {estimate(record.margin, signed=True)}"
    return said


def page(record: SearchRecord) -> str:
    """The README of a search."""
    lines = [
        f"# Search: {record.question.experiment}",
        "",
        summary(record) + ".",
        *_circumstances(record),
        "",
    ]
    lines += table_lines((HEAD, ("---",) * len(HEAD), *rows(record)))
    reasons = [f"- `{trial.name}`: {trial.reason}" for trial in record.trials if trial.reason]
    lines += ["", *reasons]
    if record.front:
        lines += ["", f"![Validation AUC against size and latency]({PICTURE}.png)", "", *_next(record)]
    return "\n".join(lines) + "\n"


def command_of(record: SearchRecord) -> str:
    """The command that trains the best trial as an ordinary run; empty while there is none."""
    trial = next((one for one in record.trials if one.name == record.best), None)
    if trial is None:
        return ""
    asked = record.question
    changes = [part for setting in trial.settings for part in ("--set", setting)]
    return shlex.join(
        [
            "edgekd",
            "run",
            asked.experiment,
            *asked.options,
            *changes,
            "--out",
            f"runs/{asked.experiment}-best",
        ]
    )


def _row(trial: Trial, record: SearchRecord) -> tuple[str, ...]:
    screen = trial.screen
    costs = (
        (
            f"{screen.size_bytes / 1000:.0f}",
            f"{screen.latency_ms:.2f}",
            f"{screen.relative_latency:.2f}",
            f"{screen.macs / 1e6:.0f}",
        )
        if screen
        else (NONE,) * 4
    )
    mark = " (front)" if trial.name in record.front else ""
    value = NONE if trial.value is None else f"{trial.value:.4f}"
    epochs = str(trial.epochs) if trial.epochs else NONE
    return (trial.name, f"{trial.state}{mark}", *costs, epochs, value, estimate(trial.validation_auc))


def _circumstances(record: SearchRecord) -> list[str]:
    asked = record.question
    screens = [trial.screen for trial in record.trials if trial.screen]
    said = [
        f"Budget: {_budget(record)}. Pruner: {asked.pruner}; seed {asked.seed}. The test split was not "
        "looked at. The AUC searched by is the mean of the last three epochs at the kept one; the best of "
        "many is too high by selection: judge the winner on images that chose nothing.",
    ]
    if screens:
        versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        said.append(
            f"Size and latency: untrained int8 files calibrated on noise, beside {asked.reference} "
            f"({screens[0].reference_ms:.2f} ms p50) in the same {asked.rounds} rounds, {screens[0].engine}, "
            f"{record.device}; {versions}."
        )
    return said


def _budget(record: SearchRecord) -> str:
    budget = record.question.budget
    parts = (
        (budget.bytes, f"{budget.bytes:,} bytes"),
        (budget.ms, f"{budget.ms:g} ms"),
        (budget.relative_latency, f"{budget.relative_latency:g} × the reference's latency"),
    )
    return ", ".join(text for value, text in parts if value) or "none"


def _next(record: SearchRecord) -> list[str]:
    return [
        "The best as a run of its own, with its test split judged once:",
        "```sh",
        command_of(record),
        "```",
    ]


def _paint(figure: Any, record: SearchRecord) -> None:
    panels = figure.subplots(2, 1)
    axes_of = (
        (
            "size of the int8 file, kB",
            lambda trial: trial.screen.size_bytes / 1000,
            record.question.budget.bytes / 1000,
        ),
        (
            "latency relative to the reference",
            lambda trial: trial.screen.relative_latency,
            record.question.budget.relative_latency,
        ),
    )
    for axes, (label, cost, most) in zip(panels, axes_of, strict=True):
        _panel(axes, record, cost)
        axes.set(xlabel=label, ylabel="validation AUC (smoothed)")
        axes.set_title("● complete   ▽ stopped early   red: the front", fontsize=9, fontweight="normal")
        if most:
            axes.axvline(most, color=FAINT, linestyle="--", linewidth=1.2)
            axes.annotate(
                "budget",
                (most, 1),
                (-4, -2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="right",
                va="top",
                color=FAINT,
                fontsize=9,
            )


def _panel(axes: Any, record: SearchRecord, cost: Any) -> None:
    drawn = [trial for trial in record.trials if trial.screen and trial.value is not None]
    for trial in drawn:
        whole = trial.state is TrialState.COMPLETE
        chosen = trial.name in record.front
        face = (_COLOUR if chosen else _OTHERS) if whole else "none"
        axes.plot(
            cost(trial),
            trial.value,
            "o" if whole else "v",
            color=_COLOUR if chosen else _OTHERS,
            markerfacecolor=face,
            markersize=8 if chosen else 6,
        )
    steps = _steps([trial for trial in drawn if trial.name in record.front], cost)
    axes.step(*zip(*steps, strict=True), where="post", color=_COLOUR, linewidth=1.0, alpha=0.6)
    for trial in best(record.trials)[:_NAMED]:
        if trial.name in record.front:
            axes.annotate(
                trial.name,
                (cost(trial), trial.value),
                (5, -11),
                textcoords="offset points",
                fontsize=7,
                color=INK,
            )
    axes.margins(x=0.22, y=0.15)
    axes.locator_params(axis="x", nbins=5)


def _steps(trials: Sequence[Trial], cost: Any) -> list[tuple[float, float]]:
    """The best value for at most each cost, from the cheapest on."""
    found: list[tuple[float, float]] = []
    for trial in sorted(trials, key=lambda one: (cost(one), -(one.value or 0))):
        if not found or (trial.value or 0) > found[-1][1]:
            found.append((cost(trial), trial.value or 0))
    return found
