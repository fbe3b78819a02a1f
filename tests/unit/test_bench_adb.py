"""The backend `adb`: the real adb program and server, against no device and against tests/adb_device.py."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adb_device import TEMPORARY, Device
from edgekd.errors import DeviceError, MissingError, ModelError, UsageError
from edgekd.plain import from_plain, to_plain
from edgekd_bench import adb_client
from edgekd_bench.adb import (
    PhoneRecord,
    PhoneRequest,
    measure_phones,
    parse_adb,
    require_device,
)
from edgekd_bench.adb_client import Adb, adb_server, choose, find_adb, trouble
from edgekd_bench.adb_phone import PhoneFacts, check_binary
from edgekd_bench.round import Status

PROPERTIES = {
    "ro.product.manufacturer": "Nobody",
    "ro.product.model": "Test 1",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a",
    "ro.board.platform": "none",
}
FIGURES = """\
count=4 first=5000 curr=4000 min=3900 max=5000 avg=4200 std=400
count=60 first=4100 curr=4000 min=3900 max=4400 avg=4050 std=90 p5=3950 median=4040 p95=4300
Inference timings in us: Init: 20000, First inference: 5000, Warmup (avg): 4200, Inference (avg): 4050
"""
ADB = shutil.which("adb")
pytestmark = pytest.mark.skipif(
    ADB is None, reason="adb is not installed: apt install adb (a Debian package)"
)


@pytest.fixture(scope="module", autouse=True)
def private_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A server port and a home of our own: neither the user's server nor the user's keys are touched."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        changed.delenv("ADB_SERVER_SOCKET", raising=False)
        changed.setattr(adb_client, "SETTLE_S", 0.0)
        with free_port(changed):
            yield


@contextmanager
def free_port(changed: pytest.MonkeyPatch) -> Iterator[None]:
    """No server runs on the port that adb takes now; one that was started there is ended."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    changed.setenv("ANDROID_ADB_SERVER_PORT", port)
    yield
    environment = {**os.environ, "ANDROID_ADB_SERVER_PORT": port}
    subprocess.run([str(ADB), "kill-server"], env=environment, capture_output=True, check=False)


@pytest.fixture(scope="module")
def adb() -> Adb:
    """The user's own server, running."""
    found = find_adb()
    assert found.call("start-server").status == 0
    return found


@pytest.fixture
def connect(adb: Adb, tmp_path: Path) -> Iterator[Callable[..., Device]]:
    devices: list[Device] = []

    def make(**changes: Any) -> Device:
        device = Device(tmp_path / f"device{len(devices)}", properties=PROPERTIES, **changes)
        devices.append(device)
        adb.call("connect", device.address)
        return device

    yield make
    for device in devices:
        adb.call("disconnect", device.address)
        device.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "some.tflite"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def request(tmp_path: Path, script: str, serials: tuple[str, ...] = (), **flags: str) -> PhoneRequest:
    """A 'benchmark tool' that is the shell `script`."""
    tool = tmp_path / "benchmark_model"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    return PhoneRequest(serials=serials, tool=tool, flags=flags)


def printing(text: str) -> str:
    return f"cat <<'END'\n{text}END\n"


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
    (found,) = measure_phones(model, 4, asked, keep=tmp_path / "kept")
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
    )
    assert found.before is not None
    assert (found.before.governors, found.before.frequency_mhz) == (("schedutil",), (1800.0,))
    assert (found.before.battery_percent, found.before.on_power) == (87, True)
    assert (found.requested_accelerator, found.actual_accelerator, found.noise) == ("cpu", "cpu", ())
    assert [path.read_text() for path in (tmp_path / "kept").iterdir()] == [FIGURES]
    assert list(device.temporary.iterdir()) == []
    assert from_plain(PhoneRecord, to_plain(found)) == found


def test_two_phones_at_once(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    serials = tuple(connect().address for _ in range(2))
    # Each tool ends only when the other has begun: one after the other would take until the time limit.
    script = (
        f"touch {tmp_path}/began-$$; until [ $(ls {tmp_path}/began-* | wc -l) = 2 ]; do sleep 0.02; done; "
        f"{printing(FIGURES)}"
    )
    for chosen in (serials, ("all",)):
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
    with pytest.raises(DeviceError):
        require_device([found])


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
    with pytest.raises(MissingError, match="no such benchmark tool"):
        check_binary(tmp_path / "absent", phone)


def test_a_required_gpu_that_did_half(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    device = connect()
    replaced = (
        "Replacing 54 out of 65 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions\n"
    )
    found = measure_phones(model, 1, request(tmp_path, printing(replaced + FIGURES), use_gpu="true"))
    assert (found[0].requested_accelerator, found[0].actual_accelerator) == ("gpu", "gpu")
    with pytest.raises(DeviceError, match=f"^{device.address}: gpu took 54 of 65 nodes$"):
        require_device(found)


def test_litert_does_not_wait_for_the_gpu(
    connect: Callable[..., Device], model: Path, tmp_path: Path
) -> None:
    connect()
    asked = request(tmp_path, printing(FIGURES), use_gpu="true")
    tool = asked.tool.rename(tmp_path / "benchmark_litert_model")
    (found,) = measure_phones(model, 1, PhoneRequest(serials=(), tool=tool, flags=asked.flags))
    assert any("does not wait for the GPU" in reason for reason in found.noise)


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


def test_two_phones_and_none_chosen(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    serials = sorted(connect().address for _ in range(2))
    with pytest.raises(
        DeviceError, match=f"^2 phones are connected \\({serials[0]}, {serials[1]}\\): choose"
    ):
        measure_phones(model, 1, request(tmp_path, ""))
    with pytest.raises(DeviceError, match="no phone nobody is connected; there is 127"):
        measure_phones(model, 1, request(tmp_path, "", ("nobody",)))


def test_an_unauthorised_phone(connect: Callable[..., Device], model: Path, tmp_path: Path) -> None:
    device = connect(mode="unauthorized")
    for serials in ((), (device.address,), ("all",)):
        with pytest.raises(DeviceError, match=f"^{device.address} is unauthorised: unlock the phone"):
            measure_phones(model, 1, request(tmp_path, "", serials))


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


def test_requests_are_parsed() -> None:
    found = parse_adb("adb:127.0.0.1:5555,R5CT?tool=/opt/benchmark_model&use_gpu=true&num_runs=200")
    assert found == PhoneRequest(
        serials=("127.0.0.1:5555", "R5CT"),
        tool=Path("/opt/benchmark_model"),
        flags={"use_gpu": "true", "num_runs": "200"},
    )
    assert found.accelerator == "gpu"
    assert parse_adb("adb?tool=x").serials == ()
    assert parse_adb("adb?tool=x&use_gpu=false").accelerator == "cpu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adb", "no benchmark tool, expected"),
        ("adb?tool", r"expected options as \?tool=PATH"),
        ("adb?tool=x&num_threads=4", "num_threads=4 cannot be handed"),
        ("adb?tool=x&input=$(reboot)", "cannot be handed to the tool"),
        ("adb?tool=x&a%20b=1", "cannot be handed to the tool"),
    ],
)
def test_bad_requests(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_adb(text)
