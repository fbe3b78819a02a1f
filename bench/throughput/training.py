"""How fast does a network learn here, what takes the time, and what share of the machine is that?

    python bench/throughput/training.py [--model mobilenet_v2] [--width 1] [--px 224] [--batch 32] [--steps 6]
                                        [--rounds 3] [--json]

A step of AdamW on one constant batch, so nothing but the network counts (what the input costs:
`input_pipeline.py`). Every arm is a process of its own, for its settings belong to a process; rounds go
through all arms in turn:

    float32         as edgekd trains
    huge_pages      the same, the memory asked for in huge pages and not given back between steps
                    (GLIBC_TUNABLES, below)
    bfloat16        tf-keras' mixed_bfloat16
    half_batch, double_batch

Beside it the machine: GFLOP/s of a product of two float32 matrices of 4,096, GB/s of a float32 negation of
400 MB (read and written). share = 6 · multiply-adds · images/s over the former: forward, and the gradients of
inputs and of weights, each two operations a multiply-add. `milliseconds_by_operation` are those of one
float32 step by TensorFlow's own profiler, over all threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from circumstances import record, show
from input_pipeline import training_step
from trainings import asked, training_options

from edgekd import lazy
from edgekd.config import NO_WEIGHTS, ModelConfig
from edgekd.data.batches import Batch
from edgekd.models.catalogue import build
from edgekd.models.describe import describe

HUGE_PAGES = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=17179869184:glibc.malloc.trim_threshold=17179869184"
)
_LOGITS, _MATRIX, _STREAM = 7, 4096, 100_000_000
_BATCHES = {"half_batch": 0.5, "double_batch": 2.0}
_ARMS = ("float32", "huge_pages", "bfloat16", *_BATCHES)


def main() -> None:
    """Measure and show; with --arm: one arm, for the process that asked."""
    options = _options()
    if options.arm:
        sys.stdout.write(json.dumps(_arm(options)))
        return
    told = [{arm: _asked(options, arm) for arm in _ARMS} for _ in range(options.rounds)]
    _report(options, told, _asked(options, "machine"), _asked(options, "profile"))


def _options() -> argparse.Namespace:
    parser = training_options(__doc__, width=1.0)
    parser.add_argument("--model", default="mobilenet_v2")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _asked(options: argparse.Namespace, arm: str) -> Any:
    """What a process of its own says of `arm`."""
    tunables = {"GLIBC_TUNABLES": HUGE_PAGES} if arm == "huge_pages" else {}
    return asked(__file__, arm, vars(options), ("model", "width", "px", "batch", "steps"), tunables)


def _arm(options: argparse.Namespace) -> Any:
    if options.arm == "machine":
        return {"matrix_gflops": _matrix_gflops(), "stream_gigabytes_per_second": _stream()}
    if options.arm == "bfloat16":
        lazy.keras().mixed_precision.set_global_policy("mixed_bfloat16")
    batch = int(options.batch * _BATCHES.get(options.arm, 1.0))
    model = build(
        ModelConfig(name=options.model, width=options.width, weights=NO_WEIGHTS),
        input_px=options.px,
        n_logits=_LOGITS,
        seed=1,
    )
    step = _constant_step(model, options.px, batch)
    if options.arm == "profile":
        return {"macs": describe(model).macs, "milliseconds_by_operation": _profile(step)}
    return {"images_per_second": [batch / _seconds(step) for _ in range(options.steps)]}


def _constant_step(model: Any, px: int, size: int) -> Callable[[], Any]:
    """A warm step on one batch of noise."""
    random = np.random.Generator(np.random.PCG64(1))
    step = training_step(model)
    none = np.zeros(size, np.int64)
    batch = Batch(
        images=random.integers(0, 256, (size, px, px, 3), np.uint8),
        labels=random.integers(0, _LOGITS, size).astype(np.int32),
        features=np.zeros((size, 0), np.float32),
        index=none,
        variant=none,
    )
    for _ in range(2):
        step(batch)
    return lambda: step(batch)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _matrix_gflops() -> float:
    tf = lazy.tensorflow()
    one = tf.random.normal((_MATRIX, _MATRIX))
    seconds = min(_seconds(lambda: tf.matmul(one, one).numpy()) for _ in range(5))
    return 2 * _MATRIX**3 / seconds / 1e9


def _stream() -> float:
    tf = lazy.tensorflow()
    values = tf.random.normal((_STREAM,))
    negate = tf.function(lambda given: -given)
    seconds = min(_seconds(lambda: negate(values)) for _ in range(5))
    return 2 * 4 * _STREAM / seconds / 1e9


def _profile(step: Callable[[], Any]) -> dict[str, float]:
    """Milliseconds of one step by kind of operation, the longest first, from TensorFlow's own profiler."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    profiler = lazy.tensorflow().profiler.experimental
    with tempfile.TemporaryDirectory() as folder:
        with profiler.Profile(folder):
            step()
        space = xplane_pb2.XSpace()
        space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    found: dict[str, float] = defaultdict(float)
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            node, parted, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
            if parted and "/" in node:
                found[kind.removeprefix("_MklNative")] += event.duration_ps / 1e9
    return dict(sorted(found.items(), key=lambda item: -item[1])[:12])


def _report(
    options: argparse.Namespace,
    told: list[dict[str, Any]],
    machine: Mapping[str, float],
    profile: Mapping[str, Any],
) -> None:
    speeds = {arm: [speed for one in told for speed in one[arm]["images_per_second"]] for arm in _ARMS}
    medians = {arm: statistics.median(found) for arm, found in speeds.items()}
    ratios = {arm: median / medians["float32"] for arm, median in medians.items()}
    gflops = 6 * profile["macs"] * medians["float32"] / 1e9
    share = gflops / machine["matrix_gflops"]
    result = record(
        f"training step, {options.model} {options.width:g} at {options.px} px: {medians['float32']:.1f} "
        f"images/s, {share:.0%} of the processor's peak",
        {
            "images_per_second": speeds,
            "ratio_to_float32": ratios,
            "share_of_matrix_peak": share,
            **machine,
            **profile,
            "options": {name: value for name, value in vars(options).items() if name != "arm"},
        },
    )
    rows = [[arm, f"{medians[arm]:.1f}", f"{ratios[arm]:.2f}"] for arm in _ARMS]
    rows += [
        [f"ms {kind}", f"{spent:.0f}", ""] for kind, spent in profile["milliseconds_by_operation"].items()
    ]
    show(result, ("arm", "median images/s", "to float32"), rows, as_json=options.json)


if __name__ == "__main__":
    main()
