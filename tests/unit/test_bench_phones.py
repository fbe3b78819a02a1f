"""Records of phones: rounds over the real adb program, one record for each phone, and what stands in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adb_device import Device
from adb_tools import ADB, FIGURES, NO_ADB, PROPERTIES, free_port, printing, write_tool
from command import edgekd
from edgekd.config import BenchConfig
from edgekd.errors import DeviceError, UsageError
from edgekd.plain import write_json
from edgekd_bench.asked import require_device
from edgekd_bench.compare import compare_latency
from edgekd_bench.leaderboard import markdown, read_board
from edgekd_bench.record import BenchRecord, ToolLatency, figures, file_name, read_bench
from edgekd_bench.round import Status
from edgekd_bench.station import bench_files

GPU = "Replacing 65 out of 65 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions\n"
pytestmark = [
    pytest.mark.skipif(ADB is None, reason=NO_ADB),
    pytest.mark.usefixtures("private_port"),
]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(bytes(1000))
    return path


def measured(model: Path, tool: Path, flags: str = "", **changes: object) -> list[BenchRecord]:
    given = {"threads": (1,), "rounds": 1, "min_runs": 50, **changes}
    config = BenchConfig(backends=(f"adb?tool={tool}{flags}",), **given)  # type: ignore[arg-type]
    return bench_files({"net": model}, config)


def test_each_phone_has_records_of_its_own(
    connect: Callable[..., Device], model: Path, tmp_path: Path
) -> None:
    one, two = sorted([connect(), connect()], key=lambda device: device.address)
    one.write("/sys/class/thermal/thermal_zone0/temp", "41500\n")
    (tmp_path / "seen").mkdir()
    # Every call leaves a file named after its time, so that the order of the rounds can be read.
    script = f'echo "$@" > {tmp_path}/seen/$(date +%s%N); {printing(FIGURES)}'
    found = measured(model, write_tool(tmp_path, script), threads=(1, 2), rounds=2)
    assert [(record.requested_accelerator, record.threads) for record in found] == [
        (f"adb:{device.address}", threads) for device in (one, two) for threads in (1, 2)
    ]
    order = [path.read_text() for path in sorted((tmp_path / "seen").iterdir())]
    assert [text.split()[1] for text in order] == [f"--num_threads={n}" for n in (1, 1, 2, 2, 2, 2, 1, 1)]
    assert all("--num_runs=25 --min_secs=0.5" in text for text in order)
    record = found[0]
    assert (record.status, record.reason, record.latency_ms) == (Status.OK, None, None)
    assert record.tool_ms == ToolLatency(min=3.9, p50=4.04, p95=4.3, mean=4.05, first=5.0, n=120)
    assert [(part.p50, part.n) for part in record.rounds_ms] == [(4.04, 60)] * 2
    assert (record.device.cpu, record.device.os) == ("Nobody Test 1, none", "Android 14 (SDK 34)")
    assert (record.device.isa, record.device.temperature_c) == ("arm64-v8a", 41.5)
    assert (record.init_ms, record.noise, record.evaluation) == (20.0, (), None)
    assert record.actual_accelerator == "cpu"
    require_device(found)
    for each in found:
        write_json(tmp_path / file_name(each), each)
        assert read_bench(tmp_path / file_name(each)) == each
        assert str(tmp_path) not in (tmp_path / file_name(each)).read_text()
    assert len({file_name(each) for each in found}) == 4


def test_a_phone_that_goes_away_ends_only_its_own(
    connect: Callable[..., Device], model: Path, tmp_path: Path
) -> None:
    good, bad = connect(), connect(cut_at="exec ./tool")
    found = measured(model, write_tool(tmp_path, printing(FIGURES)), rounds=2)
    by_phone = {record.requested_accelerator: record for record in found}
    assert by_phone[f"adb:{good.address}"].status is Status.OK
    assert by_phone[f"adb:{good.address}"].rounds == 2
    lost = by_phone[f"adb:{bad.address}"]
    assert (lost.status, lost.tool_ms, lost.rounds) == (Status.FAILED, None, 0)
    assert str(lost.reason).startswith(f"{bad.address} was disconnected while benchmark_model ran")
    assert lost.device.cpu == "Nobody Test 1, none"
    with pytest.raises(DeviceError, match="was disconnected"):
        require_device([lost])


FELL_BACK = {
    "a part": (
        "Replacing 54 out of 65 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions\n",
        "gpu took 54 of 65 operators; left to the CPU: 11 others beside them",
    ),
    "no proof": ("", "was asked for gpu and shows no proof of it"),
    "not taken": (
        f"{GPU}Though GPU delegate is explicitly applied, the model graph will not be executed by the "
        "delegate.\n",
        "was asked for gpu and ran on cpu",
    ),
    "not all, it says": (
        f"{GPU}Though GPU delegate is explicitly applied, the model graph will be partially executed by the "
        "delegate w/ 2 delegate kernels.\n",
        "was asked for gpu and ran on gpu in part",
    ),
    "all": (GPU, None),
}


@pytest.mark.parametrize("name", FELL_BACK)
def test_a_required_accelerator(
    connect: Callable[..., Device], model: Path, tmp_path: Path, name: str
) -> None:
    said, reason = FELL_BACK[name]
    device = connect()
    found = measured(model, write_tool(tmp_path, printing(said + FIGURES)), "&use_gpu=true")
    assert found[0].requested_accelerator == f"adb:{device.address}?use_gpu=true"
    assert found[0].status is Status.OK
    if reason is None:
        require_device(found)
        return
    with pytest.raises(DeviceError) as caught:
        require_device(found)
    assert str(caught.value).endswith(f": {reason}") and caught.value.exit_code == 5


def test_litert_does_not_wait_for_the_gpu(
    connect: Callable[..., Device], model: Path, tmp_path: Path
) -> None:
    connect()
    tool = write_tool(tmp_path, printing(GPU + FIGURES), "benchmark_litert_model")
    (found,) = measured(model, tool, "&use_gpu=true")
    assert found.noise == (
        "LiteRT's tool does not wait for the GPU: its latency is that of submitting the work",
    )


def test_an_emulator_has_no_latency(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    connect(properties={**PROPERTIES, "ro.hardware": "ranchu"})
    (found,) = measured(model, write_tool(tmp_path, printing(FIGURES)))
    assert (found.status, found.tool_ms, found.rounds_ms) == (Status.OK, None, ())
    assert found.reason == "ran on Android's emulator: correctness only, no latency"
    with pytest.raises(DeviceError, match="ran on Android's emulator, no device"):
        require_device([found])


def test_a_build_without_a_median(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    connect()
    old = FIGURES.replace(" p5=3950 median=4040 p95=4300", "")
    (found,) = measured(model, write_tool(tmp_path, printing(old)))
    assert (found.status, found.tool_ms) == (Status.FAILED, None)
    assert found.reason == "this build of the benchmark tool prints no median: take a newer one"


def test_a_sustained_load_on_a_phone(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    device = connect()
    device.write("/sys/class/thermal/thermal_zone0/temp", "52000\n")
    seen = tmp_path / "seen"
    slower = FIGURES.replace("median=4040", "median=4242")
    script = f'echo "$@" >> {seen}; if [ $(wc -l < {seen}) -lt 3 ]; then {printing(FIGURES)}'
    script += f"else {printing(slower)}fi"
    (found,) = measured(model, write_tool(tmp_path, script), "&num_runs=7", sustained_minutes=1.0)
    assert [line.split()[2:] for line in seen.read_text().splitlines()] == [
        ["--num_runs=7", "--min_secs=1"],
        *[["--num_runs=1", "--min_secs=30"]] * 2,
    ]
    assert found.sustained is not None and found.tool_ms is not None
    assert [window.p50_ms for window in found.sustained.windows] == [4.04, 4.242]
    assert [window.temperature_c for window in found.sustained.windows] == [52.0, 52.0]
    assert found.sustained.last_to_first == pytest.approx(1.05)
    assert found.tool_ms.p50 == 4.04


def test_phones_are_compared_and_ranked(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    connect()
    (before,) = measured(model, write_tool(tmp_path, printing(FIGURES)), rounds=5)
    assert before.tool_ms is not None and before.engine is not None
    after = replace(
        before,
        measured_at="2026-11-21T10:00:00+00:00",
        tool_ms=replace(before.tool_ms, p50=5.05, p95=5.3),
        rounds_ms=tuple(replace(one, p50=1.25 * one.p50) for one in before.rounds_ms),
    )
    found = compare_latency(before, after)
    assert found.finding.value == "worse"
    assert found.p50_ratio is not None and found.p50_ratio.value == pytest.approx(1.25)
    other_tool = replace(after, engine=replace(before.engine, version="another"))
    with pytest.raises(UsageError, match="not comparable: engine"):
        compare_latency(before, other_tool)
    assert figures(after) == "5.05 (p95 5.30)"
    write_json(tmp_path / file_name(after), after)
    (row,) = [line for line in markdown(read_board(tmp_path)).splitlines() if line.startswith("| net |")]
    assert "5.05 (p95 5.30)" in row and "Nobody Test 1, none" in row


def test_the_command_without_a_phone(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = str(write_tool(tmp_path, ""))
    with free_port(monkeypatch):
        for arguments, environment, code, said in (
            (["--backend", "adb"], {"EDGEKD_BENCHMARK_MODEL": ""}, 4, "edgekd: no benchmark tool for phones"),
            (["--backend", "adb"], {"EDGEKD_BENCHMARK_MODEL": tool}, 5, "edgekd: no phone is connected"),
            (["--backend", f"adb?tool={tool}"], {"PATH": str(tmp_path)}, 4, "edgekd: adb is not installed"),
        ):
            done = edgekd("bench", str(model), *arguments, **environment)
            assert done.exit_code == code, done.stderr
            assert said in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""


def test_the_command_with_a_phone(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    device = connect()
    device.write("/sys/devices/system/cpu/cpu0/online", "1\n")
    tool = write_tool(tmp_path, printing(FIGURES))
    done = edgekd(
        "bench",
        str(model),
        *("--backend", f"adb:{device.address}?tool={tool}", "--threads", "4", "--set", "rounds=1"),
        *("--out", str(tmp_path / "kept"), "--require-device"),
    )
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Nobody Test 1, none, 1 cores; benchmark_model ")
    assert f"adb:{device.address}" in lines[2] and "4.04 (p95 4.30)" in lines[2]
    (kept,) = (tmp_path / "kept").iterdir()
    assert read_bench(kept).tool_ms is not None
