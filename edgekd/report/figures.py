"""The figures: ROC, calibration, cost and sensitivity, paired differences, training, net benefit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekd.drawing import FAINT, RULE, colour, draw
from edgekd.metrics.calibration import probability, reliability
from edgekd.metrics.decision_curve import decision_curve
from edgekd.metrics.intervals import Estimate
from edgekd.metrics.ranking import roc_curve
from edgekd.report import words
from edgekd.report.records import NETWORKS, Artefact, Network
from edgekd.training.history import Epoch

_LARGEST_THRESHOLD = 0.5


def roc(networks: Sequence[Network]) -> str:
    """ROC curves; a dot marks the operating point fitted on validation."""

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.2, linestyle="--")
        for network in networks:
            predictions, record = network.predictions, network.evaluation
            if predictions is None or record is None:
                continue
            false, true, _ = roc_curve(predictions.labels, predictions.score)
            area = f"{record.auc.value:.3f}" if record.auc.value is not None else "undefined"
            axes.plot(false, true, color=colour(network.name), label=f"{network.name}, AUC {area}")
            if record.sensitivity.value is not None and record.specificity.value is not None:
                at = (1 - record.specificity.value, record.sensitivity.value)
                axes.plot(*at, "o", color=colour(network.name), markersize=9, markeredgecolor="white")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set(xlabel="1 − specificity (fraction of benign)", ylabel="sensitivity (fraction of malignant)")
        figure.legend(loc="outside lower left", fontsize=10)

    return draw(paint, height_inches=5.4 + 0.2 * len(networks))


def calibration_plot(networks: Sequence[Network]) -> str:
    """Observed share of malignant against predicted probability, ten bins of equal mass, with counts."""

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.2, linestyle="--")
        for network in networks:
            predictions, record = network.predictions, network.evaluation
            if predictions is None or record is None:
                continue
            found = reliability(predictions.labels, probability(predictions.score, record.temperature))
            axes.plot(
                found.mean_predicted,
                found.observed,
                "o-",
                color=colour(network.name),
                markersize=5,
                label=f"{network.name}, ECE {record.ece:.3f}",
            )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set(xlabel="predicted probability of malignancy", ylabel="observed share of malignant")
        axes.legend(loc="upper left", fontsize=10)

    return draw(paint, height_inches=4.8)


def costs(
    artefacts: Sequence[Artefact], threads: int, margin: float | None, reference: Network | None
) -> str:
    """Size, latency and sensitivity of every file, one row per file in each of three panels."""

    def paint(figure: Any) -> None:
        size, latency, sensitivity = figure.subplots(3, 1)
        names = [artefact.name for artefact in artefacts]
        places = np.arange(len(artefacts))[::-1]
        for axes in (size, latency, sensitivity):
            axes.set_yticks(places, names)
            axes.set_ylim(-0.6, len(artefacts) - 0.4)
            axes.grid(visible=False, axis="y")
        for place, artefact in zip(places, artefacts, strict=True):
            if artefact.size_bytes is not None:
                told = words.megabytes(artefact.size_bytes)
                _bar(size, place, artefact.name, artefact.size_bytes / 1e6, tick=0, told=told)
            timing = artefact.bench(threads)
            if timing is not None and timing.latency_ms is not None:
                found = timing.latency_ms
                _bar(
                    latency,
                    place,
                    artefact.name,
                    found.p50,
                    tick=found.p90,
                    told=words.milliseconds(found.p50),
                )
            if artefact.evaluation is not None:
                _interval(sensitivity, place, artefact.name, artefact.evaluation.sensitivity)
        size.set_title("size of the file, MB (10⁶ bytes)")
        latency.set_title(f"latency, ms: bar p50, tick p90, {words.threads(threads)}")
        sensitivity.set_title("sensitivity, fraction, 95 % interval")
        _mark_margin(sensitivity, margin, reference)

    return draw(paint, height_inches=1.4 + 1.05 * max(len(artefacts), 2) * 0.9 + 2.0)


def _bar(axes: Any, place: float, name: str, value: float, *, tick: float, told: str) -> None:
    axes.barh(place, value, height=0.55, color=colour(name), alpha=0.85)
    if tick:
        axes.plot([tick, tick], [place - 0.3, place + 0.3], color=colour(name), linewidth=2.2)
    axes.annotate(told, (max(value, tick), place), (6, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, max(axes.get_xlim()[1], max(value, tick) * 1.28))


def _interval(axes: Any, place: float, name: str, estimate: Estimate) -> None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return
    axes.plot([estimate.low, estimate.high], [place, place], color=colour(name), linewidth=3, alpha=0.55)
    axes.plot(estimate.value, place, "o", color=colour(name), markersize=8)


def _mark_margin(axes: Any, margin: float | None, reference: Network | None) -> None:
    """Lines at the float student's sensitivity and at the least that is tolerated."""
    if reference is None or reference.evaluation is None or reference.evaluation.sensitivity.value is None:
        return
    value = reference.evaluation.sensitivity.value
    axes.axvline(value, color=FAINT, linewidth=1.2)
    if margin is not None:
        axes.axvline(value - margin, color=FAINT, linewidth=1.2, linestyle=":")


def differences(artefacts: Sequence[Artefact], margin: float) -> str:
    """Paired differences of sensitivity to the float student with their intervals, and the margin."""
    judged = [artefact for artefact in artefacts if artefact.verdict is not None]

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=FAINT, linewidth=1.2)
        axes.axvline(-margin, color=FAINT, linewidth=1.2, linestyle=":")
        axes.annotate(
            f"margin −{margin:g}",
            (-margin, len(judged) - 0.45),
            (-4, 0),
            textcoords="offset points",
            ha="right",
        )
        places = np.arange(len(judged))[::-1]
        for place, artefact in zip(places, judged, strict=True):
            if artefact.verdict is not None:
                _interval(axes, place, artefact.name, artefact.verdict.sensitivity_difference)
        axes.set_yticks(places, [artefact.name for artefact in judged])
        axes.set_ylim(-0.6, len(judged) - 0.1)
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -2.2 * margin), max(high, 1.5 * margin))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("sensitivity, file − float student (fraction)")

    return draw(paint, height_inches=1.3 + 0.45 * len(judged))


def training(histories: Mapping[str, Sequence[Epoch]]) -> str:
    """Validation AUC and training loss by epoch of every training; folds look alike."""

    def paint(figure: Any) -> None:
        area, loss = figure.subplots(2, 1, sharex=True)
        for training, epochs in histories.items():
            station, _, fold = training.partition("/")
            name = NETWORKS[station]
            numbers = [epoch.epoch for epoch in epochs]
            label = name if fold in {"", "fold-0"} else None  # folds share a colour and a place in the legend
            style = {"color": colour(name), "marker": "o", "markersize": 3.5, "label": label}
            area.plot(numbers, [epoch.validation_auc for epoch in epochs], **style)
            loss.plot(numbers, [epoch.losses.get("loss", np.nan) for epoch in epochs], **style)
        area.set_title("validation AUC")
        loss.set_title("training loss (each station has its own)")
        loss.set_xlabel("epoch")
        loss.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(*area.get_legend_handles_labels(), loc="outside lower left", fontsize=10)

    return draw(paint, height_inches=5.4)


def net_benefit(networks: Sequence[Network]) -> str:
    """Net benefit per image over the probability at which one would act."""

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        at = np.linspace(0.01, _LARGEST_THRESHOLD, 100)
        every: Any = None
        for network in networks:
            predictions, record = network.predictions, network.evaluation
            if predictions is None or record is None:
                continue
            proba = probability(predictions.score, record.temperature)
            curve = decision_curve(predictions.labels, proba, at)
            axes.plot(at, curve.model, color=colour(network.name), label=network.name)
            every = curve.call_all
        if every is not None:
            axes.plot(at, every, color=FAINT, linewidth=1.2, linestyle="--", label="call every lesion")
            axes.set_ylim(-0.05, max(float(every[0]), 0.05) * 1.15)
        axes.axhline(0, color=FAINT, linewidth=1.2, label="call none")
        axes.set(xlim=(0, _LARGEST_THRESHOLD), xlabel="threshold probability", ylabel="net benefit per image")
        figure.legend(loc="outside lower left", ncols=2, fontsize=10)

    return draw(paint, height_inches=4.6)
