"""`run_worker`: one conversion in a process of its own, measured.

TensorFlow keeps the memory of a conversion until its process ends, and its converter can crash on a broken
model: each conversion therefore gets a process, `python -m edgekd_converters.worker REQUEST.json`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.config import Precision
from edgekd.errors import EdgekdError, ModelError, UsageError
from edgekd.models.scaling import Scaling
from edgekd.plain import from_plain, write_json
from edgekd_converters.artefacts import ROUTES

TIMEOUT_S = 1800.0
_STDERR_LINES = 3


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a worker is asked for: the Keras file `model` as the artefact `output`.

    `calibration` is the .npy file of calibration images and `features` that of their patient vectors, or
    `calibration_files` are the images themselves, prepared by the pixel rule; `scaling` what a network that
    was not built by edgekd expects (null: it was); `trusted` lets such a file run code of its own.
    """

    model: str
    precision: Precision
    output: str
    answer: str
    calibration: str | None = None
    features: str | None = None
    calibration_files: tuple[str, ...] = ()
    scaling: Scaling | None = None
    trusted: bool = False


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What a conversion cost and what it started from.

    `seconds` of wall time for loading and converting; `peak_memory_bytes` of the whole process (null where
    the system does not tell); `weights_sha256` over all weights of the Keras model, in their order.
    """

    seconds: float
    peak_memory_bytes: int | None
    weights_sha256: str
    tensorflow: str


def run_worker(
    model: Path,
    precision: Precision,
    output: Path,
    *,
    calibration: NDArray[np.uint8] | None = None,
    features: NDArray[np.float32] | None = None,
    calibration_files: Sequence[Path] = (),
    scaling: Scaling | None = None,
    trusted: bool = False,
) -> Conversion:
    """Write `model` in `precision` to `output`, in a process of its own; the directory must exist.

    `model` is a .keras file, for int8 the .h5 file of a quantization-aware model; with `scaling` a .keras
    or .h5 file or a SavedModel folder from anywhere (see `stranger`).

    Raises:
        UsageError: the request cannot be meant, e.g. int8 from a float model.
        ModelError: the model cannot be read or converted, or the converter crashed or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        request, answer = Path(folder, "request.json"), Path(folder, "answer.json")
        images, vectors = Path(folder, "calibration.npy"), Path(folder, "features.npy")
        if calibration is not None:
            np.save(images, calibration)
        if features is not None:
            np.save(vectors, features)
        asked = Request(
            model=str(model.resolve()),
            precision=precision,
            output=str(output.resolve()),
            answer=str(answer),
            calibration=None if calibration is None else str(images),
            features=None if features is None else str(vectors),
            calibration_files=tuple(str(file.resolve()) for file in calibration_files),
            scaling=scaling,
            trusted=trusted,
        )
        write_json(request, asked)
        done = _run(model, precision, request)
        if done.returncode == 0 and answer.is_file():
            return from_plain(Conversion, json.loads(answer.read_text(encoding="utf-8")))
        raise _failure(model, precision, done, answer)


def _run(model: Path, precision: Precision, request: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgekd_converters.worker", str(request)]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{model}: the conversion to {precision} did not end within {TIMEOUT_S / 60:.0f} minutes"
        ) from error


def _failure(
    model: Path, precision: Precision, done: subprocess.CompletedProcess[str], answer: Path
) -> EdgekdError:
    if answer.is_file():
        kind = UsageError if done.returncode == UsageError.exit_code else ModelError
        return kind(json.loads(answer.read_text(encoding="utf-8"))["error"])
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = " | ".join(lines[-_STDERR_LINES:]) or "it said nothing"
    return ModelError(
        f"{model}: the conversion to {precision} crashed (exit status {done.returncode}): {said}"
    )


def _main(path: Path) -> int:
    request = from_plain(Request, json.loads(path.read_text(encoding="utf-8")))
    try:
        answer: Any = _convert(request)
    except EdgekdError as error:
        write_json(Path(request.answer), {"error": str(error)})
        return error.exit_code
    write_json(Path(request.answer), answer)
    return 0


def _convert(request: Request) -> Conversion:
    from edgekd.models.weights import weights_sha256

    began = time.perf_counter()
    model = _load(request)
    _WRITERS[Path(ROUTES[request.precision].file).suffix](model, request)
    return Conversion(
        seconds=round(time.perf_counter() - began, 2),
        peak_memory_bytes=_peak_memory(),
        weights_sha256=weights_sha256(model),
        tensorflow=version("tensorflow"),
    )


def _write_tflite(model: Any, request: Request) -> None:
    from edgekd_converters.tflite import convert

    images = _calibration(request, model.inputs[0].shape[1])
    features = np.asarray(np.load(request.features)) if request.features else None
    Path(request.output).write_bytes(convert(model, request.precision, images, features))


def _calibration(request: Request, px: int) -> NDArray[np.uint8] | None:
    if request.calibration:
        return np.asarray(np.load(request.calibration))
    if not request.calibration_files:
        return None
    from edgekd.imaging.decode import read_image
    from edgekd.imaging.resample import prepare

    return np.stack([prepare(read_image(Path(file)), px) for file in request.calibration_files])


def _write_coreml(model: Any, request: Request) -> None:
    from edgekd_converters.coreml import convert_coreml

    convert_coreml(model, request.precision, Path(request.output))


_WRITERS: Mapping[str, Callable[[Any, Request], None]] = {
    ".tflite": _write_tflite,
    ".mlpackage": _write_coreml,
}


def _load(request: Request) -> Any:
    """The model on raw 0..255 RGB."""
    path = Path(request.model)
    if ROUTES[request.precision].trained:
        from edgekd.models.quantize import load_quantized

        return load_quantized(path)
    if request.scaling is not None:
        from edgekd_converters.stranger import load_model

        return load_model(path, request.scaling, trusted=request.trusted)
    from edgekd.models.scaling import scaling
    from edgekd.runtimes.keras import image_sides, load_keras

    model = load_keras(path)
    image_sides(model)
    scaling(model)  # refuses a model whose input range nobody knows
    return model


def _peak_memory() -> int | None:
    """VmHWM in bytes; unlike getrusage's, it does not begin with the parent's."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
