"""A teacher that has to answer often, on the engine that answers fastest."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgekd.config import Precision
from edgekd.runtimes.litert import LitertRuntime
from edgekd_converters.worker import run_worker


def on_litert(model: Path, *, threads: int) -> LitertRuntime:
    """The network in the .keras file `model` on LiteRT's float32 kernels; its logits are Keras', to rounding.

    The conversion takes a while, a picture then less than on TensorFlow's CPU kernels: how much of either,
    `bench/throughput/teacher_cache.py` measures.

    Raises:
        ModelError: the file cannot be read or converted.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        converted = Path(folder, "teacher.tflite")
        run_worker(model, Precision.FP32, converted)
        return LitertRuntime(converted, threads=threads)
