"""A student's whole training here and by `keras.distillation.Distiller`: images per second.

    python bench/throughput/distiller.py [--width 0.35] [--teacher-width 1] [--px 224] [--batch 32]
                                         [--images 512] [--epochs 16] [--variants 4] [--rounds 1] [--json]

Drawn lesions, MobileNetV2 teaches MobileNetV2 (random weights; the arithmetic is the same), Hinton at T = 3,
AdamW. Both get the augmented batches of `edgekd.data.batches`, and each arm is a process of its own:

    edgekd          the station `distill`: the teacher's answers for `variants` views of every image are
                    asked for once and stored, the conversion of the teacher included; validation after
                    every epoch too
    distiller       Keras 3 on TensorFlow, `Distiller.fit` with jit_compile=False: the teacher answers in
                    every step; no validation
    distiller_auto  the same with Keras' own jit_compile="auto", on an eighth of the epochs

images/s = images · epochs over the seconds of all that, imports and drawing left out, tracing included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from circumstances import record, show
from trainings import asked, drawn_dataset, training_options

from edgekd.config import (
    NO_WEIGHTS,
    DistillConfig,
    FitConfig,
    ModelConfig,
    VerifyConfig,
)
from edgekd.data.dataset import Dataset, open_dataset

_SEED, _TEMPERATURE, _WEIGHT = 1, 3.0, 0.7
_ARMS = ("edgekd", "distiller", "distiller_auto")
_WHOLE = 1.0 / 0.65  # of the drawn lesions 65 % are training images


def main() -> None:
    """Measure and show; with --arm: one arm, for the process that asked."""
    options = _options()
    if options.arm:
        sys.stdout.write(json.dumps(_arm(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        drawn_dataset(Path(folder), px=options.px, images=int(options.images * _WHOLE))
        told = [{arm: _asked(options, arm, Path(folder)) for arm in _ARMS} for _ in range(options.rounds)]
    _report(options, told)


def _options() -> argparse.Namespace:
    parser = training_options(__doc__)
    parser.add_argument("--teacher-width", type=float, default=1.0)
    parser.add_argument("--images", type=int, default=512, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--variants", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--arm", default="", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _asked(options: argparse.Namespace, arm: str, data: Path) -> dict[str, float]:
    """What a process of its own measured of `arm`."""
    names = ("width", "teacher_width", "px", "batch", "images", "epochs", "variants", "data")
    return dict(asked(__file__, arm, {**vars(options), "data": data}, names, {}))


def _arm(options: argparse.Namespace) -> dict[str, float]:
    dataset = open_dataset(options.data)
    if options.arm == "edgekd":
        return _edgekd(options, dataset)
    return _distiller(options, dataset, jit=False if options.arm == "distiller" else "auto")


def _fit(options: argparse.Namespace) -> FitConfig:
    return FitConfig(
        epochs=options.epochs,
        images_per_epoch=options.images,
        batch_size=options.batch,
        label_smoothing=0.0,
    )


def _edgekd(options: argparse.Namespace, dataset: Dataset) -> dict[str, float]:
    from functools import partial

    from edgekd.data.parallel import available_cores
    from edgekd.models.catalogue import build
    from edgekd.training.distill import distill
    from edgekd_converters.teacher import on_litert

    student = ModelConfig(width=options.width, weights=NO_WEIGHTS)
    teacher = ModelConfig(width=options.teacher_width, weights=NO_WEIGHTS)
    config = DistillConfig(
        model=student,
        fit=_fit(options),
        temperature=_TEMPERATURE,
        teacher_weight=_WEIGHT,
        variants=options.variants,
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "teach").mkdir()
        (root / "distill").mkdir()
        network = build(teacher, input_px=options.px, n_logits=len(dataset.classes), seed=_SEED)
        network.save(root / "teach" / "model.keras")
        began = time.perf_counter()
        distill(
            dataset=dataset,
            teacher=root / "teach",
            config=config,
            verify=VerifyConfig(),
            seed=_SEED,
            out=root / "distill",
            converted=partial(on_litert, threads=available_cores()),
        )
        return _told(time.perf_counter() - began, options.epochs, options)


def _distiller(options: argparse.Namespace, dataset: Dataset, *, jit: Any) -> dict[str, float]:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    from keras.distillation import Distiller, LogitsDistillation

    epochs = options.epochs if jit is False else max(1, options.epochs // 8)
    student, teacher = (
        _network(keras, width, options.px, len(dataset.classes))
        for width in (options.width, options.teacher_width)
    )
    distiller = Distiller(
        teacher=teacher,
        student=student,
        distillation_losses=LogitsDistillation(temperature=_TEMPERATURE),
        student_loss_weight=1 - _WEIGHT,
    )
    distiller.compile(
        optimizer=keras.optimizers.AdamW(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit,
    )
    steps = options.images // options.batch
    began = time.perf_counter()
    distiller.fit(_batches(dataset, _fit(options), epochs), steps_per_epoch=steps, epochs=epochs, verbose=0)
    return _told(time.perf_counter() - began, epochs, options)


def _network(keras: Any, width: float, px: int, logits: int) -> Any:
    """MobileNetV2 on raw 0..255 RGB, as edgekd builds it."""
    image = keras.Input((px, px, 3))
    body = keras.applications.MobileNetV2(
        input_shape=(px, px, 3), include_top=False, weights=None, alpha=width, pooling="avg"
    )
    features = body(keras.layers.Rescaling(1 / 127.5, offset=-1)(image))
    return keras.Model(image, keras.layers.Dense(logits)(keras.layers.Dropout(0.2)(features)))


def _batches(dataset: Dataset, fit: FitConfig, epochs: int) -> Iterator[tuple[Any, Any]]:
    from edgekd.training.fit import epoch_batches

    for epoch in range(epochs):
        for batch in epoch_batches(dataset, fit, seed=_SEED, epoch=epoch):
            yield batch.images.astype(np.float32), batch.labels


def _told(seconds: float, epochs: int, options: argparse.Namespace) -> dict[str, float]:
    shown = options.images // options.batch * options.batch * epochs
    return {"images": shown, "seconds": seconds, "images_per_second": shown / seconds}


def _report(options: argparse.Namespace, told: list[dict[str, dict[str, float]]]) -> None:
    speeds = {arm: [one[arm]["images_per_second"] for one in told] for arm in _ARMS}
    medians = {arm: statistics.median(found) for arm, found in speeds.items()}
    ratios = {arm: medians["edgekd"] / medians[arm] for arm in _ARMS}
    result = record(
        f"MobileNetV2 {options.teacher_width:g} teaches {options.width:g} at {options.px} px, "
        f"{options.images} images × {options.epochs} epochs, {options.variants} variants: "
        f"edgekd / Distiller = {ratios['distiller']:.2f}",
        {
            "ratio": ratios,
            "rounds": told,
            "options": {name: value for name, value in vars(options).items() if name not in ("arm", "data")},
        },
    )
    rows = [[arm, f"{medians[arm]:.1f}", f"{ratios[arm]:.2f}"] for arm in _ARMS]
    show(result, ("arm", "images/s", "edgekd / arm"), rows, as_json=options.json)


if __name__ == "__main__":
    main()
