"""Station `teach`: a network trained on the labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekd import lazy
from edgekd.config import FitConfig, Loss, Strategy, TeachConfig, VerifyConfig
from edgekd.data.dataset import Dataset
from edgekd.models.catalogue import build
from edgekd.models.describe import count_parameters
from edgekd.training.checkpoint import remove_checkpoint
from edgekd.training.determinism import begin, save_model
from edgekd.training.evaluate import evaluate_station
from edgekd.training.fit import drawn_counts, fit
from edgekd.training.history import Epoch
from edgekd.training.learner import Objective
from edgekd.training.losses import SupervisedLoss, focal_weights, supervised
from edgekd.training.strategy import open_strategy

tf = lazy.tensorflow()

MODEL = "model.keras"


def teach(
    *,
    dataset: Dataset,
    config: TeachConfig,
    verify: VerifyConfig,
    seed: int,
    out: Path,
    strategy: Strategy = Strategy.SINGLE,
) -> dict[str, float]:
    """The figures of a teacher trained on the labels of `dataset`; the teacher itself is `out`/model.keras.

    Writes model.keras, metrics.jsonl, evaluation.json, predictions.csv and validation_predictions.csv. Goes
    on where a killed run with the same arguments stopped.

    Raises:
        ContractError: training diverged.
        UnknownNameError, ModelError, UsageError: the network or its weights cannot be had.
        DeviceError: the devices or workers of `strategy` are not there.
    """
    spread = open_strategy(strategy)
    begin(seed)
    model = build(
        config.model,
        input_px=dataset.input_px,
        n_logits=len(dataset.classes),
        seed=seed,
        n_features=len(dataset.features),
    )
    kept = fit(
        model,
        dataset=dataset,
        config=config.fit,
        objective=labels_only(
            labels_loss(
                config.loss,
                config.focal_gamma,
                dataset=dataset,
                fit=config.fit,
                seed=seed,
                alpha=config.focal_alpha,
            )
        ),
        seed=seed,
        out=out,
        station="teach",
        settings=config,
        spread=spread,
    )
    return finish(model, kept, dataset=dataset, verify=verify, out=out, artefact="teacher")


def labels_loss(
    loss: Loss,
    gamma: float,
    *,
    dataset: Dataset,
    fit: FitConfig,
    seed: int,
    variants: int | None = None,
    alpha: float = 0.0,
) -> SupervisedLoss:
    """The supervised loss [b] that `loss` names, under the class counts of this very schedule.

    `gamma` and `alpha` (malignant classes against benign ones, 0: all alike) are those of the focal loss.
    """
    counts = drawn_counts(dataset, fit, seed=seed, variants=variants)
    weights = focal_weights(alpha, np.isin(dataset.classes, dataset.malignant))
    return supervised(loss, counts=counts, gamma=gamma, smoothing=fit.label_smoothing, weights=weights)


def labels_only(loss: SupervisedLoss) -> Objective:
    """The objective that hears no teacher: the batch mean of `loss`."""

    def objective(logits: Any, labels: Any, teacher: Any) -> Mapping[str, Any]:
        del teacher
        return {"loss": tf.reduce_mean(loss(logits, labels))}

    return objective


def finish(
    model: Any, kept: Epoch, *, dataset: Dataset, verify: VerifyConfig, out: Path, artefact: str
) -> dict[str, float]:
    """The metrics of a float station: `model` is saved and evaluated below `out`, its checkpoint removed."""
    save_model(model, out / MODEL)
    metrics = evaluate_station(model, dataset=dataset, verify=verify, out=out, artefact=artefact)
    remove_checkpoint(out)
    return {
        "validation_auc": kept.validation_auc,
        "kept_epoch": float(kept.epoch),
        "parameters": float(count_parameters(model)),
        **metrics,
    }
