"""`edgekd bench` beyond measuring: records kept, a baseline and its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_data import one_record
from command import edgekd
from edgekd.cli import bench as cli
from edgekd.errors import ContractError
from edgekd.plain import write_json
from edgekd_bench.record import BenchRecord, RoundLatency, Sustained, file_name, read_bench
from edgekd_bench.round import Status, Window
from tiny_tflite import average_pool

QUICK = ("--threads", "1", "--set", "min_seconds=0", "--set", "min_runs=2", "--set", "rounds=1", "--quiet")


def write_model(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    path = folder / "net.tflite"
    path.write_bytes(average_pool(px=8, **changes))  # type: ignore[arg-type]
    return path


def timed(p50: float) -> BenchRecord:
    return one_record(rounds_ms=tuple(RoundLatency(p50=p50 + k / 1000, p90=p50, n=10) for k in range(5)))


def test_what_ran_before_and_fails_now_is_worse(tmp_path: Path) -> None:
    good, bad = write_model(tmp_path / "good"), write_model(tmp_path / "bad", custom="strange")
    kept = tmp_path / "kept"
    done = edgekd("bench", good, *QUICK, "--out", kept)
    assert done.exit_code == 0, done.stderr
    assert read_bench(kept / "net@cpu-1t.json").status is Status.OK
    done = edgekd("bench", bad, *QUICK, "--baseline", kept, "--fail-if-worse")
    assert done.exit_code == 3
    assert f"edgekd: worse than {kept}: net@cpu-1t" in done.stderr
    assert "B failed:" in done.stdout
    assert edgekd("bench", bad, *QUICK, "--baseline", kept).exit_code == 0
    done = edgekd("bench", good, *QUICK, "--out", kept)
    assert done.exit_code == 2 and "holds records: give --force" in done.stderr
    assert edgekd("bench", bad, *QUICK, "--out", kept, "--force").exit_code == 0
    assert read_bench(kept / "net@cpu-1t.json").status is Status.FAILED


def test_bad_use_is_found_before_anything_is_measured(tmp_path: Path) -> None:
    model = write_model(tmp_path / "good")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "a.json").write_text("{}")
    for arguments, said in (
        (["--fail-if-worse"], "worse than what? give --baseline DIR"),
        (["--baseline", tmp_path / "absent"], "absent: no such folder"),
        (["--baseline", tmp_path / "foreign"], "foreign holds no benchmark record"),
        (["--out", model], "is a file, expected a folder"),
        (["--sustained", "0.5"], "sustained_minutes is 0.5, expected 1 or more"),
    ):
        done = edgekd("bench", model, *QUICK, *arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr.splitlines()[-1]
    done = edgekd("bench", tmp_path, "--out", tmp_path / "kept")
    assert done.exit_code == 2 and "the records of a run are kept in" in done.stderr


@pytest.mark.parametrize(("p50", "worse"), [(1.2, True), (1.01, False), (0.8, False)])
def test_a_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str], p50: float, worse: bool) -> None:
    write_json(tmp_path / file_name(timed(1.0)), timed(1.0))
    now = [timed(p50)]
    cli._compare_with(tmp_path, now, fail_if_worse=False, as_json=False)
    said = capsys.readouterr().out
    assert said.startswith(f"worse than {tmp_path}: {1 if worse else 'none'}")
    assert ("slower by more than 3%" in said) is worse
    if worse:
        with pytest.raises(ContractError, match=r"int8@cpu-1t$"):
            cli._compare_with(tmp_path, now, fail_if_worse=True, as_json=True)
    else:
        cli._compare_with(tmp_path, now, fail_if_worse=True, as_json=True)
    assert capsys.readouterr().out == ""


def test_the_table_shows_drift_and_energy_only_where_there_is_any(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli._emit([one_record()])
    assert "drift" not in capsys.readouterr().out
    windows = tuple(Window(p50_ms=ms, n=1, temperature_c=None, frequency_mhz=None) for ms in (1.0, 1.1))
    load = Sustained(window_s=30.0, windows=windows, last_to_first=1.1)
    cli._emit([one_record(sustained=load, energy_per_run_mj=2.5), one_record("fp32")])
    title, head, first, second = capsys.readouterr().out.splitlines()
    assert title.startswith("A Processor, 4 cores; ai-edge-litert 2.3.0")
    assert head.split()[-3:] == ["mJ", "drift", "note"]
    assert "2.50" in first and "×1.10 in 1 min" in first
    assert second.split()[-2:] == ["–", "–"]
