from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench_data import one_record
from edgekd.errors import DataError, UsageError
from edgekd.plain import to_plain, write_json
from edgekd_bench.record import BenchRecord, file_name, read_bench
from edgekd_bench.round import Status


def test_a_record_reads_back(tmp_path: Path) -> None:
    path = tmp_path / file_name(one_record())
    assert path.name == "int8@cpu-1t.json"
    write_json(path, one_record())
    assert read_bench(path) == one_record()


def test_the_fields_other_programs_read_keep_their_names() -> None:
    plain = to_plain(one_record())
    assert plain["schema"] == "edgekd.bench/1"
    assert set(plain) >= {
        *("model", "requested_accelerator", "actual_accelerator", "device", "versions", "threads"),
        *("latency_ms", "init_ms", "peak_memory_bytes", "partitions", "evaluation", "status", "reason"),
    }
    assert set(plain["model"]) >= {"sha256", "size_bytes", "precision", "input"}
    assert set(plain["device"]) >= {"cpu", "isa", "cores", "os"}
    assert set(plain["latency_ms"]) == {"min", "p50", "p90", "p95", "p99", "mean", "first", "n"}


@pytest.mark.parametrize(
    ("status", "reason"), [(Status.FAILED, "it crashed"), (Status.OK, "a reason"), (Status.UNAVAILABLE, None)]
)
def test_a_status_that_contradicts_the_figures_is_refused(status: Status, reason: str | None) -> None:
    with pytest.raises(UsageError, match=f"status {status}"):
        one_record(status=status, reason=reason)


def test_a_failure_needs_a_reason_and_no_figures() -> None:
    failed = one_record(status=Status.FAILED, reason="it crashed", latency_ms=None, engine=None)
    assert failed.latency_ms is None
    with pytest.raises(UsageError):
        one_record(status=Status.FAILED, reason=None, latency_ms=None)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for content in ("", "{}", json.dumps({**to_plain(one_record()), "schema": "edgekd.bench/2"})):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=r"x\.json"):
            read_bench(path)
    with pytest.raises(DataError, match="absent"):
        read_bench(tmp_path / "absent.json")
    assert BenchRecord.__dataclass_params__.frozen  # type: ignore[attr-defined]
