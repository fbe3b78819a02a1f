"""Is a file faster than the networks everybody knows? Its latency and theirs, in the same rounds.

    python bench/throughput/shapes.py MODEL [--threads 1] [--rounds 15] [--json]

MODEL is an int8 .tflite file. The others have published shapes, seven logits, random weights (which change
neither size nor latency) and the format of MODEL: full int8, converted here. Every round is a fresh process
for each file, in turn, so that a busy machine slows all. ratio = the file's median latency over that of
MobileNetV2 1.0 at 224 px in the same round: trimmed geometric mean over the rounds, bounds at 95 %
(edgekd_bench.compare.ratio_of_rounds).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from circumstances import record, show
from trainings import drawn_dataset

from edgekd.config import NO_WEIGHTS, BenchConfig, ModelConfig
from edgekd.plain import to_plain
from edgekd.search.screen import untrained_file
from edgekd_bench.compare import ratio_of_rounds
from edgekd_bench.markdown import estimate
from edgekd_bench.measure import Job, Outcome, latency, measure

_REFERENCE = "MobileNetV2 1.0 at 224"
_SHAPES = {
    _REFERENCE: ("mobilenet_v2", 1.0, 224),
    "MobileNetV2 1.0 at 128": ("mobilenet_v2", 1.0, 128),
    "MobileNetV2 0.35 at 128": ("mobilenet_v2", 0.35, 128),
    "MobileNetV4-Conv-S at 128": ("mobilenet_v4_conv_small", 1.0, 128),
    "MobileNetV2 0.5 at 224": ("mobilenet_v2", 0.5, 224),
    "MobileNetV2 0.35 at 224": ("mobilenet_v2", 0.35, 224),
    "MobileNetV4-Conv-S at 224": ("mobilenet_v4_conv_small", 1.0, 224),
    "EfficientNet-Lite0 at 224": ("efficientnet_lite0", 1.0, 224),
}
_MODEL = "MODEL"


def main() -> None:
    """Convert, measure and show."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {_MODEL: options.model, **_converted(Path(folder))}
        sizes = {name: file.stat().st_size for name, file in files.items()}
        outcomes = _measured(files, options)
    _report(options, sizes, outcomes)


def _converted(folder: Path) -> dict[str, Path]:
    dataset = drawn_dataset(folder / "data", px=32, images=60)
    files = {name: folder / f"{number}.tflite" for number, name in enumerate(_SHAPES)}
    for name, (family, width, px) in _SHAPES.items():
        shape = ModelConfig(name=family, width=width, weights=NO_WEIGHTS)
        untrained_file(shape, px, dataset=dataset, out=files[name])
    return files


def _measured(files: dict[str, Path], options: argparse.Namespace) -> dict[str, Outcome]:
    config = BenchConfig(threads=(options.threads,), rounds=options.rounds)
    jobs = [
        Job(name=name, model=file, backend="cpu", threads=options.threads) for name, file in files.items()
    ]
    return dict(zip(files, measure(jobs, config), strict=True))


def _told(outcome: Outcome, reference: Outcome, size: int) -> dict[str, Any]:
    """The figures of one file; latencies in milliseconds."""
    mine, theirs = ([median(one.runs_ms) for one in each.rounds] for each in (outcome, reference))
    found = latency(outcome.rounds)
    return {
        "size_bytes": size,
        "p50_ms": found.p50,
        "p90_ms": found.p90,
        "ratio": ratio_of_rounds(theirs, mine, paired=True),
        "engine": outcome.rounds[0].engine.describe(),
    }


def _report(options: argparse.Namespace, sizes: dict[str, int], outcomes: dict[str, Outcome]) -> None:
    told = {name: _told(outcome, outcomes[_REFERENCE], sizes[name]) for name, outcome in outcomes.items()}
    result = record(
        f"{options.threads} thread(s), {options.rounds} rounds: MODEL / {_REFERENCE} = "
        f"{estimate(told[_MODEL]['ratio'])}",
        {"files": to_plain(told), "options": {"threads": options.threads, "rounds": options.rounds}},
    )
    rows = [
        [
            name,
            f"{one['size_bytes'] / 1000:.0f}",
            f"{one['p50_ms']:.2f} ({one['p90_ms']:.2f})",
            estimate(one["ratio"]),
        ]
        for name, one in told.items()
    ]
    show(result, ("int8 file", "kB", "p50 (p90) ms", "ratio"), rows, as_json=options.json)


if __name__ == "__main__":
    main()
