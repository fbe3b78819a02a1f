"""What does the teacher cost? A distillation step on stored logits against a plain training step.

    python bench/throughput/teacher_cache.py [--width 0.35] [--px 224] [--batch 32] [--variants 2]
                                             [--members 1] [--images 600] [--steps 15] [--rounds 6] [--json]

One process, two students of the same shape, the training loop's own compiled step; rounds of `--steps` steps
alternate between labels alone and labels with the stored outputs (Hinton), each on augmented batches of its
own. ratio = median(distill) / median(plain) of the seconds per step; reading the answers is part of a step
and is shown alone beside it. Before that a store is filled by each engine, TensorFlow's kernels and (as in
long schedules) LiteRT's: its images per second over those of the teachers alone, on that engine and on
TensorFlow's, on one constant batch, measured before and after. Filling includes making the views; the
conversion for LiteRT does not depend on their number and is told apart. bytes: what an image and variant
takes on the disk, for all members.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from circumstances import peak_rss_bytes, record, show
from trainings import drawn_dataset, training_options

from edgekd.config import NO_WEIGHTS, FitConfig, Loss, ModelConfig
from edgekd.data.batches import Batch
from edgekd.data.dataset import Dataset
from edgekd.data.parallel import available_cores
from edgekd.models.catalogue import build
from edgekd.runtimes.base import Runtime
from edgekd.runtimes.keras import KerasRuntime
from edgekd.training.distill import hinton_listening, mixed
from edgekd.training.fit import epoch_batches
from edgekd.training.learner import Learner, Objective
from edgekd.training.teach import labels_loss, labels_only
from edgekd.training.teacher_cache import TeacherCache, ask_teacher
from edgekd_converters.teacher import on_litert

_SEED, _WARM = 1, 3
_ENGINES: Mapping[str, Callable[[Path], Runtime]] = {
    "keras": KerasRuntime,
    "litert": partial(on_litert, threads=available_cores()),
}


def main() -> None:
    """Measure and show."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        dataset = drawn_dataset(Path(folder), px=options.px, images=options.images)
        fit = FitConfig(batch_size=options.batch, epochs=options.variants)
        cache, filling = _fill(dataset, fit, options, Path(folder))
        stored = sum(path.stat().st_size for path in Path(folder, "store", "litert").rglob("*.logits"))
        seconds = _steps(dataset, fit, cache, options)
    _report(options, seconds, filling, {"pairs": len(cache), "bytes_per_pair": stored / len(cache)})


def _options() -> argparse.Namespace:
    parser = training_options(__doc__)
    parser.add_argument("--teacher-width", type=float, default=1.0)
    parser.add_argument("--variants", type=int, default=2)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=6)
    return parser.parse_args()


def _network(width: float, dataset: Dataset, seed: int) -> Any:
    config = ModelConfig(width=width, weights=NO_WEIGHTS)
    return build(config, input_px=dataset.input_px, n_logits=len(dataset.classes), seed=seed)


def _fill(
    dataset: Dataset, fit: FitConfig, options: argparse.Namespace, folder: Path
) -> tuple[TeacherCache, dict[str, dict[str, float]]]:
    """A filled store, and by engine the images per second of filling it and of the teachers alone."""
    files = [folder / f"{seed}.keras" for seed in range(options.members)]
    for seed, file in enumerate(files):
        _network(options.teacher_width, dataset, seed).save(file)
    found: dict[str, dict[str, float]] = {}
    for engine, opened in _ENGINES.items():
        began = time.perf_counter()
        teachers = [opened(file) for file in files]
        opening = time.perf_counter() - began
        before = _bare(teachers, dataset)
        began = time.perf_counter()
        cache = ask_teacher(
            teachers,
            digests=[file.stem for file in files],
            dataset=dataset,
            config=fit,
            seed=_SEED,
            variants=options.variants,
            out=folder,
            store=folder / "store" / engine,
        )
        rate = len(cache) / (time.perf_counter() - began)
        bare = statistics.mean((before, _bare(teachers, dataset)))
        found[engine] = {"images_per_second": rate, "bare_images_per_second": bare, "opening_s": opening}
    for told in found.values():
        told["over_bare"] = told["images_per_second"] / told["bare_images_per_second"]
        told["over_bare_keras"] = told["images_per_second"] / found["keras"]["bare_images_per_second"]
    return cache, found


def _bare(teachers: Sequence[Runtime], dataset: Dataset, batches: int = 8) -> float:
    """The images per second of `teachers`, one after another on one batch of 32 that never changes."""
    images = np.zeros((32, dataset.input_px, dataset.input_px, 3), np.uint8)
    for teacher in teachers:
        teacher.logits(images)
    began = time.perf_counter()
    for _ in range(batches):
        for teacher in teachers:
            teacher.logits(images)
    return batches * len(images) / (time.perf_counter() - began)


def _endless(dataset: Dataset, fit: FitConfig, variants: int) -> Generator[Batch, None, None]:
    """The batches of the schedule the teachers answered for, again and again."""
    while True:
        for epoch in range(fit.epochs):
            yield from epoch_batches(dataset, fit, seed=_SEED, epoch=epoch, variants=variants)


def _steps(
    dataset: Dataset, fit: FitConfig, cache: TeacherCache, options: argparse.Namespace
) -> dict[str, list[float]]:
    """The seconds per step of every round, by kind; `read` is the part that reading answers takes."""
    loss = labels_loss(
        Loss.CROSS_ENTROPY, 2.0, dataset=dataset, fit=fit, seed=_SEED, variants=options.variants
    )
    nothing = np.zeros((fit.batch_size, 0), np.float32)
    plain = _learner(dataset, fit, options.width, labels_only(loss))
    taught = _learner(dataset, fit, options.width, mixed(loss, hinton_listening(3.0), 0.7))
    batches = _endless(dataset, fit, options.variants)
    known = next(batches)
    tasks: dict[str, Callable[[], object]] = {
        "plain": lambda: plain.step(next(batches), nothing, 0),
        "distill": lambda: _taught_step(taught, cache, next(batches)),
        "read": lambda: cache.logits(known),
    }
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(options.rounds + 1):
        order = list(tasks) if number % 2 else list(reversed(tasks))
        for name in order:
            found = _timed(tasks[name], options.steps if number else _WARM)
            seconds[name] += [found] if number else []
    batches.close()
    return seconds


def _taught_step(learner: Learner, cache: TeacherCache, batch: Batch) -> dict[str, float]:
    return learner.step(batch, cache.logits(batch), 0)


def _learner(dataset: Dataset, fit: FitConfig, width: float, objective: Objective) -> Learner:
    model = _network(width, dataset, _SEED)
    return Learner(model, config=fit, objective=objective, px=dataset.input_px, steps_per_epoch=100)


def _timed(task: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        task()
    return (time.perf_counter() - began) / times


def _report(
    options: argparse.Namespace,
    seconds: dict[str, list[float]],
    filling: dict[str, dict[str, float]],
    stored: dict[str, float],
) -> None:
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    ratio = medians["distill"] / medians["plain"]
    result = record(
        f"MobileNetV2 {options.width:g} at {options.px} px, batch {options.batch}, "
        f"{options.members} teacher(s): distill / plain = {ratio:.3f}, "
        + "".join(
            f"filled by {engine} {told['images_per_second']:.0f} images/s, {told['over_bare']:.2f} of it "
            f"alone, {told['over_bare_keras']:.2f} of keras alone; "
            for engine, told in filling.items()
        )
        + f"{stored['bytes_per_pair']:.0f} bytes an image and variant",
        {
            "ratio": ratio,
            "seconds_per_step": seconds,
            "filling": filling,
            **stored,
            "peak_rss_bytes": peak_rss_bytes(),
            "options": vars(options),
        },
    )
    rows = [
        [name, f"{medians[name] * 1000:.1f}", f"{min(found) * 1000:.1f}", f"{max(found) * 1000:.1f}"]
        for name, found in seconds.items()
    ]
    show(result, ("step", "median ms", "min ms", "max ms"), rows, as_json=options.json)


if __name__ == "__main__":
    main()
