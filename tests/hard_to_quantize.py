"""A small network with one layer that 8 bits cannot hold, and its files, made once per test session.

In the depthwise layer one channel's kernel is multiplied by `FACTOR` and the next layer's weights for it are
divided by it: the float function is the same, but one step of the layer's 8-bit output now covers the whole
range of the other channels, which hold all there is to know.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

PX, CHANNELS, FACTOR = 32, 8, 2000.0
BAD, NEXT = "depthwise", "project"


@functools.cache
def files(*, planted: bool) -> tuple[Path, Path]:
    """The fp32 and the int8-ptq file; the malignant logit rises with the red of the image."""
    from edgekd.config import Precision
    from edgekd_converters.tflite import convert

    folder = Path(tempfile.mkdtemp(prefix="edgekd-hard-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    model = _model(planted)
    for precision in (Precision.FP32, Precision.INT8_PTQ):
        (folder / f"{precision}.tflite").write_bytes(convert(model, precision, images(24)))
    return folder / f"{Precision.FP32}.tflite", folder / f"{Precision.INT8_PTQ}.tflite"


def images(count: int) -> np.ndarray:
    """Noise, uint8 [count, 32, 32, 3], every third image with twice the red."""
    noise = np.random.Generator(np.random.PCG64(4)).integers(0, 256, (count, PX, PX, 3), np.uint8)
    noise[np.arange(count) % 3 > 0, ..., 0] //= 2
    return noise


def _model(planted: bool) -> Any:
    from edgekd import lazy
    from edgekd.models.catalogue import CORE, with_scaling
    from edgekd.models.scaling import Scaling

    layers = lazy.keras().layers
    image = lazy.keras().Input((PX, PX, 3))
    x = layers.Conv2D(CHANNELS, 3, strides=2, padding="same", name="stem")(image)
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name=BAD)(x)
    x = layers.Conv2D(CHANNELS, 1, name=NEXT)(x)
    x = layers.ReLU(name="project_relu")(x)
    x = layers.Conv2D(CHANNELS, 1, name="mix")(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    core = lazy.keras().Model(image, layers.Dense(3, name="logits")(x), name=CORE)
    _fill(core, FACTOR if planted else 1.0)
    return with_scaling(core, Scaling.BYTE)


def _fill(core: Any, factor: float) -> None:
    rng = np.random.Generator(np.random.PCG64(6))
    stem = rng.normal(0, 0.05, (3, 3, 3, CHANNELS))
    stem[1, 1, 0] += 0.5
    stem[:, :, 0, 0] = 0  # the channel to be blown up sees no red: what tells the classes is in the others
    core.get_layer("stem").set_weights([stem, np.full(CHANNELS, 0.5)])
    kernel = rng.uniform(0.05, 0.15, (3, 3, CHANNELS, 1))
    kernel[:, :, 0] *= factor
    core.get_layer(BAD).set_weights([kernel, np.zeros(CHANNELS)])
    for name in (NEXT, "mix"):
        weights = rng.uniform(0.05, 0.25, (1, 1, CHANNELS, CHANNELS))
        if name == NEXT:
            weights[:, :, 0] /= factor
        core.get_layer(name).set_weights([weights, rng.uniform(0, 0.1, CHANNELS)])
    dense = rng.uniform(0.2, 0.6, (CHANNELS, 3))
    dense[:, 1:] *= -1
    core.get_layer("logits").set_weights([dense, np.array([1.0, 0.0, -1.0])])
