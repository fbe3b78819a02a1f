"""Kotlin's pixel path against Python's own on one photo: `python android_demo/ci/preprocess_bench.py`.

Both start with upright pixels in memory and end with RGB bytes of the network's size. Calls alternate, one
here, one there, so that a busy machine is busy for both; the ratio is that of the medians. The heap of the
JVM is limited to the photo's own pixels and 16 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.imaging.resample import prepare
from edgekd_bench.device import describe_device

HERE = Path(__file__).resolve().parent
HEIGHT, WIDTH = 3000, 4000
_HEAP_BESIDE = 16 << 20
_WARM_UP = 20
_MAIN = "org.edgekd.jvm.PreprocessBenchmark"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--px", type=int, default=224)
    parser.add_argument("--runs", type=int, default=100)
    asked = parser.parse_args(arguments)
    sys.stdout.write(json.dumps(measure(asked.px, asked.runs), indent=2) + "\n")
    return 0


def measure(px: int, runs: int) -> dict[str, Any]:
    """Medians of both in milliseconds, their ratio, and what the JVM needed of memory."""
    rng = np.random.Generator(np.random.PCG64(1))
    photo = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        source, made = Path(folder) / "photo.rgb", Path(folder) / "made.rgb"
        source.write_bytes(photo.tobytes())
        with subprocess.Popen(
            _command(source, made, px), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as kotlin:
            first_call_bytes = int(_line(kotlin))
            pairs = [(_python(photo, px), _kotlin(kotlin)) for _ in range(_WARM_UP + runs)][_WARM_UP:]
            peak = _peak_bytes(kotlin.pid)
            kotlin.communicate()
        same = made.read_bytes() == prepare(photo, px).tobytes()
    python_ms, kotlin_ms = (median(pair[one] for pair in pairs) / 1e6 for one in (0, 1))
    return {
        "photo": f"{WIDTH} x {HEIGHT} to {px}",
        "identical": same,
        "runs": runs,
        "python_p50_ms": round(python_ms, 2),
        "kotlin_p50_ms": round(kotlin_ms, 2),
        "kotlin_over_python": round(kotlin_ms / python_ms, 3),
        "kotlin_first_call_allocates_bytes": first_call_bytes,
        "kotlin_heap_limit_bytes": _heap(),
        "kotlin_peak_resident_bytes": peak,
        "device": describe_device().cpu,
    }


def _heap() -> int:
    return 4 * HEIGHT * WIDTH + _HEAP_BESIDE


def _command(source: Path, made: Path, px: int) -> list[str]:
    built = subprocess.run([sys.executable, HERE / "build.py"], check=True, capture_output=True, text=True)
    jars = json.loads(built.stdout)
    path = os.pathsep.join([jars["core"], jars["tests"], *jars["kotlin"]])
    heap = f"-Xmx{_heap() >> 20}m"
    # The photo fills the old generation, which is by default two thirds of the heap.
    java = ["java", heap, "-Xmn8m", "-XX:+UseSerialGC", "-cp", path, _MAIN]
    return [*java, str(source), str(WIDTH), str(HEIGHT), str(px), str(made)]


def _python(photo: NDArray[np.uint8], px: int) -> int:
    began = time.perf_counter_ns()
    prepare(photo, px)
    return time.perf_counter_ns() - began


def _kotlin(process: subprocess.Popen[str]) -> int:
    if process.stdin is None:
        raise ValueError("the JVM was started without a standard input")
    process.stdin.write("\n")
    process.stdin.flush()
    return int(_line(process))


def _line(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline() if process.stdout else ""


def _peak_bytes(pid: int) -> int | None:
    """The largest resident memory of a process (Linux); None elsewhere."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)


if __name__ == "__main__":
    sys.exit(main())
