"""The one line: data → teach → distill → qat → export → verify → bench → report, in this order only here."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekd import stations
from edgekd.config import IMAGENET, NO_WEIGHTS, DistillMethod, Experiment, ModelConfig, Precision, Strategy
from edgekd.config.later import as_before
from edgekd.console import log
from edgekd.errors import ContractError, EdgekdError, UnknownNameError, UsageError
from edgekd.plain import file_digest, from_plain, read_json, to_plain, write_json
from edgekd.runs import Finding, Run, State, Step
from edgekd.training.workers import place_among_workers


class Station(enum.StrEnum):
    """The stations, in the order of the line."""

    DATA = "data"
    TEACH = "teach"
    DISTILL = "distill"
    QAT = "qat"
    EXPORT = "export"
    VERIFY = "verify"
    BENCH = "bench"
    REPORT = "report"


# Raised by hand when the code of a station changes the bytes it makes.
_CHANGED = {Station.DATA: 2, Station.DISTILL: 4, Station.EXPORT: 4, Station.VERIFY: 5}
_VERSIONS: Mapping[Station, int] = {**dict.fromkeys(Station, 1), **_CHANGED}

_NEEDS: Mapping[Station, tuple[Station, ...]] = {
    Station.DATA: (),
    Station.TEACH: (Station.DATA,),
    Station.DISTILL: (Station.DATA, Station.TEACH),
    Station.QAT: (Station.DATA, Station.DISTILL),
    Station.EXPORT: (Station.DATA, Station.DISTILL, Station.QAT),
    Station.VERIFY: (Station.DATA, Station.DISTILL, Station.QAT, Station.EXPORT),
    Station.BENCH: (Station.DATA, Station.EXPORT, Station.VERIFY),
    Station.REPORT: (
        Station.DATA,
        Station.TEACH,
        Station.DISTILL,
        Station.QAT,
        Station.EXPORT,
        Station.VERIFY,
        Station.BENCH,
    ),
}

# What was found in the images is read by the report alone: nothing is trained again for another audit.
_UNREAD: Mapping[str, tuple[str, ...]] = {Station.DATA.value: ("audit.json", "split.json")}

_TRAINED = (Station.TEACH, Station.DISTILL, Station.QAT)
_QUANTIZED = (Station.EXPORT, Station.VERIFY, Station.REPORT)
_TRAINING = ("tensorflow", "tf-keras", "numpy", "opencv-python-headless")
_TOOLS: Mapping[Station, tuple[str, ...]] = {
    Station.DATA: ("numpy", "opencv-python-headless"),
    Station.TEACH: _TRAINING,
    Station.DISTILL: _TRAINING,
    Station.QAT: (*_TRAINING, "tensorflow-model-optimization"),
    Station.EXPORT: ("tensorflow", "tf-keras", "tensorflow-model-optimization"),
    Station.VERIFY: ("ai-edge-litert", "tensorflow", "numpy", "scipy", "opencv-python-headless"),
    Station.BENCH: ("ai-edge-litert",),
    Station.REPORT: ("matplotlib", "jinja2"),
}


def needs(experiment: Experiment, station: Station) -> tuple[Station, ...]:
    """The stations whose outputs `station` reads; the undistilled student reads no teacher."""
    if station is Station.DISTILL and experiment.distill.method is DistillMethod.NONE:
        return (Station.DATA,)
    if station in _QUANTIZED and Precision.INT8 not in experiment.export.precisions:
        return tuple(need for need in _NEEDS[station] if need is not Station.QAT)
    return _NEEDS[station]


def upstream(experiment: Experiment, station: Station) -> tuple[Station, ...]:
    """`station` and everything it stands on, in the order of the line."""
    wanted = {station}
    for candidate in reversed(Station):
        if candidate in wanted:
            wanted.update(needs(experiment, candidate))
    return tuple(candidate for candidate in Station if candidate in wanted)


def parse_station(text: str) -> Station:
    """The station called `text`.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if text not in set(Station):
        raise UnknownNameError("station", text, list(Station))
    return Station(text)


def open_experiment(run: Run) -> Experiment:
    """The experiment written in the run folder.

    Raises:
        UsageError: experiment.json is not readable as one.
    """
    path = run.root / "experiment.json"
    try:
        return from_plain(Experiment, read_json(path), "experiment.json")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not readable as an experiment ({error}); repeat edgekd run") from error


def write_experiment(run: Run, experiment: Experiment) -> None:
    """Write `experiment` into the run folder, unless it already says the same.

    Raises:
        UsageError: the folder belongs to an experiment of another name.
    """
    path = run.root / "experiment.json"
    if path.is_file():
        known = open_experiment(run)
        if known.name != experiment.name:
            raise UsageError(
                f"{run.root} holds experiment {known.name!r}, not {experiment.name!r}: choose another --out"
            )
        if known == experiment:
            return
    write_json(path, experiment)


def step(run: Run, experiment: Experiment, station: Station) -> Step:
    """Station `station` of `experiment`, ready to be made in `run`."""
    return Step(
        name=station.value,
        make=lambda out: _MAKE[station](run, experiment, out),
        config=_config(experiment, station),
        version=_VERSIONS[station],
        needs=tuple(need.value for need in needs(experiment, station)),
        unread={} if station is Station.REPORT else _UNREAD,
        facts=_facts(experiment, station),
        tools=_TOOLS[station],
    )


def find(run: Run, experiment: Experiment) -> dict[Station, Finding]:
    """The state of every station; one whose upstream is not kept is stale itself."""
    found: dict[Station, Finding] = {}
    for station in Station:
        broken = [need for need in needs(experiment, station) if found[need].state is not State.KEPT]
        found[station] = _find(run, experiment, station, broken)
    return found


def _find(run: Run, experiment: Experiment, station: Station, broken: Sequence[Station]) -> Finding:
    if not run.folder(station.value).is_dir():
        return Finding(State.MISSING, "never made")
    if broken:
        return Finding(State.STALE, f"waits for {', '.join(broken)}")
    try:
        return run.find(step(run, experiment, station))
    except EdgekdError as error:
        return Finding(State.STALE, str(error))


def make(
    run: Run, experiment: Experiment, station: Station, *, force: bool = False
) -> dict[Station, dict[str, Any]]:
    """The records of `station` and its upstream; what is fresh is kept, `force` remakes `station` itself.

    The caller holds the lock of the run folder. A worker beside the chief makes no station after the last
    that trains.
    """
    write_experiment(run, experiment)
    beside = place_among_workers(experiment.strategy)[0] > 0
    records = {}
    for current in upstream(experiment, station):
        if beside and current not in (Station.DATA, *_TRAINED):
            continue
        records[current] = run.do(step(run, experiment, current), force=force and current is station)
    return records


def require_passed(records: Mapping[Station, Mapping[str, Any]]) -> None:
    """Refuse to call a run good whose artefacts failed verification.

    Raises:
        ContractError: at least one artefact failed; an undecided one is only warned about.
    """
    metrics = records.get(Station.VERIFY, {}).get("metrics", {})
    if metrics.get("failed"):
        raise ContractError(
            f"{metrics['failed']:.0f} artefact(s) failed verification: see verify/<precision>/verdict.json "
            "and the report"
        )
    if metrics.get("undecided"):
        log.warning(
            "%d artefact(s) undecided: too few positives to show non-inferiority, see the report",
            metrics["undecided"],
        )


def _config(experiment: Experiment, station: Station) -> dict[str, Any]:
    """What of the experiment the bytes of `station` depend on: not where things lie, nor how many workers."""
    config = as_before(station, getattr(experiment, station.value))
    if station is Station.DATA:
        config.pop("workers")
        for source in config["sources"]:
            source.pop("root")
    if station is Station.DISTILL:
        config.pop("cache")
    if "model" in config and config["model"]["weights"] not in (IMAGENET, NO_WEIGHTS):
        config["model"]["weights"] = "file"
    if station in _TRAINED or _searches(experiment, station):
        config["verify"] = to_plain(experiment.verify)
    if station in _TRAINED and experiment.strategy is not Strategy.SINGLE:
        config["strategy"] = experiment.strategy.value
    return {**config, "seed": experiment.seed + config.get("seed", 0)}


def _searches(experiment: Experiment, station: Station) -> bool:
    """Whether `station` puts a mixed file together, which follows the threshold rule of verify."""
    return station is Station.EXPORT and Precision.INT8_MIXED in experiment.export.precisions


def _facts(experiment: Experiment, station: Station) -> dict[str, str]:
    if station is Station.DATA:
        from edgekd.data.prepare import fingerprint

        return {"sources": fingerprint(experiment.data, experiment.seed)}
    if station is Station.TEACH:
        return _weights_fact(experiment.teach.model)
    if station is Station.DISTILL:
        return _weights_fact(experiment.distill.model)
    return {}


def _weights_fact(model: ModelConfig) -> dict[str, str]:
    if model.weights in (IMAGENET, NO_WEIGHTS):
        return {}
    return {"weights": file_digest(Path(model.weights))}


_MAKE: Mapping[Station, Callable[[Run, Experiment, Path], Mapping[str, float]]] = {
    Station.DATA: stations.data,
    Station.TEACH: stations.teach,
    Station.DISTILL: stations.distill,
    Station.QAT: stations.qat,
    Station.EXPORT: stations.export,
    Station.VERIFY: stations.verify,
    Station.BENCH: stations.bench,
    Station.REPORT: stations.report,
}
