"""Does the input ever hold up training? A step on real batches against a step on one constant batch.

    python bench/throughput/input_pipeline.py [--width 0.35] [--px 224] [--batch 32] [--rounds 6] [--json]

One process, one model, one compiled step; rounds of `--steps` steps alternate between the augmented batches
of `edgekd.data.batches` and a batch that never changes. ratio = median(real) / median(constant) of the
seconds per step; 1 means the input costs nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from circumstances import record, show
from trainings import drawn_dataset, training_options

from edgekd import lazy
from edgekd.config import NO_WEIGHTS, FitConfig, ModelConfig
from edgekd.data.batches import Batch, Batches, draws
from edgekd.data.dataset import Dataset
from edgekd.models.catalogue import build

_IMAGES = 600


def main() -> None:
    """Measure and show."""
    parser = training_options(__doc__)
    parser.add_argument("--model", default="mobilenet_v2")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = drawn_dataset(Path(folder), px=options.px, images=_IMAGES)
        fit = FitConfig(batch_size=options.batch)
        real = endless(dataset, fit, options.px)
        constant = next(real)
        model = build(
            ModelConfig(name=options.model, width=options.width, weights=NO_WEIGHTS),
            input_px=options.px,
            n_logits=len(dataset.classes),
            seed=1,
        )
        step = training_step(model)
        seconds = _measure(step, real, constant, options.steps, options.rounds)
        real.close()
    _report(options, seconds)


def endless(dataset: Dataset, fit: FitConfig, px: int) -> Generator[Batch, None, None]:
    """The augmented batches of epoch after epoch."""
    epoch = 0
    while True:
        shown = draws(dataset.train, fit=fit, shares=dataset.shares, seed=1, epoch=epoch, variants=None)
        yield from Batches(dataset.train, shown, px=px, batch_size=fit.batch_size, config=fit.augment, seed=1)
        epoch += 1


def training_step(model: Any) -> Callable[[Batch], None]:
    """A compiled step of AdamW on the cross-entropy of a batch."""
    tf, keras = lazy.tensorflow(), lazy.keras()
    optimizer = keras.optimizers.AdamW(1e-3)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def train(images: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(tf.cast(images, tf.float32), training=True))
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    compiled = tf.function(train)
    return lambda batch: compiled(tf.constant(batch.images), tf.constant(batch.labels))


def _measure(
    step: Callable[[Batch], None], real: Iterator[Batch], constant: Batch, steps: int, rounds: int
) -> dict[str, list[float]]:
    for _ in range(3):
        step(constant)
    seconds: dict[str, list[float]] = {"constant": [], "real": []}
    for _ in range(rounds):
        for name, found in seconds.items():
            if name == "real":
                step(next(real))
            began = time.perf_counter()
            for _ in range(steps):
                step(next(real) if name == "real" else constant)
            found.append((time.perf_counter() - began) / steps)
    return seconds


def _report(options: argparse.Namespace, seconds: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    ratio = medians["real"] / medians["constant"]
    result = record(
        f"training step, {options.model} {options.width:g} at {options.px} px, batch {options.batch}: "
        f"real / constant = {ratio:.3f}",
        {"ratio": ratio, "seconds_per_step": seconds, "options": vars(options)},
    )
    rows = [
        [name, f"{medians[name] * 1000:.0f}", f"{np.min(found) * 1000:.0f}", f"{np.max(found) * 1000:.0f}"]
        for name, found in seconds.items()
    ]
    show(result, ("batch", "median ms", "min ms", "max ms"), rows, as_json=options.json)


if __name__ == "__main__":
    main()
