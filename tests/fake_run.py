"""A run folder of INVENTED numbers, for the tests of the report: no network was trained, nothing was timed.

The records are written by the code that writes real ones, so that they have the real form.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.card import ModelCard, OperatingPoint
from edgekd.config import (
    DataConfig,
    Experiment,
    ExportConfig,
    Precision,
    SourceConfig,
    SourceKind,
    VerifyConfig,
)
from edgekd.data.audit import ImageFacts, audit
from edgekd.data.census import age_band
from edgekd.data.dataset import DatasetRecord
from edgekd.data.leaks import Dropped, Link, Reason
from edgekd.data.split import split_record
from edgekd.data.table import Row, Split, write_table
from edgekd.metrics.calibration import fit_temperature
from edgekd.metrics.evaluation import EvaluationRecord, evaluate
from edgekd.metrics.operating_point import fit_threshold
from edgekd.metrics.predictions import Predictions, write_predictions
from edgekd.plain import canonical_json, write_json, write_text
from edgekd.runtimes.base import Engine
from edgekd.training.history import Epoch
from edgekd_bench.record import (
    BenchRecord,
    Device,
    Latency,
    ModelFacts,
    TensorFacts,
    file_name,
)
from edgekd_bench.round import Backend, Status
from edgekd_converters.verdict_judge import judge
from edgekd_converters.verdict_parity import measure_parity
from edgekd_converters.verify_findings import parity_findings

CLASSES, MALIGNANT = ("mel", "nv", "bkl"), ("mel",)
EXPERIMENT = Experiment(
    name="invented",
    data=DataConfig(
        sources=(
            SourceConfig(name="clinic", kind=SourceKind.SYNTHETIC, count=900, image_px=96),
            SourceConfig(name="archive", kind=SourceKind.SYNTHETIC, count=600, image_px=96),
        ),
        malignant=MALIGNANT,
    ),
    verify=VerifyConfig(margin=0.05),
)
# How strongly each network separates, how much it departs from the float student, and what its file costs.
_STRENGTH = {"teach": 2.6, "distill": 2.1, "qat": 2.05}
_DEPARTURE = {"fp32": 0.0, "fp16": 0.002, "dynamic": 0.05, "int8": 0.45, "int8-ptq": 0.9}
_BYTES = {"fp32": 2_381_000, "fp16": 1_214_000, "dynamic": 742_000, "int8": 689_000, "int8-ptq": 684_000}
_P50 = {"fp32": 4.81, "fp16": 4.86, "dynamic": 2.95, "int8": 1.62, "int8-ptq": 1.63}
_ENGINE = Engine(
    name="ai-edge-litert", version="2.1.6", kernels="xnnpack", threads=1, isa="x86_64 avx2 fma avx512_vnni"
)
_KERAS = Engine(name="tf-keras", version="2.21.0", kernels="tensorflow", threads=2, isa="x86_64 avx2 fma")


def build_run(root: Path, *, n: int = 1500, seed: int = 1) -> Path:
    """Write an invented run of `n` images below `root`, and return it."""
    rng = np.random.default_rng(seed)
    rows = _rows(n, rng)
    write_json_at(root / "experiment.json", EXPERIMENT)
    _write_data(root / "data", rows)
    logits = _networks(rows, rng)
    evaluations = {station: _write_network(root, station, rows, logits[station]) for station in _STRENGTH}
    for precision in ExportConfig().precisions:
        _write_file(root, precision, rows, logits, evaluations["distill"], rng)
    for number, station in enumerate(("data", "teach", "distill", "qat", "export", "verify", "bench")):
        write_json_at(root / station / "step.json", _step(station, number))
    return root


def write_json_at(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, value)


def _rows(n: int, rng: np.random.Generator) -> tuple[Row, ...]:
    kinds = rng.choice(CLASSES, n, p=(0.18, 0.58, 0.24))
    splits = rng.choice([Split.TRAIN, Split.VALIDATION, Split.TEST], n, p=(0.5, 0.2, 0.3))
    ages, sexes = rng.integers(3, 18, n) * 5, rng.choice(["female", "male"], n)
    return tuple(
        Row(
            image_id=f"invented_{k:05d}",
            path=f"{k}.jpg",
            diagnosis=str(kinds[k]),
            malignant=kinds[k] == "mel",
            lesion=f"lesion_{k:05d}",
            patient=f"patient_{k:05d}" if k % 3 else None,
            split=Split(str(splits[k])),
            age=float(ages[k]) if k % 11 else None,
            sex=str(sexes[k]),
            site=("back", "trunk", "face", "lower extremity")[k % 4],
            source="clinic" if k % 5 < 3 else "archive",
        )
        for k in range(n)
    )


def _write_data(folder: Path, rows: tuple[Row, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "table.csv", rows)
    write_json(
        folder / "dataset.json",
        DatasetRecord(
            schema="edgekd.dataset/1",
            classes=CLASSES,
            malignant=MALIGNANT,
            input_px=96,
            train_px=112,
            shares={"clinic": 1.0, "archive": 1.0},
        ),
    )
    twin = Link(first=rows[0].image_id, second=rows[9].image_id, reason=Reason.NEAR_IDENTICAL, distance=0.031)
    left_out = Dropped(
        image_id="invented_99999",
        source="archive",
        split=Split.TRAIN,
        reason=Reason.NEAR_IDENTICAL,
        partner=rows[3].image_id,
        partner_split=Split.TEST,
        distance=0.042,
    )
    write_json(folder / "split.json", split_record(rows, (left_out,), (), EXPERIMENT.seed))
    facts = [
        ImageFacts(image_id=row.image_id, sha256=row.image_id, width=600, height=450, mean=120.0, std=30.0)
        for row in rows
    ]
    write_json(folder / "audit.json", audit(rows, facts, (twin,)))


def _networks(rows: tuple[Row, ...], rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    truth = np.array([[row.diagnosis == name for name in CLASSES] for row in rows], float)
    shared, own = rng.normal(size=truth.shape), {s: rng.normal(size=truth.shape) for s in _STRENGTH}
    return {s: strength * truth + 0.9 * shared + 0.5 * own[s] for s, strength in _STRENGTH.items()}


def _predictions(rows: tuple[Row, ...], logits: NDArray[np.float64], split: Split) -> Predictions:
    chosen = [k for k, row in enumerate(rows) if row.split is split]
    return Predictions(
        image_ids=tuple(rows[k].image_id for k in chosen),
        labels=np.array([rows[k].malignant for k in chosen]),
        logits=logits[chosen].astype(np.float32),
        names=CLASSES,
        malignant=MALIGNANT,
    )


def _evaluate(
    rows: tuple[Row, ...],
    test: Predictions,
    point: OperatingPoint,
    temperature: float,
    name: str,
    engine: Engine,
) -> EvaluationRecord:
    return evaluate(
        test,
        operating_point=point,
        temperature=temperature,
        artefact=name,
        runtime="keras" if engine is _KERAS else "litert",
        engine=engine,
        split="test",
        attributes=_attributes(rows),
    )


def _attributes(rows: tuple[Row, ...]) -> dict[str, list[str | None]]:
    there = [row for row in rows if row.split is Split.TEST]
    return {
        "age": [age_band(row.age) for row in there],
        "sex": [row.sex for row in there],
        "site": [row.site for row in there],
        "source": [row.source for row in there],
    }


def _fit(validation: Predictions) -> tuple[OperatingPoint, float]:
    config = EXPERIMENT.verify
    point = fit_threshold(validation.labels, validation.score, config.rule, config.target)
    return point, fit_temperature(validation.labels, validation.score)


def _write_network(
    root: Path, station: str, rows: tuple[Row, ...], logits: NDArray[np.float64]
) -> EvaluationRecord:
    folder = root / station
    folder.mkdir(parents=True, exist_ok=True)
    test, validation = (_predictions(rows, logits, split) for split in (Split.TEST, Split.VALIDATION))
    record = _evaluate(rows, test, *_fit(validation), station, _KERAS)
    write_json(folder / "evaluation.json", record)
    write_predictions(folder / "predictions.csv", test)
    write_text(folder / "metrics.jsonl", "".join(canonical_json(e) + "\n" for e in _epochs(station)))
    return record


def _epochs(station: str) -> list[Epoch]:
    count, start = (3, 0.87) if station == "qat" else (8, 0.62)
    areas = [0.89 - (0.89 - start) * 0.6**k + 0.006 * (-1) ** k for k in range(count)]
    return [
        Epoch(
            epoch=k + 1,
            step=40 * (k + 1),
            learning_rate=0.001 * (1 - k / count),
            losses={"loss": 0.45 + 0.6 * 0.7**k},
            validation_loss=0.5 + 0.4 * 0.7**k,
            validation_auc=area,
            validation_auc_smoothed=float(np.mean(areas[max(0, k - 2) : k + 1])),
            best=k >= count - 2,
        )
        for k, area in enumerate(areas)
    ]


def _write_file(
    root: Path,
    precision: Precision,
    rows: tuple[Row, ...],
    logits: dict[str, NDArray[np.float64]],
    reference: EvaluationRecord,
    rng: np.random.Generator,
) -> None:
    name = precision.value
    twin = logits["qat" if precision is Precision.INT8 else "distill"]
    ours = twin + _DEPARTURE[name] * rng.normal(size=twin.shape)
    test, validation = (_predictions(rows, ours, split) for split in (Split.TEST, Split.VALIDATION))
    point, temperature = _fit(validation)
    record = _evaluate(rows, test, point, temperature, name, _ENGINE)
    parity = measure_parity(
        validation,
        _predictions(rows, twin, Split.VALIDATION),
        precision=precision,
        twin_name="qat" if precision is Precision.INT8 else "distill",
        twin_threshold=reference.operating_point.threshold,
        output_step=0.06 if precision is Precision.INT8 else 0.0,
        config=VerifyConfig(parity_steps=8.0),
    )
    verdict = judge(
        test,
        _predictions(rows, logits["distill"], Split.TEST),
        thresholds=(point.threshold, reference.operating_point.threshold),
        precision=precision,
        reference_name="distill",
        split="test",
        config=EXPERIMENT.verify,
        findings=parity_findings(parity),
        attributes=_attributes(rows),
    )
    folder = root / "verify" / name
    for file, value in (("evaluation", record), ("parity", parity), ("verdict", verdict)):
        write_json_at(folder / f"{file}.json", value)
    write_predictions(folder / "predictions.csv", test)
    write_text(folder / "card.json", _card(name, point, temperature).to_json())
    write_json_at(root / "export" / name / "inspect.json", _inspection(name))
    for threads in (1, 2):
        bench = _bench(name, threads, record)
        write_json_at(root / "bench" / file_name(bench), bench)


def _card(name: str, point: OperatingPoint, temperature: float) -> ModelCard:
    return ModelCard(
        name=f"student-{name}",
        precision=name,
        input_px=96,
        labels=CLASSES,
        malignant=MALIGNANT,
        operating_point=point,
        temperature=temperature,
        margin=0.05,
        limits=("INVENTED for tests.",),
        provenance={"edgekd": "0.1.0", "seed": "1"},
    )


def _inspection(name: str) -> dict[str, object]:
    return {
        "schema": "edgekd.inspect/1",
        "sha256": name.encode().hex().ljust(64, "0"),
        "size_bytes": _BYTES[name],
        "macs": 11_340_000,
        "float_operators": 0 if name.startswith("int8") else 70,
    }


def _bench(name: str, threads: int, evaluation: EvaluationRecord) -> BenchRecord:
    p50 = _P50[name] / (1.6 if threads == 2 else 1)
    failed = name == "fp16" and threads == 2
    return BenchRecord(
        model=ModelFacts(
            name=name,
            sha256=name.encode().hex().ljust(64, "0"),
            size_bytes=_BYTES[name],
            precision=name,
            input=(TensorFacts(shape=(1, 96, 96, 3), dtype="uint8"),),
        ),
        requested_accelerator=Backend.CPU,
        actual_accelerator=None if failed else "cpu",
        device=Device(
            cpu="Invented CPU @ 2.00 GHz",
            isa="x86_64 avx2 fma avx512_vnni",
            cores=2,
            os="Invented OS 12, kernel 6.1",
            governor=None,
            frequency_mhz=2000.0,
            load_average_1min=0.1,
        ),
        versions={"edgekd": "0.1.0", "ai-edge-litert": "2.1.6", "numpy": "2.4.6", "python": "3.11.2"},
        threads=threads,
        rounds=0 if failed else 3,
        measured_at="2026-01-01T00:00:00+00:00",
        status=Status.FAILED if failed else Status.OK,
        reason="the process died (INVENTED)" if failed else None,
        engine=None if failed else _ENGINE,
        latency_ms=None
        if failed
        else Latency(
            min=p50 * 0.97,
            p50=p50,
            p90=p50 * 1.08,
            p95=p50 * 1.15,
            p99=p50 * 1.4,
            mean=p50 * 1.02,
            first=p50 * 1.9,
            n=618,
        ),
        init_ms=None if failed else 6.4,
        peak_memory_bytes=None if failed else 9 * 2**20 + _BYTES[name],
        noise=("others used 14 % of the processor time",) if name == "dynamic" and threads == 2 else (),
        evaluation=None if failed else evaluation,
    )


def _step(station: str, number: int) -> dict[str, object]:
    return {
        "schema": "edgekd.step/1",
        "key": f"{number}{station}".encode().hex().ljust(64, "0"),
        "step": station,
        "tools": {"numpy": "2.4.6", "tensorflow": "2.21.0"},
        "outputs": {},
        "metrics": {"parameters": 410_000.0} if station in _STRENGTH else {},
        "provenance": {
            "argv": ["/somewhere/bin/edgekd", "run", "invented", "--out", "runs/invented"],
            "python": "3.11.2",
            "system": "Linux-6.1-x86_64",
            "seconds": 12.5 + 100 * number,
            "edgekd": "0.1.0",
        },
    }


def read(path: Path) -> dict[str, object]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
