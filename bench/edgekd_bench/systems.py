"""The five published systems: what they reported, and what came out here.

`python -m edgekd_bench.systems RUN bench/results/NAME` adds `system.json` to the kept records of a run: its
data, and for each network its size, how long it trained and how long it took for the test split. The table
is made of those by `python -m edgekd_bench.tables` where `<!-- systems:NAME -->` stands.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.console import duration
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.errors import DataError, EdgekdError
from edgekd.metrics.intervals import wilson
from edgekd.plain import from_plain, read_json, write_json
from edgekd.runs import PROVENANCE, require_run
from edgekd.runtimes.base import Engine, beside
from edgekd_bench.markdown import NONE, estimate, lines
from edgekd_bench.record import BenchRecord, figures
from edgekd_bench.results import Kept, read_kept

SCHEMA, RECORD = "edgekd.system/1", "system.json"
_FLOAT, _TRAINED = ("teach", "distill"), ("teach", "distill", "qat")
_SHOWN, _FILE = ("teach", "distill", "int8"), "int8"
_BATCH = 32
_NOT_RUN = "not run"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published system: the experiment of its name, what was printed, and how to read that."""

    experiment: str
    title: str
    reported: str
    reading: str


PUBLISHED = (
    Published(
        experiment="adepu2023",
        title="A. Adepu et al. 2023, EfficientNet-B5 → B2, ISIC 2020",
        reported="AUC 0.9604, out of fold, 81 passes a picture",
        reading="an upper end: the teacher had seen test images of its students, folds divide patients",
    ),
    Published(
        experiment="khan2022",
        title="B. Khan et al. 2022, ResNet-50 → DSNet",
        reported="accuracy 0.917, recall 0.87 malignant, 0.97 benign; 268,898 parameters; 3,000 images in "
        "2.57 s",
        reading="test above validation, an overlap is likely; no undistilled student to compare with",
    ),
    Published(
        experiment="zunair2020",
        title="C. Zunair & Ben Hamza 2020, CycleGAN + VGG16, ISIC 2016",
        reported='AUC 0.8118, "sensitivity" 0.9176',
        reading="0.9176 is TN / (TN + FN); sensitivity 0.707 (22 of 75 missed) at specificity 0.806; the "
        "test images chose the epoch",
    ),
    Published(
        experiment="inception2020",
        title="D. InceptionResNetV2 + patient data, ISIC 2020",
        reported="no figures",
        reading="no validation set, SMOTE not used, scaler fitted on the test set",
    ),
    Published(
        experiment="folders",
        title="E. DenseNet-161, benign / malignant folders",
        reported="accuracy 0.85 (CNNs 0.77 and 0.81)",
        reading="upper ends: the epoch was picked on the test images",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A trained network: `test_seconds` for the test split on `engine`, in batches; null where not timed."""

    name: str
    parameters: int
    training_seconds: float
    test_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class SystemRecord:
    """What the table needs beside evaluations and benchmarks; `networks` by station."""

    schema: str
    experiment: str
    sources: tuple[str, ...]
    input_px: int
    train: int
    engine: Engine
    networks: Mapping[str, Network]


def measure(root: Path) -> SystemRecord:
    """The record of the run in the folder `root`; its float networks go through the test split once more.

    Raises:
        UsageError: `root` is no run.
        DataError: nothing was trained in it.
    """
    from edgekd.runtimes.keras import KerasRuntime

    run = require_run(root)
    experiment = read_json(run.root / "experiment.json")
    dataset = open_dataset(run.folder("data"))
    made = [station for station in _TRAINED if run.record(station) is not None]
    models = [station for station in made if station in _FLOAT]
    runtimes = {station: KerasRuntime(run.folder(station) / "model.keras") for station in models}
    if not runtimes:
        raise DataError(f"{root}: no trained network in it; run edgekd distill first")
    return SystemRecord(
        schema=SCHEMA,
        experiment=experiment["name"],
        sources=tuple(source["kind"] for source in experiment["data"]["sources"]),
        input_px=dataset.input_px,
        train=len(dataset.train),
        engine=runtimes[models[0]].engine,
        networks={
            station: _network(run.folder(station), experiment, _seconds(runtimes.get(station), dataset))
            for station in made
        },
    )


def _network(folder: Path, experiment: Mapping[str, Any], test_seconds: float | None) -> Network:
    lines = (folder / PROVENANCE).read_text(encoding="utf-8").splitlines()
    model = experiment["teach" if folder.name == "teach" else "distill"]["model"]
    width = "" if model["width"] == 1 else f" {model['width']:g}"
    return Network(
        name=f"{model['name']}{width}",
        parameters=int(read_json(folder / "step.json")["metrics"]["parameters"]),
        training_seconds=sum(json.loads(line)["seconds"] for line in lines),
        test_seconds=test_seconds,
    )


def _seconds(runtime: Any, dataset: Dataset) -> float | None:
    """How long the test split takes in batches, from stored pixels to logits; one batch goes before."""
    if runtime is None:
        return None
    test = dataset.test
    parts = [np.arange(begin, min(begin + _BATCH, len(test))) for begin in range(0, len(test), _BATCH)]
    for part in parts[:1]:
        runtime.logits(test.images.read(part), *beside(test.features[part]))
    began = time.perf_counter()
    for part in parts:
        runtime.logits(test.images.read(part), *beside(test.features[part]))
    return time.perf_counter() - began


def read_system(folder: Path) -> SystemRecord | None:
    """The record in the folder of kept results; None where there is none.

    Raises:
        DataError: it cannot be read.
    """
    path = folder / RECORD
    return from_plain(SystemRecord, read_json(path), str(path)) if path.is_file() else None


def table(results: Path) -> str:
    """All systems as a Markdown table from the records below `results`; ends with a newline."""
    head = ["system", "reported", "to be read as", "data here", "network", "test n (malignant)", "AUC"]
    head += ["sensitivity", "specificity", "accuracy", "parameters", "training", "test split", "kB", "ms"]
    rows = [head, [*["---"] * 5, *["---:"] * (len(head) - 5)]]
    for system in PUBLISHED:
        rows += _rows(system, results / system.experiment, len(head))
    return "\n".join([*lines(rows), "", _legend(results)]) + "\n"


def _rows(system: Published, folder: Path, columns: int) -> list[list[str]]:
    said = [system.title, system.reported, system.reading]
    record = read_system(folder)
    if record is None:
        return [[*said, _NOT_RUN, *[NONE] * (columns - 4)]]
    kept = {artefact.name: artefact for artefact in read_kept(folder)}
    data = f"{' + '.join(record.sources)}, {record.train:,} images, {record.input_px} px"
    shown = [name for name in _SHOWN if name in kept]
    first = [[*said, data], *[[""] * 4] * (len(shown) - 1)]
    return [[*before, *_row(record, kept[name])] for before, name in zip(first, shown, strict=True)]


def _row(record: SystemRecord, kept: Kept) -> list[str]:
    network = record.networks["qat" if kept.name == _FILE else kept.name]
    said = kept.evaluation
    right = said.confusion.true_positive + said.confusion.true_negative
    return [
        f"{kept.name}: {network.name}",
        f"{said.n} ({said.n_positive})",
        *map(estimate, (said.auc, said.sensitivity, said.specificity, wilson(right, said.n))),
        f"{network.parameters:,}",
        duration(network.training_seconds),
        NONE if network.test_seconds is None else f"{network.test_seconds:.1f} s",
        NONE if kept.size_bytes is None else f"{kept.size_bytes / 1000:.0f}",
        _latency(kept.bench),
    ]


def _latency(bench: Sequence[BenchRecord]) -> str:
    """Milliseconds of the record on one thread of the CPU, as it is shown everywhere."""
    cells = [
        f"{figures(record)}{'†' if record.noise else ''}"
        for record in bench
        if record.requested_accelerator == "cpu" and record.threads == 1 and record.timed_ms
    ]
    return cells[0] if cells else NONE


def _legend(results: Path) -> str:
    said = [
        "95 % intervals; sensitivity, specificity and accuracy at a threshold fitted on validation (each "
        "artefact its own). `teach`: the published network; `distill`: the student; `int8`: its file, whose "
        "training is the quantization-aware part alone. kB and ms (p50 and p90 of one run) are of that file, "
        "one thread. † the machine was not quiet.",
    ]
    folders = [results / system.experiment for system in PUBLISHED]
    records = [record for folder in folders if (record := read_system(folder)) is not None]
    engines = sorted({f"{r.engine.name} {r.engine.version}, {r.engine.threads} threads" for r in records})
    devices = sorted(
        {
            f"{bench.device.cpu}, {bench.device.cores} cores"
            for folder in folders
            if read_system(folder)
            for kept in read_kept(folder)
            for bench in kept.bench
        }
    )
    if engines:
        said.append(f"Training and test times: {'; '.join(engines)}; {'; '.join(devices)}.")
    return " ".join(said)


def _main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m edgekd_bench.systems", description="Add a run's sizes and times to its kept records."
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path, help="bench/results/NAME, made by edgekd_bench.results")
    options = parser.parse_args(arguments)
    try:
        read_kept(options.folder)
        write_json(options.folder / RECORD, measure(options.run))
    except (EdgekdError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code if isinstance(error, EdgekdError) else DataError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
