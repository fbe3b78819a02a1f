"""What the benchmark's tests are made of: rounds, records, and a data set of a dozen tiny images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.card import ModelCard, OperatingPoint
from edgekd.data.store import write_manifest, write_shard
from edgekd.data.table import Row, Split, write_table
from edgekd.plain import write_json
from edgekd.runtimes.base import Engine
from edgekd_bench.record import BenchRecord, Latency, ModelFacts
from edgekd_bench.round import Backend, Delegation, Device, Round, Status, TensorFacts
from tiny_tflite import average_pool

PX = 8
LABELS = ("mel", "nv", "bcc")
CARD = ModelCard(
    name="tiny-int8",
    precision="int8",
    input_px=PX,
    labels=LABELS,
    malignant=("mel", "bcc"),
    operating_point=OperatingPoint(rule="sensitivity_at_least(0.9)", threshold=0.5, fitted_on="validation"),
    temperature=2.0,
)
ENGINE = Engine(name="ai-edge-litert", version="2.3.0", kernels="xnnpack", threads=1, isa="x86_64 avx2")
DEVICE = Device(
    cpu="A Processor",
    isa="x86_64 avx2",
    cores=4,
    os="An OS",
    governor=None,
    frequency_mhz=2600.0,
    load_average_1min=0.1,
)


def one_round(runs_ms: list[float], **changes: Any) -> Round:
    found = Round(
        engine=ENGINE,
        input=(TensorFacts(shape=(1, PX, PX, 3), dtype="uint8"),),
        init_ms=3.0,
        first_ms=9.0,
        runs_ms=tuple(runs_ms),
        steady=True,
        pressure=0.0,
        peak_memory_bytes=1000,
        timer_precision_ms=1e-5,
        delegation=Delegation(nodes=2, nodes_per_partition=(1,), left_out={"SOFTMAX": 1}),
    )
    return dataclasses.replace(found, **changes)


def one_record(name: str = "int8", threads: int = 1, **changes: Any) -> BenchRecord:
    found = BenchRecord(
        model=ModelFacts(name=name, sha256="00", size_bytes=612_345, precision=name, input=()),
        requested_accelerator=Backend.CPU,
        actual_accelerator="cpu",
        device=DEVICE,
        versions={"edgekd": "0.1.0", "ai-edge-litert": "2.3.0"},
        threads=threads,
        rounds=3,
        measured_at="2026-11-21T10:00:00+00:00",
        status=Status.OK,
        reason=None,
        engine=ENGINE,
        latency_ms=Latency(min=1.0, p50=1.25, p90=1.5, p95=1.6, p99=2.0, mean=1.3, first=4.0, n=60),
    )
    return dataclasses.replace(found, **changes)


def write_dataset(folder: Path) -> None:
    """Twelve images per split; the mean of red minus that of green grows with malignancy."""
    rows = [row(split, number) for split in Split for number in range(12)]
    write_table_and_store(folder, rows)
    write_json(
        folder / "dataset.json",
        {
            "schema": "edgekd.dataset/1",
            "classes": LABELS,
            "malignant": ("mel", "bcc"),
            "input_px": PX,
            "train_px": PX,
            "shares": {"tiny": 1.0},
        },
    )


def row(split: Split, number: int) -> Row:
    diagnosis = LABELS[number % 3]
    return Row(
        image_id=f"{split}{number}",
        path=f"{split}{number}.png",
        diagnosis=diagnosis,
        malignant=diagnosis != "nv",
        split=split,
        sex=("female", "male")[number % 2],
        source="tiny",
    )


def write_table_and_store(folder: Path, rows: list[Row]) -> None:
    folder.mkdir(parents=True)
    write_table(folder / "table.csv", rows)
    generator = np.random.default_rng(0)
    for split in Split:
        store = folder / "store" / split
        store.mkdir(parents=True)
        chosen = [one for one in rows if one.split is split]
        tint = np.array([[90 * one.malignant, 60, 0] for one in chosen])[:, np.newaxis, np.newaxis]
        images = (generator.integers(0, 100, (len(chosen), PX, PX, 3)) + tint).astype(np.uint8)
        shard = write_shard(store / "00000.u8", images, px=PX)
        write_manifest(store, px=PX, image_ids=[one.image_id for one in chosen], shards=[shard])


def write_exported(exported: Path, verified: Path, *, names: tuple[str, ...] = ("int8",)) -> None:
    for name in names:
        (exported / name).mkdir(parents=True)
        (verified / name).mkdir(parents=True)
        (exported / name / "model.tflite").write_bytes(average_pool(px=PX))
        (verified / name / "card.json").write_text(CARD.to_json(), encoding="utf-8")
