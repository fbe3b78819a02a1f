"""A tiny network of picture and patient, its quantization-aware copy and its files, made once per session."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

import tiny_students
from edgekd.card import ModelCard
from edgekd.config import ModelConfig, Precision
from edgekd.patient_input import PatientColumn, PatientInput

PX, CLASSES, F = tiny_students.PX, tiny_students.CLASSES, 4
CONFIG = ModelConfig(name="dsnet", width=0.25, weights="none", dropout=0.0, patient_units=(8,))
COLUMNS = (
    PatientColumn(name="age", field="age", low=0.0, high=90.0),
    *(PatientColumn(name=f"site_{word}", field="site", category=word) for word in ("a", "b", "c")),
)
FILES = (Precision.FP32, Precision.INT8_PTQ, Precision.INT8, Precision.COREML_FP32)


def pairs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures that tell three classes apart now and then, and patient bytes that mostly do.

    A network that hardly needs the patient gives nearly the same answers to a wrong one.
    """
    images, shown = tiny_students.lesions(count, seed)
    random = np.random.Generator(np.random.PCG64([5, seed]))
    labels = np.where(random.random(count) < 0.4, shown, random.integers(0, len(CLASSES), count))
    vectors = np.zeros((count, F), np.uint8)
    vectors[:, 0] = np.clip(random.normal(60 + 70 * labels, 40), 0, 255)
    vectors[np.arange(count), 1 + np.where(random.random(count) < 0.9, labels, 0)] = 255
    return images, vectors.astype(np.float32) / np.float32(255), labels


@functools.cache
def student() -> Any:
    """The fused network, trained for sixty steps."""
    from edgekd.models.catalogue import build

    model = build(CONFIG, input_px=PX, n_logits=len(CLASSES), seed=1, n_features=F)
    _fit(model, steps=60)
    return model


@functools.cache
def quantized() -> Any:
    """Its quantization-aware copy, trained a little further, saved and loaded."""
    from edgekd.models.catalogue import core
    from edgekd.models.quantize import load_quantized, quantization_aware, save_quantized

    images, vectors, _ = pairs(48, 2)
    model = quantization_aware(core(student()), [images[:24], images[24:]], [vectors[:24], vectors[24:]])
    _fit(model, steps=6)
    path = tiny_students.folder() / "fused.h5"
    save_quantized(model, path)
    return load_quantized(path)


def _fit(model: Any, steps: int) -> None:
    from edgekd import lazy

    tf, keras = lazy.tensorflow(), lazy.keras()
    optimizer = keras.optimizers.legacy.SGD(0.01, momentum=0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    images, vectors, labels = pairs(96, 1)

    @tf.function
    def step(pixels: Any, known: Any, truth: Any) -> None:
        with tf.GradientTape() as tape:
            value = loss(truth, model([pixels, known], training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    for number in range(steps):
        part = np.arange(32) + 32 * (number % 3)
        step(tf.constant(images[part], tf.float32), tf.constant(vectors[part]), tf.constant(labels[part]))


@functools.cache
def exported(precision: Precision) -> Path:
    """The file of the network, with its card."""
    from edgekd_converters.export import write_exported

    path = tiny_students.folder() / "fused" / precision / "model"
    path.parent.mkdir(parents=True)
    images, vectors, _ = pairs(48, 3)
    if precision is Precision.COREML_FP32:
        from edgekd_converters.coreml import convert_coreml

        convert_coreml(student(), precision, path := path.with_suffix(".mlpackage"))
    else:
        from edgekd_converters.tflite import convert

        model = quantized() if precision is Precision.INT8 else student()
        path = path.with_suffix(".tflite")
        path.write_bytes(convert(model, precision, images, vectors))
    write_exported(path, card(precision))
    return path


def card(precision: Precision) -> ModelCard:
    return ModelCard(
        name="fused",
        precision=precision,
        input_px=PX,
        labels=CLASSES,
        malignant=("mel",),
        patient=PatientInput(columns=COLUMNS),
    )


def opened(path: Path) -> Any:
    from edgekd.runtimes.coreml import CoremlRuntime
    from edgekd.runtimes.litert import LitertRuntime

    return LitertRuntime(path) if path.suffix == ".tflite" else CoremlRuntime(path)


def twin(precision: Precision) -> Any:
    from edgekd.runtimes.keras import KerasRuntime

    return KerasRuntime(quantized() if precision is Precision.INT8 else student())
