"""A tiny student and its quantization-aware copy, trained briefly once per test session.

Agreement on untrained weights proves nothing: their outputs are nearly flat, so anything agrees.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

PX, CLASSES = 32, ("mel", "nv", "bkl")
_COLOURS = np.array([[60, 40, 40], [190, 140, 120], [120, 150, 90]])


def lesions(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy squares of three colours on skin, uint8 [count, 32, 32, 3], and their class."""
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = np.arange(count) % len(CLASSES)
    images = rng.normal(200, 20, (count, PX, PX, 3))
    images[:, 8:24, 8:24] = rng.normal(_COLOURS[labels][:, None, None], 45, (count, 16, 16, 3))
    return images.clip(0, 255).astype(np.uint8), labels


@functools.cache
def folder() -> Path:
    """The session's folder, removed at its end."""
    path = Path(tempfile.mkdtemp(prefix="edgekd-tiny-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@functools.cache
def student() -> Any:
    """A DSNet of a quarter of the width, trained for sixty steps, on raw pixels."""
    from edgekd.config import ModelConfig
    from edgekd.models.catalogue import build

    config = ModelConfig(name="dsnet", width=0.25, weights="none", dropout=0.0)
    model = build(config, input_px=PX, n_logits=len(CLASSES), seed=1)
    _fit(model, steps=60)
    model.save(folder() / "model.keras")
    return model


@functools.cache
def quantized() -> Any:
    """The quantization-aware copy of `student`, trained for ten steps more."""
    from edgekd.models.catalogue import core
    from edgekd.models.quantize import load_quantized, quantization_aware, save_quantized

    model = quantization_aware(core(student()), [lesions(48, 2)[0]])
    _fit(model, steps=10)
    save_quantized(model, folder() / "model.h5")
    return load_quantized(folder() / "model.h5")


def _fit(model: Any, steps: int) -> None:
    from edgekd import lazy

    tf, keras = lazy.tensorflow(), lazy.keras()
    optimizer = keras.optimizers.legacy.SGD(0.01, momentum=0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(images: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            value = loss(labels, model(images, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    images, labels = lesions(96, 1)
    for number in range(steps):
        part = np.arange(32) + 32 * (number % 3)
        step(tf.constant(images[part], tf.float32), tf.constant(labels[part]))
