"""`ask`: a model's answers, computed in a process that may crash, hang or run out of memory alone."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.data.patient import to_features
from edgekd.errors import EdgekdError, ModelError
from edgekd.plain import from_plain, to_plain
from edgekd.runtimes.base import Engine, Runtime, beside

TIMEOUT_S = 300.0
_MEMORY_BYTES = 8 << 30
_PACKAGE = ".mlpackage"


@dataclass(frozen=True, eq=False)
class Answered:
    """The logits float32 [n, k], what computed them, and the step of the output (0: float)."""

    logits: NDArray[np.float32]
    engine: Engine
    step: float


def ask(
    model: Path,
    images: NDArray[np.uint8],
    patient: tuple[int, ...] | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
) -> Answered:
    """What `model` answers to `images` [n, px, px, 3], the patient bytes beside each where they are given.

    A .tflite file runs on LiteRT's CPU kernels (XNNPACK, one thread), an .mlpackage on Core ML on macOS and
    elsewhere operation by operation in NumPy.

    Raises:
        ModelError: it cannot be loaded or run, does not take these inputs, crashed or took too long.
    """
    head = {"model": str(model), "shape": images.shape, "patient": patient}
    command = [sys.executable, "-m", "edgekd.bundle.engine"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(head).encode() + b"\n" + images.tobytes(),
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{model}: it did not answer {len(images)} pictures in {timeout_s:.0f} s") from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ModelError(f"{model}: the engine crashed on it ({name}); it is damaged or malicious")
    return _read(model, done)


def _read(model: Path, done: subprocess.CompletedProcess[bytes]) -> Answered:
    said = done.stderr.decode(errors="replace").strip().split("\n")[-1]
    answer: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"error": f"{model}: {said:.300}"}
    if "error" in answer:
        raise ModelError(answer["error"])
    return Answered(
        logits=np.array(answer["logits"], np.float32),
        engine=from_plain(Engine, answer["engine"]),
        step=answer["step"],
    )


def _open(path: Path) -> Runtime:
    if path.suffix == _PACKAGE:
        from edgekd.runtimes.coreml import CoremlRuntime

        return CoremlRuntime(path)
    from edgekd.runtimes.litert import LitertRuntime

    return LitertRuntime(path)


def _answer(head: dict[str, Any], pixels: bytes) -> dict[str, Any]:
    runtime = _open(Path(head["model"]))
    images = np.frombuffer(pixels, np.uint8).reshape(head["shape"])
    known = to_features(np.array(head["patient"] or [], np.uint8))
    features = np.tile(known, (len(images), 1))
    logits = runtime.logits(images, *beside(features))
    step = float(getattr(runtime, "output_step", 0.0))
    return {"logits": logits.tolist(), "engine": to_plain(runtime.engine), "step": step}


def _main() -> None:
    if sys.platform == "linux":  # elsewhere the limit is not kept, or not known
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    head, pixels = json.loads(sys.stdin.buffer.readline()), sys.stdin.buffer.read()
    try:
        answer = _answer(head, pixels)
    except MemoryError:
        answer = {"error": f"{head['model']}: it wants more than {_MEMORY_BYTES >> 30} GiB of memory"}
    except (EdgekdError, ValueError, RuntimeError) as error:
        answer = {"error": str(error).split("\n", maxsplit=1)[0]}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _main()
