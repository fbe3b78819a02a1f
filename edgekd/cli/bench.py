"""`edgekd bench`: latency, memory and size of a run's files, or of anybody's."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.compare import emit_latencies
from edgekd.cli.options import Force, Json, Quiet, Settings, Verbose
from edgekd.cli.stations import make_station
from edgekd.cli.tables import estimate
from edgekd.config import BenchConfig
from edgekd.errors import ContractError, UsageError, storage_errors
from edgekd.pipeline import Station
from edgekd.plain import to_plain, write_json
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
            "delegate:PATH?key=value, adb:SERIAL?tool=PATH&flag=value (adb: every phone) [default: cpu].",
            show_default=False,
        ),
    ] = "",
    threads: Annotated[
        str, typer.Option(help="Comma-separated thread counts [default: 1,2].", show_default=False)
    ] = "",
    sustained: Annotated[
        float,
        typer.Option(
            metavar="MINUTES", help="Minutes of load for each file, after the rounds.", show_default=False
        ),
    ] = 0.0,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|RUN",
            help="Run the test split of this prepared data set through every engine, for MODEL files.",
            show_default=False,
        ),
    ] = None,
    require_device: Annotated[
        bool,
        typer.Option("--require-device", help="Exit code 5 if anything ran elsewhere, even in part."),
    ] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|RUN", help="Kept records: say what is worse than there.", show_default=False
        ),
    ] = None,
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="Exit code 3 when it is worse than the --baseline.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep one JSON record for each measurement of MODEL here.",
            show_default=False,
        ),
    ] = None,
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
    is_run = len(sources) == 1 and not sources[0].suffix
    _check_baseline(baseline, fail_if_worse=fail_if_worse)
    _check_out(out, sources[0] if is_run else None, force=force)
    if is_run and data is not None:
        raise UsageError(f"--data {data}: a run is measured on its own images")
    given = {
        "backends": backend,
        "threads": threads,
        "sustained_minutes": f"{sustained:g}" if sustained else "",
    }
    asked = [f"{name}={text}" for name, text in given.items() if text]
    if is_run:
        wanted = [*(settings or []), *(f"bench.{setting}" for setting in asked)]
        make_station(sources[0], Station.BENCH, wanted, force=force, as_json=as_json)
        records = _measured(sources[0])
    else:
        config = apply_settings(BenchConfig(), [*(settings or []), *asked])
        records = _bench_files(sources, config, data, as_json=as_json)
        _keep(records, out)
    if require_device:
        _require_device(records)
    if baseline is not None:
        _compare_with(baseline, records, fail_if_worse=fail_if_worse, as_json=as_json)


def _measured(run: Path) -> list[BenchRecord]:
    from edgekd_bench.folders import read_folder

    return [place.record for place in read_folder(run / "bench")]


def _require_device(records: Sequence[BenchRecord]) -> None:
    from edgekd_bench.asked import require_device

    require_device(records)


def _check_baseline(baseline: Path | None, *, fail_if_worse: bool) -> None:
    """Find out before anything is measured that there is nothing to compare with."""
    if fail_if_worse and baseline is None:
        raise UsageError("--fail-if-worse: worse than what? give --baseline DIR with kept records")
    if baseline is None:
        return
    from edgekd_bench.folders import kept_records

    if not kept_records(baseline):
        raise UsageError(f"{baseline} holds no benchmark record: keep some with edgekd bench first")


def _check_out(out: Path | None, run: Path | None, *, force: bool) -> None:
    if out is None:
        return
    if run is not None:
        raise UsageError(f"--out {out}: the records of a run are kept in {run / 'bench'}")
    if out.is_file():
        raise UsageError(f"{out} is a file, expected a folder")
    from edgekd_bench.folders import holds_bench

    if out.is_dir() and holds_bench(out) and not force:
        raise UsageError(f"{out} holds records: give --force to replace them, or another --out")


def _compare_with(
    baseline: Path, records: Sequence[BenchRecord], *, fail_if_worse: bool, as_json: bool
) -> None:
    from edgekd_bench.folders import regressions

    worse = regressions(records, baseline)
    if as_json:
        for one in worse:
            console.log.warning("%s is worse than in %s: %s", one.b, baseline, one.reason)
    else:
        emit_latencies(f"worse than {baseline}: {len(worse) or 'none'}", worse)
    if worse and fail_if_worse:
        raise ContractError(f"worse than {baseline}: {', '.join(one.b for one in worse)}")


def _bench_files(
    files: Sequence[Path], config: BenchConfig, data: Path | None, *, as_json: bool
) -> list[BenchRecord]:
    names = [path.stem for path in files]
    named = names if len(set(names)) == len(names) else [str(path) for path in files]
    if len(set(named)) < len(named):
        raise UsageError("a model file is named twice, expected different files")
    records = _records(dict(zip(named, files, strict=True)), config, data)
    if as_json:
        console.emit_json(records)
    else:
        _emit(records)
    return records


def _records(files: Mapping[str, Path], config: BenchConfig, data: Path | None) -> list[BenchRecord]:
    from edgekd_bench.station import bench_files

    if data is None:
        return bench_files(files, config)
    from edgekd.assess import find_card
    from edgekd_bench.through import labelled

    cards = {name: find_card(path) for name, path in files.items()}
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        return bench_files(files, config, labelled(data, files, cards, Path(folder)))


def _keep(records: Sequence[BenchRecord], out: Path | None) -> None:
    if out is None:
        return
    from edgekd_bench.record import file_name

    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for record in records:
            write_json(out / file_name(record), record)


_HEAD = ("file", "backend", "threads", "MB", "p50 (p90) ms", "init ms", "peak MB", "runs")


def _emit(records: Sequence[BenchRecord]) -> None:
    devices = dict.fromkeys(f"{one.device.cpu}, {one.device.cores or 'unknown'} cores" for one in records)
    engines = dict.fromkeys(f"{one.engine.name} {one.engine.version}" for one in records if one.engine)
    extra = {
        "mJ": [_number(record.energy_per_run_mj, ".2f") for record in records],
        "drift": [_drift(record) for record in records],
        "sensitivity": [_sensitivity(record) for record in records],
        "against cpu": [_against(record) for record in records],
    }
    shown = {name: cells for name, cells in extra.items() if any(cell != "–" for cell in cells)}
    console.emit_table(
        "; ".join([*devices, *engines]),
        (*_HEAD, *shown, "note"),
        [
            (*_row(record), *(cells[number] for cells in shown.values()), _note(record))
            for number, record in enumerate(records)
        ],
    )


def _row(record: BenchRecord) -> tuple[str, ...]:
    from edgekd_bench.record import figures

    peak, timed = record.peak_memory_bytes, record.timed_ms
    return (
        record.model.name,
        record.requested_accelerator,
        str(record.threads),
        f"{record.model.size_bytes / 1e6:.2f}",
        figures(record),
        _number(record.init_ms, ".1f"),
        _number(None if peak is None else peak / 1e6, ".1f"),
        "–" if timed is None else str(timed.n),
    )


def _note(record: BenchRecord) -> str:
    if record.timed_ms is None:
        return (
            str(record.reason) if record.status.value == "ok" else f"{record.status.value}: {record.reason}"
        )
    return "; ".join(record.noise)


def _drift(record: BenchRecord) -> str:
    """How much slower the last half minute was than the first: "×1.08 in 10 min"."""
    found = record.sustained
    if found is None:
        return "–"
    return f"×{found.last_to_first:.2f} in {len(found.windows) * found.window_s / 60:g} min"


def _sensitivity(record: BenchRecord) -> str:
    return estimate(to_plain(record.evaluation.sensitivity)) if record.evaluation else "–"


def _against(record: BenchRecord) -> str:
    """The paired difference of sensitivity to the reference engine, and how many calls differ."""
    found = record.against_reference
    if found is None:
        return "–"
    return f"{estimate(to_plain(found.sensitivity), signed=True)}, {found.discordant} calls differ"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
