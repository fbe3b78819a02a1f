"""`edgekd bench`: latency, memory and size of a run's files, or of anybody's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.options import Force, Json, Quiet, Settings, Verbose
from edgekd.cli.stations import make_station
from edgekd.config import BenchConfig
from edgekd.errors import UsageError
from edgekd.pipeline import Station
from edgekd.settings import apply_settings

if TYPE_CHECKING:
    from edgekd_bench.record import BenchRecord


def bench(
    sources: Annotated[
        list[Path], typer.Argument(metavar="RUN|MODEL...", help="A run folder, or .tflite files.")
    ],
    backend: Annotated[
        str,
        typer.Option(
            help="Comma-separated: cpu, cpu-builtin, cpu-reference, tflite-runtime, gpu, edgetpu, keras, "
            "delegate:PATH?key=value [default: cpu].",
            show_default=False,
        ),
    ] = "",
    threads: Annotated[
        str, typer.Option(help="Comma-separated thread counts [default: 1,2].", show_default=False)
    ] = "",
    require_device: Annotated[
        bool,
        typer.Option("--require-device", help="Exit code 5 if anything ran elsewhere, even in part."),
    ] = False,
    settings: Settings = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure the files of RUN with their sensitivity, or any MODEL files.

    Example: edgekd bench runs/quickstart --threads 1,2
    """
    console.configure(quiet=quiet, verbose=verbose)
    asked = [f"backends={backend}"] * bool(backend) + [f"threads={threads}"] * bool(threads)
    if len(sources) == 1 and not sources[0].suffix:
        wanted = [*(settings or []), *(f"bench.{setting}" for setting in asked)]
        make_station(sources[0], Station.BENCH, wanted, force=force, as_json=as_json)
        records = _measured(sources[0])
    else:
        config = apply_settings(BenchConfig(), [*(settings or []), *asked])
        records = _bench_files(sources, config, as_json=as_json)
    if require_device:
        _require_device(records)


def _measured(run: Path) -> list[BenchRecord]:
    from edgekd_bench.folders import read_folder

    return [place.record for place in read_folder(run / "bench")]


def _require_device(records: Sequence[BenchRecord]) -> None:
    from edgekd_bench.asked import require_device

    require_device(records)


def _bench_files(files: Sequence[Path], config: BenchConfig, *, as_json: bool) -> list[BenchRecord]:
    from edgekd_bench.station import bench_files

    names = [path.stem for path in files]
    named = names if len(set(names)) == len(names) else [str(path) for path in files]
    if len(set(named)) < len(named):
        raise UsageError("a model file is named twice, expected different files")
    records = bench_files(dict(zip(named, files, strict=True)), config)
    if as_json:
        console.emit_json(records)
        return records
    first = records[0]
    console.emit_table(
        f"{first.device.cpu}, {first.device.cores} cores; ai-edge-litert {first.versions['ai-edge-litert']}",
        ("file", "backend", "threads", "MB", "p50 ms", "p90 ms", "init ms", "peak MB", "runs", "note"),
        [_row(record) for record in records],
    )
    return records


def _row(record: BenchRecord) -> tuple[str, ...]:
    head = (record.model.name, record.requested_accelerator, str(record.threads))
    size = f"{record.model.size_bytes / 1e6:.2f}"
    if record.latency_ms is None or record.init_ms is None:
        return (*head, size, *["–"] * 5, f"{record.status.value}: {record.reason}")
    latency, peak = record.latency_ms, record.peak_memory_bytes
    return (
        *head,
        size,
        f"{latency.p50:.2f}",
        f"{latency.p90:.2f}",
        f"{record.init_ms:.1f}",
        "–" if peak is None else f"{peak / 1e6:.1f}",
        str(latency.n),
        "; ".join(record.noise),
    )
