"""Does the cost of the data room stay linear? The table of ISIC 2020 with drawn images, at three sizes.

    python bench/throughput/isic2020.py --tables DIR [--counts 8281 16563 33126] [--px 64] [--json]

DIR holds ISIC_2020_Training_GroundTruth.csv and ISIC_2020_Training_Duplicates.csv. Of the first n rows every
image is drawn (JPEG, `--px` square, a lesion of its own; unmeasured). Then, each in a fresh process:

    audit      every image read and inspected; what shows the same picture is looked for
    split      rows to splits, patients whole, without the images
    prepare    the data station: read, split, stored as shards, audited, leaks left out
    tfrecord   the prepared images as TFRecord shards
    read       those shards as a source: every checksum, every row

growth is log(t last / t first) / log(n last / n first), of the processor time t of all processes of a task,
their start included: 1 is linear, 2 quadratic. Memory is the peak of the main process (VmHWM), beside it that
of the largest worker.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from circumstances import peak_rss_bytes, record, show

from edgekd import console
from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.console import emit_json, log, progress
from edgekd.data.lesions import render
from edgekd.data.parallel import in_processes
from edgekd.data.prepare import prepare
from edgekd.data.source import DataSource, open_source
from edgekd.imaging.opencv import cv2

_TABLE, _COPIES = "ISIC_2020_Training_GroundTruth.csv", "ISIC_2020_Training_Duplicates.csv"
_CHUNK = 128
_MB = 1e6

Line = tuple[int, Mapping[str, str]]
Found = dict[str, float]


def main() -> None:
    """Measure and show, or do one of the measured tasks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[8281, 16563, 33126])
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--task", choices=_TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    console.configure()
    if options.task:
        emit_json(_measured(_TASKS[options.task], options))
    else:
        _all(options)


def _all(options: argparse.Namespace) -> None:
    found = []
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            _write_source(Path(folder) / "isic2020", options, count)
            log.info("%d images are drawn", count)
            tasks = {name: _fresh(name, Path(folder), options) for name in _TASKS}
        found.append({"images": count, "tasks": tasks})
    _report(options, found)


def _write_source(root: Path, options: argparse.Namespace, count: int) -> None:
    """The official layout with the first `count` rows, and a picture for each of them."""
    (root / "train").mkdir(parents=True)
    lines = (options.tables / _TABLE).read_text(encoding="utf-8").splitlines(keepends=True)[: count + 1]
    (root / _TABLE).write_text("".join(lines), encoding="utf-8")
    (root / _COPIES).write_bytes((options.tables / _COPIES).read_bytes())
    rows: list[Line] = list(enumerate(csv.DictReader(lines)))
    if len(rows) < count:
        raise SystemExit(f"{options.tables / _TABLE} has {len(rows)} rows, {count} were asked for")
    chunks = [rows[begin : begin + _CHUNK] for begin in range(0, count, _CHUNK)]
    with progress("draw", count, "images") as advance:
        for drawn in in_processes(
            partial(_draw, root / "train", options.px), chunks, workers=options.workers
        ):
            advance(drawn, "")


def _draw(folder: Path, px: int, lines: Sequence[Line]) -> int:
    for number, line in lines:
        kind = "mel" if line["target"] == "1" else ("nv", "bkl")[number % 2]
        image = render(seed=2020, number=number, diagnosis=kind, px=px)
        cv2.imwrite(str(folder / f"{line['image_name']}.jpg"), image[..., ::-1])
    return len(lines)


def _fresh(task: str, folder: Path, options: argparse.Namespace) -> Found:
    common = ("--tables", str(options.tables), "--px", str(options.px), "--workers", str(options.workers))
    done = subprocess.run(
        [sys.executable, __file__, "--task", task, "--folder", str(folder), *common],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: Found = json.loads(done.stdout)
    return found


def _measured(task: Callable[[argparse.Namespace], Found], options: argparse.Namespace) -> Found:
    began = time.perf_counter()
    told = task(options)
    seconds = time.perf_counter() - began
    usage = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "seconds": seconds,
        "cpu_seconds": sum(one.ru_utime + one.ru_stime for one in usage),
        "peak_bytes": peak_rss_bytes(),
        "worker_bytes": usage[1].ru_maxrss * 1024,
        **told,
    }


def _config(options: argparse.Namespace) -> DataConfig:
    source = SourceConfig(name="isic2020", kind=SourceKind.ISIC2020, root=str(options.folder / "isic2020"))
    return DataConfig(sources=(source,), input_px=options.px, train_px=options.px, workers=options.workers)


def _open(options: argparse.Namespace) -> DataSource:
    config = _config(options)
    return open_source(config.sources[0], malignant=config.malignant, seed=1)


def _audit(options: argparse.Namespace) -> Found:
    from edgekd.data.audit import audit, gather_facts, links_of

    source = _open(options)
    rows = source.rows()
    began = time.perf_counter()
    facts = gather_facts(source, rows, options.workers)
    inspected = time.perf_counter()
    links = links_of(facts, options.workers)
    searched = time.perf_counter()
    audit(rows, facts, links)
    return {
        "inspect_seconds": inspected - began,
        "search_seconds": searched - inspected,
        "near_identical": len(links),
    }


def _split(options: argparse.Namespace) -> Found:
    from edgekd.data.split import assign_splits

    rows = _open(options).rows()
    began = time.perf_counter()
    assignment = assign_splits(rows, _config(options), 1)
    return {"split_seconds": time.perf_counter() - began, "rows": len(assignment.rows)}


def _prepare(options: argparse.Namespace) -> Found:
    out = options.folder / "data"
    out.mkdir()
    return prepare(config=_config(options), seed=1, out=out)


def _tfrecord(options: argparse.Namespace) -> Found:
    from edgekd.data.tfrecord.write import write_tfrecords

    made = write_tfrecords(options.folder / "data", options.folder / "tfrecord", workers=options.workers)
    return {"shards": len(made.shards), "size_bytes": sum(shard.size_bytes for shard in made.shards)}


def _read(options: argparse.Namespace) -> Found:
    from edgekd.data.tfrecord.source import TfRecordSource

    config = SourceConfig(name="shards", kind=SourceKind.TFRECORD, root=str(options.folder / "tfrecord"))
    return {"rows": len(TfRecordSource(config, malignant=_config(options).malignant).rows())}


_TASKS: dict[str, Callable[[argparse.Namespace], Found]] = {
    "audit": _audit,
    "split": _split,
    "prepare": _prepare,
    "tfrecord": _tfrecord,
    "read": _read,
}


def _report(options: argparse.Namespace, found: Sequence[Mapping[str, Any]]) -> None:
    growth = {name: _growth(found, name) for name in _TASKS}
    counts = [one["images"] for one in found]
    result = record(
        f"ISIC 2020's table, {', '.join(map(str, counts))} drawn images of {options.px} px",
        {"px": options.px, "workers": options.workers, "found": list(found), "growth": growth},
    )
    rows = [
        [str(one["images"]), name, *_cells(one["images"], task), _shown(growth[name])]
        for name in _TASKS
        for one in found
        for task in [one["tasks"][name]]
    ]
    columns = ("images", "task", "s", "CPU s", "CPU ms per image", "peak MB", "worker MB", "growth")
    show(result, columns, rows, as_json=options.json)


def _cells(images: int, task: Found) -> list[str]:
    return [
        f"{task['seconds']:.2f}",
        f"{task['cpu_seconds']:.2f}",
        f"{1000 * task['cpu_seconds'] / images:.3f}",
        f"{task['peak_bytes'] / _MB:.0f}",
        f"{task['worker_bytes'] / _MB:.0f}",
    ]


def _growth(found: Sequence[Mapping[str, Any]], name: str) -> float | None:
    first, last = found[0], found[-1]
    if first["images"] == last["images"]:
        return None
    times = last["tasks"][name]["cpu_seconds"] / first["tasks"][name]["cpu_seconds"]
    return math.log(times) / math.log(last["images"] / first["images"])


def _shown(growth: float | None) -> str:
    return "" if growth is None else f"{growth:.2f}"


if __name__ == "__main__":
    main()
