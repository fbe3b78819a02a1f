"""Kotlin's pixel path against Python's own on one photo: `python android_demo/ci/preprocess_bench.py`.

Both start with upright pixels in memory and end with RGB bytes of the network's size. Calls alternate, one
here, one there, so that a busy machine is busy for both; the ratio is that of the medians. The heap of the
JVM is limited to the photo's own pixels and 16 MiB. With --json an edgekd.throughput/1 record.
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
from statistics import median, quantiles
from typing import Any

import build
import numpy as np
from numpy.typing import NDArray

from edgekd.imaging.resample import prepare

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "bench" / "throughput"))
from circumstances import record, show  # noqa: E402 - lies beside the other measurements

HEIGHT, WIDTH = 3000, 4000
_HEAP_BESIDE = 16 << 20
_WARM_UP = 20
_MAIN = "org.edgekd.jvm.PreprocessBenchmark"

Pair = tuple[int, int]
"""Nanoseconds of a call of Python and of the call of Kotlin after it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--px", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=20, help="calls of either in a round")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    found = measure(asked.px, asked.rounds, asked.runs)
    rows = [
        [side, f"{found[side]['p50_ms']:.2f}", f"{found[side]['p90_ms']:.2f}"]
        for side in ("python", "kotlin")
    ]
    rows.append([f"kotlin / python {found['kotlin_over_python']:.2f}", "", ""])
    what = f"pixel path in Kotlin against Python, a photo of {WIDTH} × {HEIGHT} to {asked.px} px"
    show(record(what, found), ("", "p50, ms", "p90, ms"), rows, as_json=asked.json)
    return 0 if found["identical"] else 3


def measure(px: int, rounds: int, runs: int) -> dict[str, Any]:
    """Times of both in milliseconds, their ratio, and what the JVM needed of memory."""
    rng = np.random.Generator(np.random.PCG64(1))
    photo = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        source, made = Path(folder) / "photo.rgb", Path(folder) / "made.rgb"
        source.write_bytes(photo.tobytes())
        with subprocess.Popen(
            _command(source, made, px), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as kotlin:
            first_call_bytes = int(_line(kotlin))
            pairs = [(_python(photo, px), _kotlin(kotlin)) for _ in range(_WARM_UP + rounds * runs)]
            peak = _peak_bytes(kotlin.pid)
            kotlin.communicate()
        same = made.read_bytes() == prepare(photo, px).tobytes()
    return {
        "px": px,
        "identical": same,
        **_times(pairs[_WARM_UP:], runs),
        "kotlin_first_call_allocates_bytes": first_call_bytes,
        "kotlin_heap_limit_bytes": _heap(),
        "kotlin_peak_resident_bytes": peak,
        "java": _java(),
    }


def _times(pairs: Sequence[Pair], runs: int) -> dict[str, Any]:
    """Medians and 90th percentiles of all calls, and the ratio of the medians: of all, and round by round."""
    rounds = [pairs[start : start + runs] for start in range(0, len(pairs), runs)]
    return {
        "python": _figures([pair[0] for pair in pairs]),
        "kotlin": _figures([pair[1] for pair in pairs]),
        "kotlin_over_python": _ratio(pairs),
        "rounds": [_ratio(one) for one in rounds],
    }


def _figures(ns: Sequence[int]) -> dict[str, float]:
    return {"n": len(ns), "p50_ms": median(ns) / 1e6, "p90_ms": quantiles(ns, n=10)[-1] / 1e6}


def _ratio(pairs: Sequence[Pair]) -> float:
    return median(pair[1] for pair in pairs) / median(pair[0] for pair in pairs)


def _java() -> str:
    """The first line of what the JVM says of itself."""
    said = subprocess.run([build.java(), "-version"], check=True, capture_output=True, text=True)
    return (said.stderr or said.stdout).splitlines()[0]


def _heap() -> int:
    return 4 * HEIGHT * WIDTH + _HEAP_BESIDE


def _command(source: Path, made: Path, px: int) -> list[str]:
    built = subprocess.run([sys.executable, HERE / "build.py"], check=True, capture_output=True, text=True)
    jars = json.loads(built.stdout)
    path = os.pathsep.join([jars["core"], jars["tests"], *jars["kotlin"]])
    heap = f"-Xmx{_heap() >> 20}m"
    # The photo fills the old generation, which is by default two thirds of the heap.
    java = [build.java(), heap, "-Xmn8m", "-XX:+UseSerialGC", "-cp", path, _MAIN]
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
