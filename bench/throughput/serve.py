"""What `edgekd serve` costs beside the decoding and computing it is there for, and how it stands overload.

    python bench/throughput/serve.py --model MODEL.tflite [--seconds 60] [--rounds 3] [--size 600x450]

JPEG files of one size (as it stands, that of HAM10000) are made first. Then, in alternation, on the same
cores and the same files:

- **bare**: processes, one per core, that decode, crop, resize and infer in a loop, as `edgekd predict` does,
  with nothing around it;
- **threads**: the same in one process with a thread per core: what a service in one process could do at most;
- **serve**: `edgekd serve` with as many workers, under a load of twice the bare rate from another process on
  another core, for `--seconds`. Every 200 is compared bit for bit with the Python API, every other answer
  has to be a 429 with Retry-After.

`ratio` is answers per second over the bare rate of the bare passes beside it; `cpu_ratio` is processor time
per picture, bare over service (server and workers together, refusals included), which a busy machine disturbs
less. Memory is the resident set of server and workers, once a second.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from circumstances import record, show

from edgekd import assess
from edgekd.data.lesions import render
from edgekd.imaging.decode import decode
from edgekd.imaging.opencv import cv2
from edgekd.runtimes.litert import LitertRuntime

_SIDES = (600, 450)
_DRAWN_PX = 256
_PICTURES = 24
_LOAD = str(Path(__file__).with_name("serve_load.py"))
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and show."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_images(Path(folder), _PICTURES, options.size)
        cores = sorted(os.sched_getaffinity(0))
        load_core, own = cores[-1:], cores[:-1] or cores
        rounds = []
        for _ in range(options.rounds):
            before = bare(options.model, paths, own, options.bare_seconds)
            threads = bare(options.model, paths, own, options.bare_seconds, threads=True)
            found = _serve(options, paths, own, load_core, rate_hz=2 * before["per_second"])
            after = bare(options.model, paths, own, options.bare_seconds)
            rounds.append(_compared(before, after, threads, found))
    _report(options, own, rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--bare-seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=_size, default=_SIDES)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def write_images(folder: Path, count: int, size: tuple[int, int] = _SIDES) -> list[Path]:
    """`count` JPEG files of drawn lesions of `size` (width, height), as `prepare.py` makes them."""
    generator = np.random.Generator(np.random.PCG64(1))
    paths = []
    for number in range(count):
        drawn = render(seed=1, number=number, diagnosis=("mel", "nv")[number % 2], px=_DRAWN_PX)
        image = cv2.resize(drawn, size, interpolation=cv2.INTER_CUBIC)
        noise = generator.integers(0, 12, image.shape, np.uint8)
        paths.append(folder / f"{number:02d}.jpg")
        cv2.imwrite(str(paths[-1]), cv2.add(image, noise)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    return paths


def bare(
    model: Path, paths: Sequence[Path], cores: Sequence[int], seconds: float, *, threads: bool = False
) -> dict[str, float]:
    """Pictures per second and processor seconds per picture of decode and inference alone on `cores`."""
    context = multiprocessing.get_context("spawn")
    processes, each = (1, len(cores)) if threads else (len(cores), 1)
    start = context.Barrier(processes)
    results = context.SimpleQueue()
    task = _Task(model=model, paths=paths, cores=cores, seconds=seconds, threads=each)
    workers = [context.Process(target=_loop, args=(task, start, results)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    found = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    count = sum(one["count"] for one in found)
    return {
        "per_second": sum(one["count"] / one["seconds"] for one in found),
        "cpu_ms": 1e3 * sum(one["cpu_seconds"] for one in found) / count,
    }


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What a process of a bare pass does: `threads` loops over the files on `cores` for `seconds`."""

    model: Path
    paths: Sequence[Path]
    cores: Sequence[int]
    seconds: float
    threads: int


def _loop(task: _Task, start: Any, out: Any) -> None:
    os.sched_setaffinity(0, task.cores)
    files = [path.read_bytes() for path in task.paths]
    answers = [_answerer(task.model) for _ in range(task.threads)]
    for answer in answers:
        answer(files[0])
    start.wait()
    began, cpu = time.perf_counter(), time.process_time()

    def repeat(answer: Callable[[bytes], object]) -> int:
        count = 0
        while time.perf_counter() - began < task.seconds:
            answer(files[count % len(files)])
            count += 1
        return count

    with ThreadPoolExecutor(task.threads) as pool:
        count = sum(pool.map(repeat, answers))
    spent = time.perf_counter() - began
    out.put({"count": count, "seconds": spent, "cpu_seconds": time.process_time() - cpu})


def _answerer(model: Path) -> Callable[[bytes], dict[str, float]]:
    """A function from an image file to its logits by label, the way `edgekd predict` goes."""
    card, runtime = assess.find_card(model), LitertRuntime(model)

    def answer(data: bytes) -> dict[str, float]:
        pixels = assess.pixels(card, decode(data, "picture"))
        return assess.answer(card, "", runtime.logits(pixels[np.newaxis])[0]).logits

    return answer


def _serve(
    options: argparse.Namespace,
    paths: Sequence[Path],
    cores: Sequence[int],
    load_core: Sequence[int],
    rate_hz: float,
) -> dict[str, Any]:
    answer = _answerer(options.model)
    pictures = [{"path": str(path), "logits": answer(path.read_bytes())} for path in paths]
    with service(options.model, cores) as (port, pids):
        watch = _Watch(pids)
        spec = {
            "host": "127.0.0.1",
            "port": port,
            "rate_hz": rate_hz,
            "seconds": options.seconds,
            "connections": options.connections,
            "pictures": pictures,
        }
        with watch:
            found = load(spec, load_core)
    return {"rate_hz": rate_hz, **found, **watch.found(found["statuses"].get("200", 0))}


def load(spec: dict[str, Any], cores: Sequence[int]) -> dict[str, Any]:
    """What `serve_load.py` says of `spec`, run on `cores`."""
    run = f"runpy.run_path({_LOAD!r}, run_name='__main__')"
    code = f"import os, runpy; os.sched_setaffinity(0, {list(cores)}); {run}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(spec),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


@contextmanager
def service(model: Path, cores: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """`edgekd serve` on `cores`: its port and the numbers of its processes, the server's first."""
    code = f"import os; os.sched_setaffinity(0, {list(cores)}); from edgekd.cli.app import main; main()"
    command = [sys.executable, "-c", code, "serve", str(model)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--workers", str(len(cores)), "--json", "--quiet"],
        stdout=subprocess.PIPE,
    )
    try:
        lines = iter(process.stdout or ())
        text = b""
        while not text.endswith(b"\n}\n"):
            text += next(lines)
        ready = json.loads(text)
        yield int(ready["url"].rpartition(":")[2]), [process.pid, *ready["workers"]]
    finally:
        process.terminate()
        process.wait()


class _Watch:
    """Processor time and memory of some processes while a block runs."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._resident: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> None:
        self._cpu = [_cpu_seconds(pid) for pid in self._pids]
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._cpu = [_cpu_seconds(pid) - before for pid, before in zip(self._pids, self._cpu, strict=True)]

    def _look(self) -> None:
        while not self._stop.wait(1):
            self._resident.append(sum(_resident_bytes(pid) for pid in self._pids))

    def found(self, answered: int) -> dict[str, Any]:
        """Processor time per answer, and memory at the start (after 5 s), at most and at the end."""
        settled = self._resident[5:] or self._resident
        return {
            "cpu_ms": 1e3 * sum(self._cpu) / max(1, answered),
            "server_cpu_ms": 1e3 * self._cpu[0] / max(1, answered),
            "resident_mb": [round(value / 1e6, 1) for value in (settled[0], max(settled), settled[-1])],
        }


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _compared(
    before: dict[str, float], after: dict[str, float], threads: dict[str, float], found: dict[str, Any]
) -> dict[str, Any]:
    per_second = statistics.mean((before["per_second"], after["per_second"]))
    cpu_ms = statistics.mean((before["cpu_ms"], after["cpu_ms"]))
    return {
        "bare": [before, after],
        "threads": threads,
        "serve": found,
        "ratio": found["answered_per_second"] / per_second,
        "cpu_ratio": cpu_ms / found["cpu_ms"],
    }


def _report(options: argparse.Namespace, cores: Sequence[int], rounds: Sequence[dict[str, Any]]) -> None:
    ratio, cpu_ratio = (statistics.median(one[name] for one in rounds) for name in ("ratio", "cpu_ratio"))
    result = record(
        f"edgekd serve on {len(cores)} of {os.cpu_count()} cores at twice the bare rate for "
        f"{options.seconds:g} s, JPEG of {_sides(options)} px: {ratio:.2f} of bare decode "
        f"and inference ({cpu_ratio:.2f} by processor time)",
        {"cores": len(cores), "ratio": ratio, "cpu_ratio": cpu_ratio, "rounds": rounds},
    )
    columns = ("bare/s", "threads/s", "serve/s", "ratio", "by cpu", "429", "wrong", "p50 ms", "p99 ms", "MB")
    show(result, columns, [_row(one) for one in rounds], as_json=options.json)


def _sides(options: argparse.Namespace) -> str:
    return " × ".join(str(side) for side in options.size)


def _row(one: dict[str, Any]) -> list[str]:
    found = one["serve"]
    return [
        f"{statistics.mean(each['per_second'] for each in one['bare']):.0f}",
        f"{one['threads']['per_second']:.0f}",
        f"{found['answered_per_second']:.0f}",
        f"{one['ratio']:.2f}",
        f"{one['cpu_ratio']:.2f}",
        str(found["statuses"].get("429", 0)),
        str(found["wrong"]),
        f"{found['answered_ms']['p50']:.0f}",
        f"{found['answered_ms']['p99']:.0f}",
        " → ".join(f"{value:.0f}" for value in found["resident_mb"]),
    ]


if __name__ == "__main__":
    main()
