"""The backends: for each name what opens a model file in its engine.

An engine is imported when it is asked for, so that a worker holds nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from edgekd_bench.arm64 import ACCELERATOR
from edgekd_bench.backend_litert import open_litert
from edgekd_bench.loaded import Loaded
from edgekd_bench.round import Backend, kind_of

Open = Callable[[Path, int, str], Loaded]


def open_backend(path: Path, threads: int, backend: str) -> Loaded:
    """The model file `path` on `backend`, written as it was asked for.

    Raises:
        ModelError: the file cannot be loaded there.
        DeviceError, MissingError: the backend is not on this machine.
        UsageError: an option of a delegate is not known to it.
    """
    return OPEN[kind_of(backend)](path, threads, backend)


def _litert(path: Path, threads: int, backend: str, *, kernels: str) -> Loaded:
    del backend
    return open_litert(path, threads, kernels)


def _tflite_runtime(path: Path, threads: int, backend: str) -> Loaded:
    from edgekd_bench.backend_tflite_runtime import open_tflite_runtime

    del backend
    return open_tflite_runtime(path, threads)


def _gpu(path: Path, threads: int, backend: str) -> Loaded:
    from edgekd_bench.backend_gpu import open_gpu

    del backend
    return open_gpu(path, threads)


def _edgetpu(path: Path, threads: int, backend: str) -> Loaded:
    from edgekd_bench.backend_edgetpu import open_edgetpu

    del backend
    return open_edgetpu(path, threads)


def _delegate(path: Path, threads: int, backend: str) -> Loaded:
    from edgekd_bench.delegate import open_delegate, parse_delegate

    return open_delegate(path, threads, parse_delegate(backend))


def _arm64(path: Path, threads: int, backend: str) -> Loaded:
    """LiteRT's usual kernels, in a worker that `run_worker` starts on the emulated processor."""
    del backend
    loaded = open_litert(path, threads, "xnnpack")
    return replace(loaded, engine=replace(loaded.engine, accelerator=ACCELERATOR))


def _keras(path: Path, threads: int, backend: str) -> Loaded:
    from edgekd_bench.backend_keras import open_keras

    del backend
    return open_keras(path, threads)


OPEN: Mapping[Backend, Open] = {
    Backend.CPU: partial(_litert, kernels="xnnpack"),
    Backend.CPU_BUILTIN: partial(_litert, kernels="builtin"),
    Backend.CPU_REFERENCE: partial(_litert, kernels="reference"),
    Backend.TFLITE_RUNTIME: _tflite_runtime,
    Backend.GPU: _gpu,
    Backend.EDGETPU: _edgetpu,
    Backend.DELEGATE: _delegate,
    Backend.ARM64: _arm64,
    Backend.KERAS: _keras,
}
