"""`probe`: whether a .tflite file loads and runs, found out in a process that may crash."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from edgekd.errors import ModelError
from edgekd.runtimes.litert import open_interpreter, partitions, ports

TIMEOUT_S = 60.0


def probe(path: Path, *, kernels: str = "xnnpack", timeout_s: float = TIMEOUT_S) -> int:
    """The number of delegate partitions of `path`, after one run on zeros in a process of its own.

    Raises:
        ModelError: the file cannot be loaded or run, crashed the interpreter or took longer than `timeout_s`.
    """
    command = [sys.executable, "-m", "edgekd.runtimes.probe", str(path), kernels]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{path}: LiteRT did not finish one run in {timeout_s:.0f} s") from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ModelError(f"{path}: LiteRT crashed on this file ({name}); it is damaged or malicious")
    answer = json.loads(done.stdout) if done.stdout else {"error": done.stderr.strip().split("\n")[-1]}
    if "error" in answer:
        raise ModelError(answer["error"])
    return int(answer["partitions"])


def _main(path: Path, kernels: str) -> None:
    try:
        interpreter = open_interpreter(path, kernels=kernels)
        for port in ports(interpreter)[0]:
            interpreter.set_tensor(port.index, np.zeros(port.shape, port.dtype))
        interpreter.invoke()
    except (ModelError, RuntimeError, ValueError) as error:
        sys.stdout.write(json.dumps({"error": str(error).split("\n", maxsplit=1)[0]}))
        return
    sys.stdout.write(json.dumps({"partitions": partitions(interpreter)}))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])
