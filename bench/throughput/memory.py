"""Does memory grow with the data set? Peak resident memory of preparing and of training, at two sizes.

    python bench/throughput/memory.py [--counts 2000 20000] [--px 96] [--steps 200] [--json]

Each figure comes from a fresh process: VmHWM of the main process, and for preparing the largest worker
(ru_maxrss of the children) beside it. Training is `--steps` steps of MobileNetV2 0.35 on augmented batches.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from circumstances import peak_rss_bytes, record, show

from edgekd.config import NO_WEIGHTS, DataConfig, FitConfig, ModelConfig, SourceConfig, SourceKind
from edgekd.console import emit_json

_MB = 1e6


def main() -> None:
    """Measure and show, or do one of the measured tasks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--counts", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--px", type=int, default=96)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--task", choices=("prepare", "train"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task == "prepare":
        emit_json(_prepare(options.folder, options.counts[0], options.px))
    elif options.task == "train":
        emit_json(_train(options.folder, options.px, options.steps))
    else:
        _all(options)


def _all(options: argparse.Namespace) -> None:
    found = []
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            common = ("--folder", folder, "--counts", str(count), "--px", str(options.px))
            prepared = _fresh("--task", "prepare", *common)
            trained = _fresh("--task", "train", "--steps", str(options.steps), *common)
        found.append({"images": count, **prepared, **trained})
    result = record(f"peak resident memory in MB, {options.px} px", {"px": options.px, "found": found})
    rows = [
        [str(one["images"]), *(f"{one[name] / _MB:.0f}" for name in one if name != "images")] for one in found
    ]
    show(result, ("images", "prepare", "largest worker", "train"), rows, as_json=options.json)


def _fresh(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _prepare(folder: Path, count: int, px: int) -> dict[str, int]:
    from edgekd.data.prepare import prepare

    source = SourceConfig(name="drawn", kind=SourceKind.SYNTHETIC, count=count, image_px=px)
    prepare(config=DataConfig(sources=(source,), input_px=px, train_px=px), seed=1, out=folder)
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {"prepare_bytes": peak_rss_bytes(), "worker_bytes": worker}


def _train(folder: Path, px: int, steps: int) -> dict[str, int]:
    from input_pipeline import endless, training_step

    from edgekd.data.dataset import open_dataset
    from edgekd.models.catalogue import build

    dataset = open_dataset(folder)
    config = ModelConfig(width=0.35, weights=NO_WEIGHTS)
    step = training_step(build(config, input_px=px, n_logits=len(dataset.classes), seed=1))
    for batch in itertools.islice(endless(dataset, FitConfig(), px), steps):
        step(batch)
    return {"train_bytes": peak_rss_bytes()}


if __name__ == "__main__":
    main()
