"""A run folder whose stations up to `verify` are fresh to the pipeline, though nothing was trained."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench_data import CARD, ENGINE, LABELS, write_dataset, write_exported
from edgekd import pipeline
from edgekd.card import OperatingPoint
from edgekd.config import Experiment, ExportConfig, Precision, VerifyConfig
from edgekd.experiments import load_experiment
from edgekd.metrics.evaluation import evaluate
from edgekd.metrics.predictions import Predictions
from edgekd.pipeline import Station
from edgekd.plain import write_json
from edgekd.runs import Run
from edgekd_converters.verdict_judge import judge


def fresh_run(root: Path, scratch: Path) -> Path:
    """A run at `root` with one exported file; `scratch` is a folder to make its parts in."""
    write_dataset(scratch / "data")
    write_exported(scratch / "export", scratch / "verify")
    _write_verified(scratch / "verify" / Precision.INT8)
    experiment = dataclasses.replace(
        load_experiment("quickstart", quick=True), export=ExportConfig(precisions=(Precision.INT8,))
    )
    run = Run(root)
    with run.locked():
        pipeline.write_experiment(run, experiment)
        for station in pipeline.upstream(experiment, Station.VERIFY):
            _adopt(run, experiment, station, scratch / station)
    return root


def _write_verified(folder: Path) -> None:
    """What `verify` leaves beside the card, of a file that answers as its student does."""
    numbers = np.arange(12)
    said = Predictions(
        image_ids=tuple(f"test{number}" for number in numbers),
        labels=numbers % 3 != 1,
        logits=np.stack([numbers % 5, numbers % 3 == 1, numbers % 2], axis=1).astype(np.float32),
        names=LABELS,
        malignant=CARD.malignant,
    )
    record = evaluate(
        said,
        operating_point=OperatingPoint(rule="given", threshold=0.5, fitted_on="validation"),
        temperature=1.0,
        artefact="int8",
        runtime="litert",
        engine=ENGINE,
        split="test",
        attributes={},
    )
    verdict = judge(
        said,
        said,
        thresholds=(0.5, 0.5),
        precision=Precision.INT8,
        reference_name="distill",
        split="test",
        config=VerifyConfig(),
        findings=(),
        attributes={},
    )
    write_json(folder / "evaluation.json", record)
    write_json(folder / "verdict.json", verdict)


def _adopt(run: Run, experiment: Experiment, station: Station, parts: Path) -> None:
    """Put `parts` into the folder of `station`, with the record that the station itself would leave."""

    def make(out: Path) -> Mapping[str, float]:
        if parts.is_dir():
            shutil.copytree(parts, out, dirs_exist_ok=True)
        return {}

    run.do(dataclasses.replace(pipeline.step(run, experiment, station), make=make))
