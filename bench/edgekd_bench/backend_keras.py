"""Backend `keras`: a Keras model on TensorFlow's CPU kernels, the float reference of a run."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from edgekd import lazy
from edgekd.errors import ModelError
from edgekd.runtimes.keras import KerasRuntime, load_keras
from edgekd_bench import memory
from edgekd_bench.loaded import Loaded
from edgekd_bench.round import TensorFacts

SUFFIXES = (".keras", ".h5")


def open_keras(path: Path, threads: int) -> Loaded:
    """`path` as one traced function of a batch of one; `run` returns when its output is in NumPy.

    Loading TensorFlow is in neither `init_ms` nor the memory.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        ModelError: the file is missing or no Keras image classifier.
    """
    if path.suffix not in SUFFIXES:
        raise ModelError(f"{path}: not a Keras model, expected a {' or '.join(SUFFIXES)} file")
    tensorflow = lazy.tensorflow()
    lazy.keras()
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    resident, began = memory.reset_peak(), time.perf_counter()
    model = load_keras(path)
    runtime = KerasRuntime(model)
    shape = (1, runtime.input_px, runtime.input_px, 3)
    traced = tensorflow.function(lambda fed: model(fed, training=False))
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 256, shape).astype(np.float32)
    known = [np.zeros((1, runtime.n_features), np.float32)] if runtime.n_features else []
    tensors = [tensorflow.constant(values) for values in (pixels, *known)]
    fed = tensors if known else tensors[0]
    traced.get_concrete_function(fed)
    return Loaded(
        engine=runtime.engine,
        input=tuple(TensorFacts(shape=tuple(one.shape), dtype="float32") for one in tensors),
        run=lambda: traced(fed).numpy(),
        delegation=lambda: None,
        runtime=lambda: runtime,
        init_ms=(time.perf_counter() - began) * 1000,
        peak_memory=lambda: memory.peak_since(resident),
    )
