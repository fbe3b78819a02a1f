"""Records found in files and folders, whatever else lies there; folders compared with one another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.console import log
from edgekd.errors import UsageError
from edgekd.plain import from_plain, read_json
from edgekd_bench.compare import SMALLEST_DIFFERENCE, Finding, LatencyComparison, compare_latency
from edgekd_bench.record import SCHEMA, BenchRecord, file_name, read_bench

_MAX_BYTES = 16 << 20
_OURS = "edgekd."


@dataclass(frozen=True, kw_only=True)
class Place:
    """A record and the file it was read from."""

    path: Path
    record: BenchRecord


def read_folder(folder: Path, *, deep: bool = False) -> tuple[Place, ...]:
    """The benchmark records among the JSON files of `folder`, and `deep` below it, by path.

    Other records of edgekd are passed over; foreign and unreadable JSON is skipped, with one warning that
    counts it.

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    paths = sorted(folder.rglob("*.json") if deep else folder.glob("*.json"))
    found = {path: _read(path) for path in paths if path.is_file()}
    strange = [path for path, answer in found.items() if answer is None]
    if strange:
        log.warning(
            "%s: skipped %d JSON files that are no records, the first is %s", folder, len(strange), strange[0]
        )
    return tuple(
        Place(path=path, record=answer) for path, answer in found.items() if isinstance(answer, BenchRecord)
    )


def holds_bench(path: Path) -> bool:
    """Whether `path` is a benchmark record, or a folder with one in it."""
    paths = path.glob("*.json") if path.is_dir() else [path]
    return any(isinstance(_read(one), BenchRecord) for one in paths)


def compare_paths(
    a: Path, b: Path, *, smallest_difference: float = SMALLEST_DIFFERENCE, anyway: bool = False
) -> tuple[LatencyComparison, ...]:
    """B against A: two records, or the records of two folders (runs) that share name, backend and threads.

    Raises:
        UsageError: circumstances differ and not `anyway`; a file with a folder; no record has a partner.
        DataError: a record cannot be read.
    """
    if a.is_file() and b.is_file():
        pairs = [(read_bench(a), read_bench(b))]
    elif a.is_dir() and b.is_dir():
        pairs = _partners(kept_records(a), kept_records(b))
    else:
        raise UsageError(f"{a} and {b}: expected two records, or two folders of records")
    if not pairs:
        raise UsageError(f"{a} and {b} share no record of the same file name, backend and threads")
    return tuple(
        compare_latency(one, two, smallest_difference=smallest_difference, anyway=anyway)
        for one, two in pairs
    )


def regressions(
    records: Sequence[BenchRecord],
    baseline: Path,
    *,
    smallest_difference: float = SMALLEST_DIFFERENCE,
    anyway: bool = False,
) -> list[LatencyComparison]:
    """Those of `records` that are worse than the kept ones in the folder (or run) `baseline`.

    Records without a partner there are named in a warning.

    Raises:
        UsageError: circumstances differ and not `anyway`, or no record has a partner.
    """
    kept = kept_records(baseline)
    pairs = _partners(kept, records)
    if not pairs:
        raise UsageError(f"{baseline} holds no record of the same file name, backend and threads")
    known = {file_name(record) for record in kept}
    for record in records:
        if file_name(record) not in known:
            log.warning("%s: not in the baseline %s", file_name(record).removesuffix(".json"), baseline)
    found = (
        compare_latency(one, two, smallest_difference=smallest_difference, anyway=anyway)
        for one, two in pairs
    )
    return [one for one in found if one.finding is Finding.WORSE]


def kept_records(folder: Path) -> list[BenchRecord]:
    """The benchmark records in `folder`, or in the folder `bench` of a run.

    Raises:
        UsageError: there is no such folder.
    """
    return [place.record for place in read_folder(_bench_folder(folder))]


def _bench_folder(folder: Path) -> Path:
    return folder / "bench" if (folder / "experiment.json").is_file() else folder


def _partners(a: Iterable[BenchRecord], b: Iterable[BenchRecord]) -> list[tuple[BenchRecord, BenchRecord]]:
    known = {file_name(record): record for record in a}
    return [(known[file_name(record)], record) for record in b if file_name(record) in known]


def _read(path: Path) -> BenchRecord | str | None:
    """The record in `path`, the schema of another record of edgekd, or None for anything else."""
    try:
        value = read_json(path) if path.stat().st_size <= _MAX_BYTES else None
        schema = value.get("schema") if isinstance(value, dict) else None
        if schema != SCHEMA:
            return schema if isinstance(schema, str) and schema.startswith(_OURS) else None
        return _sound(from_plain(BenchRecord, value))
    except (OSError, ValueError, RecursionError, OverflowError, UsageError):
        return None


def _sound(record: BenchRecord) -> BenchRecord | None:
    """`record`, if its latencies are positive numbers."""
    latency, tool = record.latency_ms, record.tool_ms
    given = [] if latency is None else [latency.p50, latency.p90]
    every = [*given, *([] if tool is None else [tool.p50]), *(one.p50 for one in record.rounds_ms)]
    return record if all(math.isfinite(ms) and ms > 0 for ms in every) else None
