"""The backend `adb`: the real adb program and server, against no device and against tests/adb_device.py."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from adb_device import TEMPORARY, Device
from adb_tools import ADB, FIGURES, NO_ADB, free_port, printing, write_tool
from edgekd.errors import DeviceError, MissingError, ModelError, UsageError
from edgekd_bench.adb import PhoneRecord, PhoneRequest, measure_phones, parse_adb
from edgekd_bench.adb_client import Adb, adb_server, choose, find_adb, trouble
from edgekd_bench.adb_phone import PhoneFacts, check_binary
from edgekd_bench.backend_adb import on_phones
from edgekd_bench.round import Status

pytestmark = [
    pytest.mark.skipif(ADB is None, reason=NO_ADB),
    pytest.mark.usefixtures("private_port"),
]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "some.tflite"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def request(tmp_path: Path, script: str, serials: tuple[str, ...] = (), **flags: str) -> PhoneRequest:
    return PhoneRequest(serials=serials, tool=write_tool(tmp_path, script), flags=flags)


def server_runs() -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(os.environ["ANDROID_ADB_SERVER_PORT"]))).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("modern", [True, False], ids=["with exit codes", "without exit codes"])
def test_a_measurement(connect: Callable[..., Device], model: Path, tmp_path: Path, modern: bool) -> None:
    device = connect(modern=modern)
    device.write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil\n")
    device.write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1800000\n")
    device.write("/dumpsys/battery", "  USB powered: true\n  level: 87\n  temperature: 301\n")
    seen = tmp_path / "seen"
    script = f'echo "$@" > {seen}; wc -c < model.tflite >> {seen}; {printing(FIGURES)}'
    asked = request(tmp_path, script, num_runs="60", use_xnnpack="true")
    (found,) = measure_phones(model, 4, asked)
    assert (found.status, found.reason) == (Status.OK, None)
    assert seen.read_text().split() == [
        "--graph=model.tflite",
        "--num_threads=4",
        "--num_runs=60",
        "--use_xnnpack=true",
        str(model.stat().st_size),
    ]
    assert found.report is not None
    assert (found.report.runs.count, found.report.runs.median_ms) == (60, 4.04)
    assert found.facts == PhoneFacts(
        serial=device.address,
        manufacturer="Nobody",
        model="Test 1",
        android="14",
        sdk=34,
        abis=("arm64-v8a", "armeabi-v7a"),
        soc="none",
        cores=1,
    )
    assert found.before is not None
    assert (found.before.governors, found.before.frequency_mhz) == (("schedutil",), (1800.0,))
    assert (found.before.battery_percent, found.before.on_power) == (87, True)
    assert found.actual_accelerator == "cpu"
    assert list(device.temporary.iterdir()) == []


def test_two_phones_at_once(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    serials = tuple(connect().address for _ in range(2))
    # Each tool ends only when the other has begun: one after the other would take until the time limit.
    script = (
        f"touch {tmp_path}/began-$$; until [ $(ls {tmp_path}/began-* | wc -l) = 2 ]; do sleep 0.02; done; "
        f"{printing(FIGURES)}"
    )
    for chosen in (serials, ()):
        found = measure_phones(model, 1, request(tmp_path, script, chosen), timeout_s=30)
        assert {record.serial for record in found} == set(serials)
        assert [record.reason for record in found] == [None, None]
        for mark in tmp_path.glob("began-*"):
            mark.unlink()


def test_one_phone_fails_and_the_other_goes_on(
    connect: Callable[..., Device], model: Path, tmp_path: Path
) -> None:
    good, full = connect(), connect(full=True)
    asked = request(tmp_path, printing(FIGURES), (good.address, full.address))
    first, second = measure_phones(model, 1, asked)
    assert first.status is Status.OK
    assert (second.status, second.report) == (Status.UNAVAILABLE, None)
    assert second.reason == f"{full.address}: no room in {TEMPORARY} for benchmark_model (0.0 MB)"
    assert second.facts is not None and second.facts.model == "Test 1"


FAILURES = {
    "crash": ("echo loading; kill -SEGV $$", r"crashed on .* \(SIGSEGV\); its last line: 'loading'"),
    "no figures": ("echo hello", "gave no figures; its last line: 'hello'"),
    "status": ("echo 'ERROR: no model'; exit 1", "ended with status 1 on .*: 'ERROR: no model'"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_tool_that_fails(connect: Callable[..., Device], model: Path, tmp_path: Path, name: str) -> None:
    script, message = FAILURES[name]
    device = connect()
    (found,) = measure_phones(model, 1, request(tmp_path, script))
    assert found.status is Status.FAILED
    check_reason(found, message)
    assert list(device.temporary.iterdir()) == []


def check_reason(found: PhoneRecord, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        raise DeviceError(found.reason)


def test_a_tool_that_hangs_is_ended_on_the_phone(
    connect: Callable[..., Device], model: Path, tmp_path: Path
) -> None:
    device, pid = connect(), tmp_path / "pid"
    (found,) = measure_phones(model, 1, request(tmp_path, f"echo $$ > {pid}; exec sleep 600"), timeout_s=1)
    assert found.status is Status.FAILED
    assert found.reason == f"{device.address} gave no answer in 1 s while benchmark_model ran"
    assert list(device.temporary.iterdir()) == []
    state = Path("/proc") / pid.read_text().strip() / "stat"
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_cable_pulled_out_halfway(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    device = connect(cut_at="exec ./tool")
    (found,) = measure_phones(model, 1, request(tmp_path, printing(FIGURES)))
    assert found.status is Status.FAILED
    assert found.reason is not None
    assert found.reason.startswith(f"{device.address} was disconnected while benchmark_model ran")


def test_a_tool_for_another_processor(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    device = connect()
    asked = request(tmp_path, "")
    asked.tool.write_bytes(elf(62))
    (found,) = measure_phones(model, 1, asked)
    assert found.status is Status.UNAVAILABLE
    check_reason(
        found, "built for x86_64, the phone .* runs arm64-v8a, armeabi-v7a: take the build for arm64"
    )
    assert list(device.temporary.iterdir()) == []


def test_a_tool_that_cannot_be_started(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    connect()
    asked = request(tmp_path, "")
    asked.tool.write_text("#!/no/such/interpreter\n")
    (found,) = measure_phones(model, 1, asked)
    check_reason(found, "cannot run benchmark_model .*: take a build for this Android")


def elf(machine: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine) + bytes(40)


def test_which_programs_a_phone_runs(tmp_path: Path) -> None:
    phone = PhoneFacts(
        serial="A", manufacturer=None, model=None, android=None, sdk=None, abis=("arm64-v8a",), soc=None
    )
    tool = tmp_path / "tool"
    tool.write_bytes(elf(183))
    check_binary(tool, phone)
    tool.write_bytes(elf(40))
    with pytest.raises(DeviceError, match="built for armeabi-v7a"):
        check_binary(tool, phone)
    tool.write_bytes(b"MZ" + bytes(40))
    with pytest.raises(DeviceError, match="neither an Android program"):
        check_binary(tool, phone)


def test_no_phone_and_no_server_left_behind(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with free_port(monkeypatch):
        with pytest.raises(DeviceError, match="^no phone is connected: plug one in") as caught:
            measure_phones(model, 1, request(tmp_path, ""))
        assert caught.value.exit_code == 5
        assert not server_runs()


def test_a_server_of_the_users_is_left_running(adb: Adb, model: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceError):
        measure_phones(model, 1, request(tmp_path, ""))
    assert server_runs()


def test_without_a_serial_number_every_phone_is_meant(connect: Callable[..., Device], tmp_path: Path) -> None:
    serials = sorted(connect().address for _ in range(2))
    tool = write_tool(tmp_path, "")
    backends = on_phones(f"adb?tool={tool}&use_gpu=true")
    assert backends == tuple(f"adb:{serial}?tool={tool}&use_gpu=true" for serial in serials)
    assert on_phones(f"adb:{serials[1]}?tool={tool}") == (f"adb:{serials[1]}?tool={tool}",)
    with pytest.raises(DeviceError, match="no phone nobody is connected; there is 127"):
        on_phones(f"adb:nobody?tool={tool}")


def test_an_unauthorised_phone(
    connect: Callable[..., Device], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device, tool = connect(mode="unauthorized"), write_tool(tmp_path, "")
    for asked in ("adb", f"adb:{device.address}"):
        with pytest.raises(DeviceError, match=f"^{device.address} is unauthorised: unlock the phone"):
            on_phones(f"{asked}?tool={tool}")
    ready = connect()
    assert on_phones(f"adb?tool={tool}") == (f"adb:{ready.address}?tool={tool}",)
    assert f"{device.address} is unauthorised" in caplog.text and "the others are measured" in caplog.text


def test_an_offline_phone(connect: Callable[..., Device], adb: Adb, model: Path, tmp_path: Path) -> None:
    device = connect()
    device.cut()  # adb goes on listing what it cannot reach
    assert adb.devices() in ({device.address: "offline"}, {device.address: "device"})
    with pytest.raises(DeviceError, match=f"^{device.address} is offline: plug it in again"):
        for _ in range(100):
            choose(adb.devices(), ())


def test_other_states() -> None:
    assert trouble("A", "device") is None
    assert "udev" in str(trouble("A", "no permissions (user in plugdev group); see [http://developer]"))
    assert trouble("A", "recovery") == "A is in state 'recovery', expected 'device': start Android on it"


def test_no_adb(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    asked = request(tmp_path, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="adb is not installed: apt install adb") as caught:
        measure_phones(model, 1, asked)
    assert caught.value.exit_code == 4


def test_the_sdk_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "platform-tools"
    tools.mkdir()
    (tools / "adb").write_text("#!/bin/sh\n")
    (tools / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    assert find_adb() == Adb(str(tools / "adb"))


def test_a_bad_port(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed:
        changed.setenv("ANDROID_ADB_SERVER_PORT", "many")
        with pytest.raises(UsageError, match="ANDROID_ADB_SERVER_PORT='many': expected a port number"):
            measure_phones(model, 1, request(tmp_path, ""))


def test_an_adb_that_does_not_answer(tmp_path: Path) -> None:
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    with pytest.raises(DeviceError, match="adb devices: no answer in 0.2 s"):
        Adb(str(program)).call("devices", timeout_s=0.2)
    with pytest.raises(MissingError, match="cannot be started: No such file"):
        Adb(str(tmp_path / "none")).call("devices")


def test_a_server_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh\necho broken; exit 1\n")
    program.chmod(0o755)
    with (
        free_port(monkeypatch),
        pytest.raises(MissingError, match="the adb server does not start: broken"),
        adb_server(Adb(str(program))),
    ):
        pass


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        measure_phones(tmp_path / "none.tflite", 1, request(tmp_path, ""))


def test_requests_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a,b").mkdir()
    tool = write_tool(tmp_path / "a,b", "")
    written = str(tool).replace(",", "%2C")
    found = parse_adb(f"adb:127.0.0.1:5555,R5CT?tool={written}&use_gpu=true&num_runs=200")
    assert found == PhoneRequest(
        serials=("127.0.0.1:5555", "R5CT"), tool=tool, flags={"use_gpu": "true", "num_runs": "200"}
    )
    assert found.on("R5CT") == f"adb:R5CT?tool={written}&use_gpu=true&num_runs=200"
    assert found.accelerator == "gpu"
    monkeypatch.setenv("EDGEKD_BENCHMARK_MODEL", str(tool))
    assert parse_adb("adb") == PhoneRequest(serials=(), tool=tool, flags={})
    assert parse_adb("adb?use_gpu=false").accelerator == "cpu"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            "adb",
            MissingError,
            "name benchmark_model for Android with adb.tool=PATH or in EDGEKD_BENCHMARK_MODEL",
        ),
        ("adb?tool=/no/such", MissingError, "/no/such: no such benchmark tool; name benchmark_model"),
        ("adb?tool", UsageError, r"expected options as \?tool=PATH"),
        ("adb?tool=x&num_threads=4", UsageError, "num_threads=4 cannot be handed"),
        ("adb?tool=x&input=$(reboot)", UsageError, "cannot be handed to the tool"),
        ("adb?tool=x&a%20b=1", UsageError, "cannot be handed to the tool"),
    ],
)
def test_bad_requests(
    text: str, error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEKD_BENCHMARK_MODEL", raising=False)
    with pytest.raises(error, match=message):
        parse_adb(text)
