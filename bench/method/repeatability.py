"""Can two measurements be told apart when they should, and only then?

    python bench/method/repeatability.py MODEL.tflite [--pairs 20] [--threads 1] [--json]

A pair is two commands one after the other, as `edgekd bench MODEL.tflite` and `edgekd compare A B` would make
it. Of one half of the pairs the second command runs the same file, of the other half one whose every run is
made 10 % longer.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from edgekd import console
from edgekd.config import BenchConfig
from edgekd.errors import EdgekdError, ModelError
from edgekd_bench.compare import Finding, LatencyComparison, compare_latency
from edgekd_bench.device import describe_device
from edgekd_bench.measure import WORKER, Job, measure
from edgekd_bench.record import BenchRecord
from edgekd_bench.round import Backend, Status
from edgekd_bench.station import record_of

SCHEMA = "edgekd.repeatability/1"
_SLOW = (str(Path(__file__).with_name("slow_worker.py")),)


def main(arguments: Sequence[str]) -> int:
    """Measure and show; the exit code."""
    parser = argparse.ArgumentParser(description="Can two measurements be told apart?")
    parser.add_argument("model", type=Path)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    console.configure(quiet=True)
    found: dict[str, list[LatencyComparison]] = {"the same": [], "10 % slower": []}
    try:
        for _ in range(options.pairs):
            for name, worker in zip(found, (WORKER, _SLOW), strict=True):
                found[name].append(_pair(options.model, options.threads, worker))
    except EdgekdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    counts = {name: Counter(pair.finding.value for pair in pairs) for name, pairs in found.items()}
    if options.json:
        device = describe_device()
        pairs = {name: [_told(pair) for pair in pairs] for name, pairs in found.items()}
        record = {"schema": SCHEMA, "model": options.model.name, "device": device, "found": counts}
        console.emit_json({**record, "pairs": pairs})
        return 0
    rows = [(name, *(str(counts[name][finding.value]) for finding in Finding)) for name in found]
    title = f"{options.model.name}: {options.pairs} pairs each"
    console.emit_table(title, ("the second command is", *(finding.value for finding in Finding)), rows)
    return 0


def _pair(model: Path, threads: int, second: Sequence[str]) -> LatencyComparison:
    a, b = (_command(model, threads, worker) for worker in (WORKER, second))
    return compare_latency(a, b)


def _told(pair: LatencyComparison) -> dict[str, object]:
    return {"p50_ratio": pair.p50_ratio, "finding": pair.finding, "reason": pair.reason}


def _command(model: Path, threads: int, worker: Sequence[str]) -> BenchRecord:
    began, device = datetime.now(UTC).isoformat(), describe_device()
    job = Job(name=model.stem, model=model, backend=Backend.CPU, threads=threads)
    (outcome,) = measure([job], BenchConfig(), worker=worker)
    if outcome.status is not Status.OK:
        raise ModelError(f"{model}: {outcome.reason}")
    return record_of(job, outcome, device, began)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
