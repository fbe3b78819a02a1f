"""Station `teach`: a network trained on the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.config import FitConfig, Loss, Strategy, TeachConfig, VerifyConfig
from edgekd.config.later import as_before
from edgekd.console import log
from edgekd.data.dataset import Dataset
from edgekd.data.folds import assign_folds
from edgekd.imaging.augment import centre_view
from edgekd.metrics.predictions import malignancy_score, read_predictions
from edgekd.metrics.ranking import roc_auc_score
from edgekd.models.catalogue import build
from edgekd.models.describe import count_parameters
from edgekd.runtimes.base import Runtime, beside
from edgekd.runtimes.evaluate import VALIDATION_PREDICTIONS
from edgekd.runtimes.keras import KerasRuntime, load_keras
from edgekd.runtimes.predict import BATCH
from edgekd.training.checkpoint import remove_checkpoint
from edgekd.training.determinism import begin, save_model
from edgekd.training.evaluate import evaluate_runtime, evaluate_station
from edgekd.training.fit import drawn_counts, fit
from edgekd.training.folds import Mean, without_fold, write_folds
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

    Writes model.keras, metrics.jsonl, evaluation.json, predictions.csv and validation_predictions.csv; with
    `config.folds` one teacher for each instead (`edgekd.training.folds`), judged as one. Goes on where a
    killed run with the same arguments stopped.

    Raises:
        ContractError: training diverged.
        UnknownNameError, ModelError, UsageError: the network or its weights cannot be had.
        DeviceError: the devices or workers of `strategy` are not there.
    """
    if config.folds:
        return _teach_folds(dataset, config, verify, seed=seed, out=out, strategy=strategy)
    model, kept = _trained(dataset, config, seed=seed, out=out, strategy=strategy)
    return finish(model, kept, dataset=dataset, verify=verify, out=out, artefact="teacher")


def _trained(
    dataset: Dataset, config: TeachConfig, *, seed: int, out: Path, strategy: Strategy
) -> tuple[Any, Epoch]:
    """A teacher of the training split of `dataset`, and its kept epoch."""
    spread = open_strategy(strategy)
    begin(seed)
    model = build(
        config.model,
        input_px=dataset.input_px,
        n_logits=len(dataset.classes),
        seed=seed,
        n_features=len(dataset.features),
    )
    loss = labels_loss(
        config.loss,
        config.focal_gamma,
        dataset=dataset,
        fit=config.fit,
        seed=seed,
        alpha=config.focal_alpha,
    )
    kept = fit(
        model,
        dataset=dataset,
        config=config.fit,
        objective=labels_only(loss),
        seed=seed,
        out=out,
        station="teach",
        settings=as_before("teach", config),
        spread=spread,
    )
    return model, kept


def _teach_folds(
    dataset: Dataset, config: TeachConfig, verify: VerifyConfig, *, seed: int, out: Path, strategy: Strategy
) -> dict[str, float]:
    """The figures of the teachers of all folds as one; those a killed run finished are kept."""
    train = dataset.train
    repeats = [
        assign_folds(train.rows, train.labels, config.folds, seed + number)
        for number in range(config.repeats)
    ]
    places = [(folds, fold) for folds in repeats for fold in range(config.folds)]
    members = [out / f"fold-{number}.keras" for number in range(len(places))]
    for number, (member, (folds, fold)) in enumerate(zip(members, places, strict=True)):
        if not member.is_file():
            work = out / member.stem
            work.mkdir(exist_ok=True)
            log.info("teach: fold %d of %d", number + 1, len(places))
            part = without_fold(dataset, folds, fold)
            model, _ = _trained(part, config, seed=seed + number, out=work, strategy=strategy)
            save_model(model, member)
            remove_checkpoint(work)
    write_folds(out, dataset, repeats, [member.name for member in members])
    runtimes = [KerasRuntime(member) for member in members]
    unseen = np.stack([folds == fold for folds, fold in places])
    metrics = evaluate_runtime(Mean(runtimes), dataset=dataset, verify=verify, out=out, artefact="teacher")
    said = read_predictions(out / VALIDATION_PREDICTIONS, dataset.malignant)
    return {
        "validation_auc": roc_auc_score(said.labels, said.score),
        "out_of_fold_auc": out_of_fold_auc(runtimes, dataset, unseen),
        "members": float(len(members)),
        "parameters": float(sum(count_parameters(load_keras(member)) for member in members)),
        **metrics,
    }


def out_of_fold_auc(members: Sequence[Runtime], dataset: Dataset, unseen: NDArray[np.bool_]) -> float:
    """The AUC over all training photographs, each judged, whole, by the mean of those that did not see it.

    `unseen` bool [members, n] says who did not see which training image.
    """
    train = dataset.train
    total = np.zeros((len(train), len(dataset.classes)))
    for member, own in zip(members, unseen, strict=True):
        numbers = np.flatnonzero(own)
        for begin_at in range(0, len(numbers), BATCH):
            part = numbers[begin_at : begin_at + BATCH]
            images = np.stack([centre_view(train.images.image(number), dataset.input_px) for number in part])
            total[part] += member.logits(images, *beside(train.features[part]))
    mean = (total / unseen.sum(axis=0)[:, None]).astype(np.float32)
    score = malignancy_score(mean, dataset.classes, dataset.malignant)
    photographs = np.array([row.parent is None for row in train.rows])
    return roc_auc_score(train.malignant[photographs], score[photographs])


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
