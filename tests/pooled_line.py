"""A line without a network: the "logits" of its files are channel means, so nothing has to be trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekd.card import ModelCard, OperatingPoint
from edgekd.config import Precision, VerifyConfig
from edgekd.data.dataset import open_dataset
from edgekd.data.table import Split
from edgekd.metrics.evaluation import evaluate
from edgekd.metrics.predictions import Predictions, write_predictions
from edgekd.plain import write_json
from edgekd_converters.export import write_exported
from tiny_dataset import CLASSES, PX
from tiny_tflite import average_pool

CONFIG = VerifyConfig(margin=0.2, parity_images=20)


def exported(folder: Path, precision: Precision) -> Path:
    """A file whose "logits" are the channel means in steps of 1/16."""
    target = folder / precision
    target.mkdir(parents=True)
    (target / "model.tflite").write_bytes(average_pool(px=PX, scale=1 / 16, zero_point=128))
    write_exported(
        target / "model.tflite",
        ModelCard(name="m", precision=precision, input_px=PX, labels=CLASSES, malignant=("mel",)),
    )
    return target


def trained(folder: Path, dataset: Path, bias: float = 0.0) -> Path:
    """What a training station leaves: the same channel means, unrounded, plus `bias` on every logit."""
    folder.mkdir()
    opened = open_dataset(dataset)
    for samples in (opened.validation, opened.test):
        means = samples.images.read(np.arange(len(samples))).mean(axis=(1, 2)) - 128
        predictions = Predictions(
            image_ids=tuple(row.image_id for row in samples.rows),
            labels=samples.malignant,
            logits=(means / 16 + bias).astype(np.float32),
            names=CLASSES,
            malignant=("mel",),
        )
        part = "validation_" if samples.split is Split.VALIDATION else ""
        write_predictions(folder / f"{part}predictions.csv", predictions)
    point = OperatingPoint(rule="sensitivity_at_least(0.9)", threshold=-2.5, fitted_on="validation")
    record = evaluate(
        predictions, operating_point=point, artefact="student", runtime="keras", engine={}, split="test"
    )
    write_json(folder / "evaluation.json", record)
    return folder
