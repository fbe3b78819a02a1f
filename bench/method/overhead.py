"""What measuring costs: our p50 against a bare loop around the same engine, and LiteRT's own tool.

    python bench/method/overhead.py MODEL.tflite [--rounds 20] [--threads 1] [--json]

In every round each of the three runs in a process of its own, in turn, every other round backwards. The ratio
of two and its interval are those of `edgekd compare`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from edgekd import console
from edgekd.errors import EdgekdError, ModelError
from edgekd_bench.compare import ratio_of_rounds
from edgekd_bench.device import describe_device
from edgekd_bench.measure import run_worker
from edgekd_bench.round import Backend, Request, Round

SCHEMA = "edgekd.overhead/1"
_RUNS, _SECONDS, _LOOP, _WARM_UP = 100, 0.3, 200, 100
_BARE = """
import json, statistics, sys, time
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=int(sys.argv[2]))
interpreter.allocate_tensors()
for _ in range(int(sys.argv[4])):
    interpreter.invoke()
took = []
for _ in range(int(sys.argv[3])):
    began = time.perf_counter_ns()
    interpreter.invoke()
    took.append(time.perf_counter_ns() - began)
print(json.dumps(statistics.median(took) / 1e6))
"""


def main(arguments: Sequence[str]) -> int:
    """Measure and show; the exit code."""
    parser = argparse.ArgumentParser(description="What measuring costs.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    console.configure()
    try:
        medians = _rounds(options.model, options.threads, options.rounds)
    except EdgekdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    ratios = {name: ratio_of_rounds(medians[name], medians["edgekd"], paired=True) for name in _OTHERS}
    if options.json:
        found = {"schema": SCHEMA, "model": options.model.name, "threads": options.threads}
        console.emit_json({**found, "device": describe_device(), "p50_ms": medians, "edgekd_over": ratios})
        return 0
    rows = [
        (name, f"{median(medians[name]):.4f}", f"{r.value:.4f} [{r.low:.4f}, {r.high:.4f}]")
        for name, r in ratios.items()
    ]
    title = f"{options.model.name}: edgekd {median(medians['edgekd']):.4f} ms, {options.rounds} rounds"
    console.emit_table(title, ("against", "p50 in ms", "edgekd / it, 95 % interval"), rows)
    return 0


def _rounds(model: Path, threads: int, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in _WAYS}
    with console.progress("overhead", rounds, "rounds") as advance:
        for turn in range(rounds):
            names = list(_WAYS)[:: -1 if turn % 2 else 1]
            for name in names:
                found[name].append(_WAYS[name](model, threads))
            advance(1, "")
    return found


def _edgekd(model: Path, threads: int) -> float:
    answer = run_worker(
        Request(
            model=str(model.resolve()),
            backend=Backend.CPU,
            threads=threads,
            min_runs=_RUNS,
            min_seconds=_SECONDS,
        )
    )
    if not isinstance(answer, Round):
        raise ModelError(f"{model}: {answer[1]}")
    return median(answer.runs_ms)


def _bare(model: Path, threads: int) -> float:
    return float(json.loads(_output(["-c", _BARE, str(model), str(threads), str(_LOOP), str(_WARM_UP)])))


def _litert_benchmark(model: Path, threads: int) -> float:
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        result = Path(folder, "result.json")
        module = "ai_edge_litert.tools.benchmark_litert_model"
        counts = ["--num_runs", str(_LOOP), "--warmup_runs", str(_WARM_UP), "--num_threads", str(threads)]
        _output(["-m", module, "--model", str(model), *counts, "--result_json", str(result)])
        return _median_ms(json.loads(result.read_text(encoding="utf-8")))


def _median_ms(result: Mapping[str, object]) -> float:
    stated = result.get("latency")
    if not isinstance(stated, Mapping):
        raise ModelError(f"LiteRT's benchmark wrote no latencies: {sorted(result)}")
    return float(stated["median_ms"])  # rounded to 0.01


def _output(arguments: Sequence[str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ModelError(f"{arguments[0]} {arguments[1][:40]} ended with {done.returncode}: {lines[-1]}")
    return done.stdout


_WAYS: Mapping[str, Callable[[Path, int], float]] = {
    "edgekd": _edgekd,
    "bare loop": _bare,
    "litert-benchmark": _litert_benchmark,
}
_OTHERS = [name for name in _WAYS if name != "edgekd"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
