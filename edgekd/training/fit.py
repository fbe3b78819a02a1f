"""The one training loop, for teacher, student and quantization-aware student alike.

It writes below `out`:

    metrics.jsonl    one `Epoch` a line; a function of the seed, byte for byte
    timing.jsonl     seconds and images per second of every epoch: provenance, not hashed
    checkpoint/      what a killed training goes on from; the station removes it when it is whole

An interrupted and resumed training gives the bytes of an undisturbed one.

Spread over workers, every one walks this loop with its own part of each batch and an `out` of its own; where
it goes on from, and which epoch is the best, is what the chief says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from edgekd.config import FitConfig
from edgekd.console import log, progress
from edgekd.data.batches import Batch, Batches, draws, epoch_size
from edgekd.data.dataset import Dataset, Samples
from edgekd.errors import ContractError, UsageError
from edgekd.metrics.predictions import malignancy_score
from edgekd.metrics.ranking import roc_auc_score
from edgekd.models.catalogue import set_batch_norm_momentum
from edgekd.models.weights import weights_sha256
from edgekd.plain import digest
from edgekd.runtimes.base import beside
from edgekd.runtimes.keras import KerasRuntime
from edgekd.runtimes.predict import BATCH
from edgekd.training.checkpoint import file_bytes, put_bytes
from edgekd.training.determinism import reseed_dropout
from edgekd.training.history import Epoch, finished, is_best, kept, smoothed
from edgekd.training.journal import note_time, resume, save
from edgekd.training.learner import Learner, Objective
from edgekd.training.strategy import ALONE, Spread, announce


class Teacher(Protocol):
    """Whoever answers for the images of a batch."""

    @property
    def identity(self) -> str:
        """A digest of everything its answers depend on."""

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """The raw logits [b, k] for the images of `batch`."""


Watch = Callable[[Sequence[Epoch]], None]
"""Told of all epochs so far after each, and once when a killed training goes on; what it raises ends it."""


def fit(
    model: Any,
    *,
    dataset: Dataset,
    config: FitConfig,
    objective: Objective,
    seed: int,
    out: Path,
    station: str,
    settings: Any,
    teacher: Teacher | None = None,
    variants: int | None = None,
    spread: Spread = ALONE,
    watch: Watch | None = None,
) -> Epoch:
    """The epoch that was kept, the best by validation AUC; `model` then holds its (averaged) weights.

    `settings` is the configuration of `station`: with the data, the seed, the first weights and the
    teacher it makes a checkpoint this training's own. `watch` may end the training early by raising; its
    checkpoint stays.

    Raises:
        ContractError: the loss or a validation logit is not finite.
        UsageError: a batch cannot be divided over the replicas, or a worker trains something else.
        DeviceError: another worker was lost.
        StorageError: a checkpoint cannot be written.
    """
    announce(spread, config.batch_size)
    set_batch_norm_momentum(model, config.batch_norm_momentum)
    shown = epoch_size(dataset.train, config)
    steps = shown // config.batch_size
    learner = Learner(
        model,
        config=config,
        objective=objective,
        px=dataset.input_px,
        steps_per_epoch=steps,
        spread=spread,
    )
    identity = digest([settings, seed, variants, _facts(model, dataset), teacher and teacher.identity])
    _meet(out, identity, spread)
    history = resume(learner, Epoch, out, identity)
    if history and watch:
        watch(history)
    left = 0 if finished(history, config) else config.epochs - len(history)
    with spread.reachable(), progress(station, left * shown, "images") as advance:
        while not finished(history, config):
            began = time.monotonic()
            reseed_dropout(learner.trained, seed=seed, epoch=len(history))
            batches = epoch_batches(
                dataset, config, seed=seed, epoch=len(history), variants=variants, spread=spread
            )
            losses = _train(learner, batches, teacher, len(history) * steps, advance)
            history.append(_judge(learner, dataset, history, losses))
            save(learner, out, identity, history)
            _tell(out, station, history, shown, time.monotonic() - began)
            if watch:
                watch(history)
    learner.restore_best()
    return kept(history)


def epoch_batches(
    dataset: Dataset,
    config: FitConfig,
    *,
    seed: int,
    epoch: int,
    variants: int | None = None,
    spread: Spread = ALONE,
) -> Batches:
    """The augmented training batches of epoch number `epoch` (from 0): this worker's part of each."""
    shown = draws(dataset.train, fit=config, shares=dataset.shares, seed=seed, epoch=epoch, variants=variants)
    return Batches(
        dataset.train,
        spread.own(shown, config.batch_size),
        px=dataset.input_px,
        batch_size=config.batch_size // spread.workers,
        config=config.augment,
        seed=seed,
    )


def drawn_counts(
    dataset: Dataset, config: FitConfig, *, seed: int, variants: int | None = None
) -> NDArray[np.int64]:
    """How often the whole schedule shows each class, int64 [k]: the prior the network is trained under."""
    counts = np.zeros(len(dataset.classes), np.int64)
    for epoch in range(config.epochs):
        shown = draws(
            dataset.train, fit=config, shares=dataset.shares, seed=seed, epoch=epoch, variants=variants
        )
        counts += np.bincount(dataset.train.labels[shown.index], minlength=len(counts))
    return counts


def _train(
    learner: Learner,
    batches: Batches,
    teacher: Teacher | None,
    first: int,
    advance: Callable[[int, str], None],
) -> dict[str, float]:
    """One epoch of steps beginning with number `first`; the mean of each loss."""
    sums: dict[str, float] = {}
    for number, batch in enumerate(batches, start=first):
        answers = teacher.logits(batch) if teacher else np.zeros((len(batch.labels), 0), np.float32)
        losses = learner.step(batch, answers, number)
        _require_finite(losses["loss"], f"the loss of step {number + 1} is {losses['loss']}")
        sums = {name: sums.get(name, 0.0) + value for name, value in losses.items()}
        advance(len(batch.labels) * learner.spread.workers, f"loss {losses['loss']:.3f}")
    return {name: total / len(batches) for name, total in sums.items()}


def _judge(learner: Learner, dataset: Dataset, history: Sequence[Epoch], losses: dict[str, float]) -> Epoch:
    """The record of an epoch just trained; its weights are kept when they are the best so far."""
    step = (len(history) + 1) * learner.steps_per_epoch
    with learner.judged():
        logits = learner.spread.from_chief(_logits(learner.model, dataset.validation))
        _require_finite(float(np.sum(logits)), f"a validation logit after step {step} is not finite")
        auc = _auc(logits, dataset)
        area = smoothed(history, auc)
        if is_best(history, area):
            learner.keep()
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    return Epoch(
        epoch=len(history) + 1,
        step=step,
        learning_rate=learner.rate(step - 1),
        losses=losses,
        validation_loss=-float(log_p[np.arange(len(logits)), dataset.validation.labels].mean()),
        validation_auc=auc,
        validation_auc_smoothed=area,
        best=is_best(history, area),
    )


def _auc(logits: NDArray[np.float32], dataset: Dataset) -> float:
    score = malignancy_score(logits, dataset.classes, dataset.malignant)
    return roc_auc_score(dataset.validation.malignant, score)


def _logits(model: Any, samples: Samples) -> NDArray[np.float32]:
    """The logits [n, k] of a split, without a progress bar of its own inside that of the training."""
    runtime = KerasRuntime(model)
    parts = [np.arange(begin, min(begin + BATCH, len(samples))) for begin in range(0, len(samples), BATCH)]
    return np.concatenate(
        [runtime.logits(samples.images.read(part), *beside(samples.features[part])) for part in parts]
    )


def _require_finite(value: float, what: str) -> None:
    if not math.isfinite(value):
        raise ContractError(
            f"{what}: training diverged; lower fit.learning_rate (a tenth is a good next try) or lengthen "
            "fit.warmup_epochs"
        )


def _facts(model: Any, dataset: Dataset) -> dict[str, Any]:
    return {
        "first_weights": weights_sha256(model),
        "images": dataset.train.ids(),
        "labels": dataset.train.labels.tolist(),
        "px": [dataset.train_px, dataset.input_px],
        "patient": dataset.patient,
    }


def _meet(out: Path, identity: str, spread: Spread) -> None:
    """Make sure that all workers train the same thing, and give them the chief's checkpoint.

    Raises:
        UsageError: this worker trains something else than the chief.
    """
    if spread.workers == 1:
        return
    with spread.reachable():
        theirs = spread.bytes_from_chief(identity.encode()).decode()
        stored = spread.bytes_from_chief(file_bytes(out))
    if theirs != identity:
        raise UsageError(
            f"worker {spread.worker} of {spread.workers} trains another thing than the chief: give all the "
            "same command, data and versions"
        )
    if spread.worker:
        put_bytes(out, stored)


def _tell(out: Path, station: str, history: Sequence[Epoch], shown: int, seconds: float) -> None:
    epoch, speed = history[-1], shown / seconds
    note_time(out, epoch.epoch, seconds, images=speed)
    log.info(
        "%s epoch %d: loss %.4f, validation AUC %.4f (smoothed %.4f%s), %.0f images/s",
        station,
        epoch.epoch,
        epoch.losses["loss"],
        epoch.validation_auc,
        epoch.validation_auc_smoothed,
        ", best so far" if epoch.best else "",
        speed,
    )
