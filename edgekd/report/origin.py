"""The sections about how it was made: training, commands, machines, versions, settings."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from edgekd.config import ModelConfig
from edgekd.console import duration
from edgekd.plain import to_plain
from edgekd.report import figures, words
from edgekd.report.blocks import Block, Cell, Figure, Listing, Section, Table, row
from edgekd.report.records import Records
from edgekd.training.history import Epoch, kept


def training_section(records: Records) -> Section | None:
    """Curves and the kept epoch of every training; None where none was recorded."""
    histories = {training: epochs for training, epochs in records.histories.items() if epochs}
    if not histories:
        return None
    return Section(
        anchor="training",
        title="The training",
        lead="The epoch kept is the best by smoothed validation AUC (mean of three epochs).",
        blocks=(
            Figure(
                name="training",
                caption="Validation AUC and training loss by epoch.",
                alternative="Two charts over the epochs, one line per training.",
                svg=figures.training(histories),
            ),
            Table(
                caption="What was trained; the validation AUC is that of the epoch kept.",
                columns=(
                    "training",
                    "network",
                    "parameters",
                    "epochs",
                    "kept epoch",
                    "validation AUC",
                    "time",
                ),
                rows=tuple(_trained(records, training, epochs) for training, epochs in histories.items()),
            ),
        ),
    )


def _trained(records: Records, training: str, epochs: Sequence[Epoch]) -> tuple[Cell, ...]:
    """A row; parameters and time are those of a whole station, so one of several folds has neither."""
    step = records.steps.get(training, {})
    best = kept(epochs)
    return row(
        training,
        _network(records, training.partition("/")[0]),
        words.whole(step.get("metrics", {}).get("parameters")),
        words.whole(len(epochs)),
        words.whole(best.epoch),
        words.number(best.validation_auc),
        _seconds(step),
    )


def _network(records: Records, station: str) -> str:
    if records.experiment is None:
        return words.ABSENT
    distill = records.experiment.distill
    if station == "teach":
        return _named(records.experiment.teach.model)
    method = f", {distill.method}" if station == "distill" else ", quantization-aware"
    return f"{_named(distill.model)}{method}"


def _named(model: ModelConfig) -> str:
    cut = f", first {model.blocks} blocks" if model.blocks else ""
    sliced = f", sliced from width {model.sliced_from:g}" if model.sliced_from else ""
    return f"{model.name}, width {model.width:g}{cut}{sliced}"


def _seconds(step: Mapping[str, Any]) -> str:
    seconds = step.get("provenance", {}).get("seconds")
    return words.ABSENT if seconds is None else duration(seconds)


def provenance_section(records: Records) -> Section:
    """Commands, machines, versions, keys and the whole configuration."""
    blocks: list[Block] = [_station_table(records.steps)]
    if any(artefact.sha256 for artefact in records.artefacts):
        blocks.append(_digest_table(records))
    blocks += [Listing(title="commands", items=tuple(_commands(records.steps)))]
    if records.experiment is not None:
        blocks.append(Listing(title="settings", items=tuple(_settings(to_plain(records.experiment)))))
    return Section(
        anchor="provenance",
        title="How it was made",
        lead="Each station left a record. Its key is the sha256 of everything its bytes depend on.",
        blocks=tuple(block for block in blocks if not isinstance(block, Listing) or block.items),
    )


def _station_table(steps: Mapping[str, Mapping[str, Any]]) -> Table:
    return Table(
        caption="The stations, in order.",
        columns=("station", "key", "time", "tools", "machine"),
        rows=tuple(
            row(
                station,
                Cell(text=str(step.get("key", ""))[:12]),
                _seconds(step),
                ", ".join(f"{name} {version}" for name, version in sorted(step.get("tools", {}).items())),
                _machine(step.get("provenance", {})),
            )
            for station, step in steps.items()
        ),
    )


def _machine(provenance: Mapping[str, Any]) -> str:
    parts = [
        f"edgekd {provenance['edgekd']}" if "edgekd" in provenance else "",
        f"Python {provenance['python']}" if "python" in provenance else "",
        str(provenance.get("system", "")),
    ]
    return ", ".join(part for part in parts if part)


def _digest_table(records: Records) -> Table:
    return Table(
        caption="The files, to be recognised by their bytes. MAC: multiplications for one image.",
        columns=("file", "sha256", "bytes", "MAC, millions", "operators with a float output"),
        rows=tuple(
            row(
                artefact.name,
                artefact.sha256 or words.ABSENT,
                words.whole(artefact.size_bytes),
                _millions((artefact.inspection or {}).get("macs")),
                words.whole((artefact.inspection or {}).get("float_operators")),
            )
            for artefact in records.artefacts
        ),
    )


def _millions(value: float | None) -> str:
    return words.ABSENT if value is None else f"{value / 1e6:.1f}"


def _commands(steps: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The different command lines, in the order of the stations they made."""
    made: dict[str, list[str]] = {}
    for station, step in steps.items():
        argv = step.get("provenance", {}).get("argv") or []
        if argv:
            command = shlex.join([PurePath(argv[0]).name, *argv[1:]])
            made.setdefault(command, []).append(station)
    return [f"{command}  ({', '.join(stations)})" for command, stations in made.items()]


def _settings(value: Any, where: str = "") -> Iterable[str]:
    """The configuration as `a.b = c` lines."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _settings(item, f"{where}.{name}" if where else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, item in enumerate(value):
            yield from _settings(item, f"{where}.{item.get('name', number)}")
    elif isinstance(value, list):
        yield f"{where} = {', '.join(str(item) for item in value)}"
    else:
        yield f"{where} = {value}"
