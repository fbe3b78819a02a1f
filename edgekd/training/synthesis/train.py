"""A CycleGAN trained on the photographs of a training split. It writes below `out`:

    metrics.jsonl            one `GanEpoch` a line; a function of the seed, byte for byte
    timing.jsonl             seconds and photographs per second of every epoch
    samples/epoch_0001.png   rows of benign | turned malignant | turned back; the same photographs every time
    checkpoint/              what a killed training goes on from

An interrupted and resumed training gives the weights of an undisturbed one. Memory does not grow: pictures
are read batch by batch, and no more than the pools are kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.console import log, progress
from edgekd.data.batches import Batches, Draws
from edgekd.data.dataset import Dataset, Samples
from edgekd.data.sampling import Group, generator, visit
from edgekd.errors import ContractError, UnknownNameError, UsageError
from edgekd.imaging.augment import centre_view
from edgekd.training.journal import note_time, resume, save
from edgekd.training.synthesis.config import SynthesisConfig
from edgekd.training.synthesis.gan import CycleGan, translate
from edgekd.training.synthesis.pictures import grid, write_png

SAMPLES = "samples"

_PREFERRED = ("mel", "malignant")
_SHOWN = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Kinds:
    """The photographs a generator learns from: indices into the training samples, int64, sorted.

    `diagnosis` is that of the `malignant` ones.
    """

    samples: Samples
    diagnosis: str
    benign: NDArray[np.int64]
    malignant: NDArray[np.int64]

    def ids(self) -> tuple[str, ...]:
        """The ids of all of them, sorted."""
        return tuple(sorted(self.samples.rows[n].image_id for n in (*self.benign, *self.malignant)))

    def all_malignant(self) -> int:
        """How many malignant photographs there are, of any diagnosis."""
        return sum(row.malignant for row in self.samples.rows if row.parent is None)


@dataclass(frozen=True, kw_only=True)
class GanEpoch:
    """One epoch (from 1), ending with step number `step` (from 1, over all epochs).

    `losses` are means over the epoch's steps: `generators` (its parts are `adversarial`, `cycle` and
    `identity`, the last two in half grey ranges) and `discriminators`. `learning_rate` is that of the last
    step.
    """

    epoch: int
    step: int
    learning_rate: float
    losses: dict[str, float]


def find_kinds(dataset: Dataset, diagnosis: str) -> Kinds:
    """The benign photographs in train and those of the malignant `diagnosis` (empty: mel, or malignant).

    Synthetic images are left out.

    Raises:
        UnknownNameError: the data set has no such malignant diagnosis.
        UsageError: there is no photograph of one kind.
    """
    names = (diagnosis,) if diagnosis else _PREFERRED
    chosen = next((name for name in names if name in dataset.malignant), None)
    if chosen is None:
        raise UnknownNameError("malignant diagnosis", names[0], dataset.malignant)
    samples = dataset.train
    photograph = np.array([row.parent is None for row in samples.rows], np.bool_)
    benign = np.flatnonzero(photograph & ~samples.malignant)
    malignant = np.flatnonzero(photograph & (samples.labels == dataset.classes.index(chosen)))
    if not len(benign) or not len(malignant):
        raise UsageError(
            f"{len(benign)} benign photographs and {len(malignant)} of {chosen} to train on, expected both"
        )
    return Kinds(samples=samples, diagnosis=chosen, benign=benign, malignant=malignant)


def train(
    kinds: Kinds, config: SynthesisConfig, *, seed: int, identity: str, out: Path, minutes: float = 0.0
) -> tuple[CycleGan, tuple[GanEpoch, ...]]:
    """The networks and what happened epoch by epoch; all epochs, or those that were begun within `minutes`.

    At least one epoch is trained where any is left; 0 minutes: no limit. `identity` is a digest of all that
    the training depends on: it goes on from a checkpoint of its own only.

    Raises:
        ContractError: a loss is not finite.
        StorageError: a checkpoint or picture cannot be written.
    """
    shown = _epoch_size(kinds, config)
    steps = shown // config.batch_size
    gan = CycleGan(config, seed=seed, steps=steps * config.epochs)
    history = resume(gan, GanEpoch, out, identity)
    (out / SAMPLES).mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * minutes if minutes else math.inf
    with progress("synthesise", (config.epochs - len(history)) * shown, "photographs") as advance:
        while len(history) < config.epochs:
            began = time.monotonic()
            losses = _epoch(gan, _batches(kinds, config, seed, len(history)), len(history) * steps, advance)
            step = (len(history) + 1) * steps
            history.append(
                GanEpoch(epoch=len(history) + 1, step=step, learning_rate=gan.rate(step - 1), losses=losses)
            )
            write_png(out / SAMPLES / f"epoch_{len(history):04d}.png", _sheet(gan, kinds, config, seed))
            save(gan, out, identity, history)
            _tell(out, history[-1], shown, time.monotonic() - began)
            if time.monotonic() >= end:
                break
    return gan, tuple(history)


def pictures(samples: Samples, index: Sequence[int] | NDArray[np.integer], px: int) -> NDArray[np.uint8]:
    """The stored photographs `index` of `samples`, whole, uint8 [n, px, px, 3]."""
    views = [centre_view(samples.images.image(int(number)), px) for number in index]
    return np.stack(views) if views else np.empty((0, px, px, 3), np.uint8)


def _epoch_size(kinds: Kinds, config: SynthesisConfig) -> int:
    wanted = config.images_per_epoch or len(kinds.benign)
    return max(1, wanted // config.batch_size) * config.batch_size


def _batches(kinds: Kinds, config: SynthesisConfig, seed: int, epoch: int) -> tuple[Batches, Batches]:
    """The augmented batches of both kinds, in an order of their own: nothing pairs them."""
    size = _epoch_size(kinds, config)
    both = []
    for number, members in enumerate((kinds.benign, kinds.malignant)):
        group = Group(number=number, weight=1.0, members=members)
        index, variant = visit(group, epoch * size, (epoch + 1) * size, seed)
        draws = Draws(index=index, variant=variant)
        both.append(
            Batches(
                kinds.samples,
                draws,
                px=config.px,
                batch_size=config.batch_size,
                config=config.augment,
                seed=seed,
            )
        )
    return both[0], both[1]


def _epoch(
    gan: CycleGan, batches: tuple[Batches, Batches], first: int, advance: Callable[[int, str], None]
) -> dict[str, float]:
    """One epoch of steps beginning with number `first`; the mean of each loss."""
    sums: dict[str, float] = {}
    for number, (benign, malignant) in enumerate(zip(*batches, strict=True), start=first):
        losses = gan.step(benign.images, malignant.images, number)
        _require_finite(losses, number)
        sums = {name: sums.get(name, 0.0) + value for name, value in losses.items()}
        advance(len(benign.images), f"generators {losses['generators']:.2f}")
    return {name: total / len(batches[0]) for name, total in sums.items()}


def _require_finite(losses: dict[str, float], number: int) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise ContractError(
                f"the loss of the {name} at step {number + 1} is {value}: training diverged; lower "
                "learning_rate (a tenth is a good next try)"
            )


def _sheet(gan: CycleGan, kinds: Kinds, config: SynthesisConfig, seed: int) -> NDArray[np.uint8]:
    chosen = generator(seed, "samples").permutation(kinds.benign)[:_SHOWN]
    benign = pictures(kinds.samples, chosen, config.px)
    malignant = translate(gan.to_malignant, benign)
    return grid([benign, malignant, translate(gan.to_benign, malignant)])


def _tell(out: Path, epoch: GanEpoch, shown: int, seconds: float) -> None:
    note_time(out, epoch.epoch, seconds, photographs=shown / seconds)
    told = ", ".join(f"{name} {value:.3f}" for name, value in epoch.losses.items())
    log.info("synthesise epoch %d: %s, %.0f photographs/s", epoch.epoch, told, shown / seconds)
