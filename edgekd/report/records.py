"""The records of a run folder, as far as they can be read; what cannot is named and left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edgekd.card import ModelCard, read_card
from edgekd.config import DistillMethod, Experiment, Precision
from edgekd.data.audit import AuditRecord
from edgekd.data.dataset import DatasetRecord
from edgekd.data.split import SplitRecord
from edgekd.data.table import Row, read_table
from edgekd.errors import EdgekdError
from edgekd.metrics.evaluation import EvaluationRecord, read_evaluation
from edgekd.metrics.predictions import Predictions, read_predictions
from edgekd.plain import from_plain, read_json
from edgekd.runs import RECORD
from edgekd.runs import SCHEMA as STEP_SCHEMA
from edgekd.training.history import Epoch, read_history
from edgekd_bench.record import BenchRecord, read_bench
from edgekd_bench.round import Backend
from edgekd_converters.artefacts import MLPACKAGE
from edgekd_converters.coreml_inspect import SCHEMA as COREML_SCHEMA
from edgekd_converters.verdict import VerdictRecord
from edgekd_converters.verdict_parity import ParityRecord

T = TypeVar("T")

STATIONS = ("data", "teach", "distill", "qat", "export", "verify", "bench")
INSPECT_SCHEMA = "edgekd.inspect/1"  # its module loads LiteRT, which a report does not need
NETWORKS = {"teach": "teacher", "distill": "float student", "qat": "quantization-aware student"}


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network and its figures on the test split; `predictions` None where the table is not readable."""

    name: str
    evaluation: EvaluationRecord | None
    predictions: Predictions | None


@dataclass(frozen=True, kw_only=True)
class Artefact(Network):
    """An exported file: everything that is known of it; None is not known."""

    precision: str
    size_bytes: int | None
    sha256: str | None
    inspection: Mapping[str, Any] | None
    card: ModelCard | None
    verdict: VerdictRecord | None
    parity: ParityRecord | None
    benches: tuple[BenchRecord, ...]

    def bench(self, threads: int) -> BenchRecord | None:
        """The measurement of the backend cpu with this many threads, where it succeeded."""
        found = (
            bench
            for bench in self.benches
            if bench.latency_ms is not None
            and (bench.requested_accelerator, bench.threads) == (Backend.CPU, threads)
        )
        return next(found, None)


@dataclass(frozen=True, kw_only=True)
class Records:
    """Everything a report stands on. `missing` has one line per record that is absent or unreadable.

    `histories` are the epochs of every training: `distill`, or `teach/fold-0` where teachers have folds.
    """

    experiment: Experiment | None
    steps: Mapping[str, Mapping[str, Any]]
    dataset: DatasetRecord | None
    rows: tuple[Row, ...]
    split: SplitRecord | None
    audit: AuditRecord | None
    networks: Mapping[str, Network]
    histories: Mapping[str, tuple[Epoch, ...]]
    artefacts: tuple[Artefact, ...]
    missing: tuple[str, ...]

    @property
    def reference(self) -> Network | None:
        """The float student, against which every file is judged."""
        return self.networks.get("distill")

    def judged(self) -> tuple[Network, ...]:
        """Every network and file that has an evaluation, in the order of the line."""
        everything = (*self.networks.values(), *self.artefacts)
        return tuple(network for network in everything if network.evaluation is not None)


def read_records(run: Path) -> Records:
    """The records of the run folder `run`; never fails for want of one."""
    reader = _Reader(run)
    experiment = reader.json("experiment.json", lambda plain: from_plain(Experiment, plain, "experiment"))
    steps = {
        station: step
        for station in expected_stations(experiment)
        if (step := reader.json(f"{station}/{RECORD}", lambda plain: _of_schema(plain, STEP_SCHEMA)))
    }
    dataset = reader.json("data/dataset.json", lambda plain: from_plain(DatasetRecord, plain, "dataset"))
    malignant = dataset.malignant if dataset else ()
    trained = [station for station in expected_stations(experiment) if station in NETWORKS]
    return Records(
        experiment=experiment,
        steps=steps,
        dataset=dataset,
        rows=reader.read("data/table.csv", read_table) or (),
        split=reader.json("data/split.json", lambda plain: from_plain(SplitRecord, plain, "split")),
        audit=reader.json("data/audit.json", lambda plain: from_plain(AuditRecord, plain, "audit")),
        networks={station: _network(reader, station, malignant) for station in trained},
        histories={
            name: reader.read(f"{name}/metrics.jsonl", read_history) or ()
            for station in trained
            for name in _trainings(run, station)
        },
        artefacts=tuple(_artefact(reader, name, malignant) for name in _precisions(run, experiment)),
        missing=tuple(reader.missing),
    )


def expected_stations(experiment: Experiment | None) -> tuple[str, ...]:
    """The stations a run of `experiment` holds; all of them when it is not known."""
    absent = set()
    if experiment and experiment.distill.method is DistillMethod.NONE:
        absent.add("teach")
    if experiment and Precision.INT8 not in experiment.export.precisions:
        absent.add("qat")
    return tuple(station for station in STATIONS if station not in absent)


@dataclass
class _Reader:
    root: Path
    missing: list[str] = field(default_factory=list)

    def read(self, name: str, parse: Callable[[Path], T]) -> T | None:
        """What `parse` makes of the file `name`; None, and a line in `missing`, when it cannot."""
        path = self.root / name
        if not path.is_file():
            self.missing.append(f"{name} is not there")
            return None
        try:
            return parse(path)
        except (EdgekdError, OSError, ValueError) as error:
            self.missing.append(f"{name} is not readable: {str(error).removeprefix(f'{path}: ')}")
            return None

    def json(self, name: str, parse: Callable[[Any], T]) -> T | None:
        """What `parse` makes of the JSON value in the file `name`."""
        return self.read(name, lambda path: parse(read_json(path)))


def _object(plain: Any) -> Mapping[str, Any]:
    if not isinstance(plain, dict):
        raise ValueError(f"expected an object, got {type(plain).__name__}")
    return plain


def _of_schema(plain: Any, schema: str) -> Mapping[str, Any]:
    found = _object(plain).get("schema")
    if found != schema:
        raise ValueError(f"schema is {found!r}, expected {schema!r}")
    return _object(plain)


def _trainings(run: Path, station: str) -> list[str]:
    """The folders of the trainings of `station`: itself, or those of its folds."""
    folds = sorted((run / station).glob("fold-*/"), key=lambda path: (len(path.name), path.name))
    return [path.relative_to(run).as_posix() for path in folds] or [station]


def _network(reader: _Reader, station: str, malignant: tuple[str, ...]) -> Network:
    return Network(
        name=NETWORKS[station],
        evaluation=reader.read(f"{station}/evaluation.json", read_evaluation),
        predictions=_predictions(reader, f"{station}/predictions.csv", malignant),
    )


def _predictions(reader: _Reader, name: str, malignant: tuple[str, ...]) -> Predictions | None:
    return reader.read(name, lambda path: read_predictions(path, malignant)) if malignant else None


def _precisions(run: Path, experiment: Experiment | None) -> list[str]:
    """What was asked for and what is there, known precisions first."""
    wanted = {str(precision) for precision in experiment.export.precisions} if experiment else set()
    for station in ("export", "verify"):
        wanted |= {path.name for path in (run / station).glob("*") if path.is_dir()}
    order = [str(precision) for precision in Precision]
    return sorted(wanted, key=lambda name: (order.index(name) if name in order else len(order), name))


def _artefact(reader: _Reader, precision: str, malignant: tuple[str, ...]) -> Artefact:
    exported, verified = f"export/{precision}", f"verify/{precision}"
    packaged = (reader.root / exported / MLPACKAGE).is_dir()
    schema = COREML_SCHEMA if packaged else INSPECT_SCHEMA
    inspection = reader.json(f"{exported}/inspect.json", lambda p: _of_schema(p, schema)) or {}
    benches = sorted((reader.root / "bench").glob(f"{precision}@*.json"))
    if not benches and not packaged:  # no backend runs Core ML
        reader.missing.append(f"bench/{precision}@<backend>-<threads>t.json is not there")
    found = [reader.read(path.relative_to(reader.root).as_posix(), read_bench) for path in benches]
    return Artefact(
        name=precision,
        precision=precision,
        size_bytes=inspection.get("size_bytes"),
        sha256=inspection.get("sha256"),
        inspection=inspection,
        card=reader.read(f"{verified}/card.json", read_card),
        evaluation=reader.read(f"{verified}/evaluation.json", read_evaluation),
        predictions=_predictions(reader, f"{verified}/predictions.csv", malignant),
        verdict=reader.json(f"{verified}/verdict.json", lambda p: from_plain(VerdictRecord, p, "verdict")),
        parity=reader.json(f"{verified}/parity.json", lambda p: from_plain(ParityRecord, p, "parity")),
        benches=tuple(record for record in found if record is not None),
    )
