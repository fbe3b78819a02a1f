"""Station `qat`: the student, trained a little further while it rounds like its int8 file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.config import Loss, QatConfig, Strategy, VerifyConfig
from edgekd.data.batches import Batch
from edgekd.data.dataset import Dataset
from edgekd.errors import ModelError
from edgekd.models.catalogue import STUDENTS, core
from edgekd.models.describe import count_parameters
from edgekd.models.quantize import (
    freeze_batch_norm,
    quantization_aware,
    quantized_layers,
    save_quantized,
)
from edgekd.models.scaling import Scaling, scaling
from edgekd.plain import file_digest
from edgekd.runtimes.base import beside
from edgekd.runtimes.keras import KerasRuntime, load_keras
from edgekd.training.checkpoint import remove_checkpoint
from edgekd.training.determinism import begin
from edgekd.training.distill import hinton_listening, mixed
from edgekd.training.evaluate import evaluate_station
from edgekd.training.fit import epoch_batches, fit
from edgekd.training.strategy import open_strategy
from edgekd.training.teach import MODEL, labels_loss

QUANTIZED_MODEL = "model.h5"
_RANGE_BATCHES = 8


class FloatStudent:
    """The float student as the teacher of its quantized copy, asked batch by batch.

    Nothing is stored: the few epochs hardly ever show the same pixels twice.
    """

    def __init__(self, path: Path) -> None:
        self.model = load_keras(path)
        self._runtime = KerasRuntime(self.model)
        self._identity = file_digest(path)

    @property
    def identity(self) -> str:
        """The sha256 of the student's file."""
        return self._identity

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """The float student's raw logits [b, k]."""
        return self._runtime.logits(batch.images, *beside(batch.features))


def qat(
    *,
    dataset: Dataset,
    student: Path,
    config: QatConfig,
    verify: VerifyConfig,
    seed: int,
    out: Path,
    strategy: Strategy = Strategy.SINGLE,
) -> dict[str, float]:
    """The figures of the quantization-aware copy of the student in `student`; the copy is `out`/model.h5.

    loss = (1 − w) · cross-entropy + w · T² · KL(float ‖ rounded) with w = `config.float_weight`: the labels
    keep it right, the float student's own outputs keep it the same network (SQAKD, Zhao & Zhao 2024). Batch
    normalization keeps the float student's statistics. Writes model.h5, metrics.jsonl, evaluation.json,
    predictions.csv and validation_predictions.csv.

    Raises:
        ModelError: there is no student, or it cannot be quantized.
        ContractError: training diverged.
        DeviceError: the devices or workers of `strategy` are not there.
    """
    spread = open_strategy(strategy)
    begin(seed)
    teacher = FloatStudent(student / MODEL)
    shown = list(_representative(dataset, config, seed))
    known = [batch.features for batch in shown] if dataset.features else []
    model = quantization_aware(_core_of_bytes(teacher.model), [batch.images for batch in shown], known)
    freeze_batch_norm(model)
    labels = labels_loss(Loss.CROSS_ENTROPY, 0.0, dataset=dataset, fit=config.fit, seed=seed)
    with quantized_layers():
        kept = fit(
            model,
            dataset=dataset,
            config=config.fit,
            objective=mixed(labels, hinton_listening(config.temperature), config.float_weight),
            seed=seed,
            out=out,
            station="qat",
            settings=config,
            teacher=teacher,
            spread=spread,
        )
    save_quantized(model, out / QUANTIZED_MODEL)
    metrics = evaluate_station(model, dataset=dataset, verify=verify, out=out, artefact="qat")
    remove_checkpoint(out)
    parameters = count_parameters(teacher.model)
    return {
        "validation_auc": kept.validation_auc,
        "kept_epoch": float(kept.epoch),
        "parameters": float(parameters),
        **metrics,
    }


def _core_of_bytes(student: Any) -> Any:
    """The core of `student`, where the 8-bit input of its copy can stand for the scaling it was trained with.

    Raises:
        ModelError: it takes pixels in another way, and would see other pictures.
    """
    known = scaling(student)
    if known in (Scaling.SIGNED, Scaling.BYTE):
        return core(student)
    raise ModelError(
        f"the student takes pixels as {known.value}, which no byte stands for: choose a network made for 8 "
        f"bits ({', '.join(STUDENTS)}), or calibrate it: --set export.precisions=fp32,int8-ptq --to bench"
    )


def _representative(dataset: Dataset, config: QatConfig, seed: int) -> Iterator[Batch]:
    """The first batches of the schedule, which the ranges of the activations begin with."""
    return islice(epoch_batches(dataset, config.fit, seed=seed, epoch=0), _RANGE_BATCHES)
