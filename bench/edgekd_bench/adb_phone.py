"""`Phone`: one device behind adb: commands, files, and what it says about itself."""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import DeviceError, EdgekdError
from edgekd_bench.adb_client import TIMEOUT_S, Adb, Answer, trouble
from edgekd_bench.adb_output import last_line

FOLDER = "/data/local/tmp"
TRANSFER_TIMEOUT_S = 300.0
_STATUS = "edgekd-status:"
_PROPERTIES = {
    "manufacturer": "ro.product.manufacturer",
    "model": "ro.product.model",
    "android": "ro.build.version.release",
    "sdk": "ro.build.version.sdk",
    "abis": "ro.product.cpu.abilist",
    "abi": "ro.product.cpu.abi",
    "soc": "ro.soc.model",
    "board": "ro.board.platform",
    "hardware": "ro.hardware",
    "qemu": "ro.kernel.qemu",
    "boot_qemu": "ro.boot.qemu",
}
_EMULATED_HARDWARE = ("goldfish", "ranchu")
_EMULATOR_SERIAL = "emulator-"
_STATE_SCRIPT = (
    "for c in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do "
    'echo "governor=$(cat $c/scaling_governor 2>/dev/null)"; '
    'echo "khz=$(cat $c/scaling_cur_freq 2>/dev/null)"; done; '
    'for t in /sys/class/thermal/thermal_zone*; do echo "zone=$(cat $t/temp 2>/dev/null)"; done; '
    "dumpsys battery 2>/dev/null"
)
_MACHINES = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a", 243: "riscv64"}
_LOST = re.compile(
    r"device '[^']*' not found|device offline|device still|no devices/emulators|error: closed|"
    r"[Pp]rotocol fault|[Cc]onnection reset|[Tt]ransport|connect failed: closed|failed to read|EOF"
)
_FULL, _OFFLINE = "No space left", "offline"
_SOURCES = ("AC", "USB", "Wireless", "Dock")


@dataclass(frozen=True, kw_only=True)
class PhoneFacts:
    """What does not change: names as the phone gives them, `abis` best first; null where it does not say.

    `emulated`: it is Android's emulator, whose times are no device's.
    """

    serial: str
    manufacturer: str | None
    model: str | None
    android: str | None
    sdk: int | None
    abis: tuple[str, ...]
    soc: str | None
    cores: int | None = None
    emulated: bool = False


@dataclass(frozen=True, kw_only=True)
class PhoneState:
    """How the phone is now; null (or empty) where it does not tell.

    `frequency_mhz` has one entry per core; `temperature_c` is the warmest believable thermal zone;
    `on_power` says whether it is being charged.
    """

    governors: tuple[str, ...]
    frequency_mhz: tuple[float, ...]
    temperature_c: float | None
    battery_percent: int | None
    battery_temperature_c: float | None
    on_power: bool | None


@dataclass(frozen=True)
class Phone:
    """The device `serial`; whatever goes wrong with it is a `DeviceError` naming it."""

    adb: Adb
    serial: str

    def shell(self, command: str, *, doing: str, timeout_s: float = TIMEOUT_S) -> Answer:
        """Status and output (both streams) of the shell `command`, on new and old versions of Android.

        Raises:
            DeviceError: no answer within `timeout_s`, or the phone went away while `doing` it.
        """
        wrapped = f"( {command} ) 2>&1; s=$?; echo; echo {_STATUS}$s"
        answer = self._call("shell", "-n", wrapped, doing=doing, timeout_s=timeout_s)
        text, mark, status = answer.output.rpartition(_STATUS)
        if not mark or not status.strip().isdigit():
            raise self._lost(doing, answer.output)
        return Answer(int(status), text.rstrip("\n"))

    def push(self, local: Path, remote: str) -> None:
        """Copy the file `local` to `remote`.

        Raises:
            DeviceError: the phone is full or went away.
        """
        doing = f"{local.name} was copied to it"
        answer = self._call("push", str(local), remote, doing=doing, timeout_s=TRANSFER_TIMEOUT_S)
        if answer.status == 0:
            return
        if _FULL in answer.output:
            size = local.stat().st_size / 1e6
            raise DeviceError(f"{self.serial}: no room in {FOLDER} for {local.name} ({size:.1f} MB)")
        if _LOST.search(answer.output):
            raise self._lost(doing, answer.output)
        raise DeviceError(f"{self.serial}: {local.name} cannot be copied to it ({last_line(answer.output)})")

    def pull(self, remote: str, local: Path) -> None:
        """Copy the file `remote` to `local`.

        Raises:
            DeviceError: there is no such file, or the phone went away.
        """
        doing = "its results were copied"
        answer = self._call("pull", remote, str(local), doing=doing, timeout_s=TRANSFER_TIMEOUT_S)
        if answer.status != 0:
            raise self._lost(doing, answer.output)

    @contextmanager
    def folder(self) -> Iterator[str]:
        """A new folder on the phone, removed afterwards whatever happened.

        Raises:
            DeviceError: it cannot be made.
        """
        path = f"{FOLDER}/edgekd-{uuid.uuid4().hex[:12]}"
        made = self.shell(f"mkdir {path}", doing="a folder was made")
        if made.status != 0:
            raise DeviceError(f"{self.serial}: no folder can be made in {FOLDER} ({last_line(made.output)})")
        try:
            yield path
        finally:
            with suppress(EdgekdError):  # a phone that is gone cannot be cleaned, and the first error counts
                self.shell(
                    f"[ -f {path}/pid ] && kill -9 $(cat {path}/pid) 2>/dev/null; rm -rf {path}",
                    doing="it was cleaned up",
                )

    def facts(self) -> PhoneFacts:
        """Model, Android version, processor.

        Raises:
            DeviceError: the phone went away.
        """
        script = "; ".join(f'echo "{name}=$(getprop {key})"' for name, key in _PROPERTIES.items())
        script += '; echo "cores=$(ls -d /sys/devices/system/cpu/cpu[0-9]* 2>/dev/null | wc -l)"'
        found = dict(_pairs(self.shell(script, doing="it was asked for its model").output))
        abis = found.get("abis") or found.get("abi") or ""
        return PhoneFacts(
            serial=self.serial,
            manufacturer=found.get("manufacturer"),
            model=found.get("model"),
            android=found.get("android"),
            sdk=_whole(found.get("sdk")),
            abis=tuple(abi.strip() for abi in abis.split(",") if abi.strip()),
            soc=found.get("soc") or found.get("board") or found.get("hardware"),
            cores=_whole(found.get("cores")) or None,
            emulated=self.serial.startswith(_EMULATOR_SERIAL)
            or "1" in (found.get("qemu"), found.get("boot_qemu"))
            or found.get("hardware") in _EMULATED_HARDWARE,
        )

    def state(self) -> PhoneState:
        """Governors, clocks, temperature and battery, as far as it tells.

        Raises:
            DeviceError: the phone went away.
        """
        return parse_state(self.shell(_STATE_SCRIPT, doing="it was asked for its state").output)

    def _call(self, *arguments: str, doing: str, timeout_s: float) -> Answer:
        try:
            return self.adb.call("-s", self.serial, *arguments, timeout_s=timeout_s)
        except DeviceError as error:
            raise DeviceError(f"{self.serial} gave no answer in {timeout_s:g} s while {doing}") from error

    def _lost(self, doing: str, output: str) -> DeviceError:
        state = self.adb.devices().get(self.serial, _OFFLINE)
        if state != _OFFLINE and (reason := trouble(self.serial, state)):
            return DeviceError(f"{reason} (it happened while {doing})")
        return DeviceError(f"{self.serial} was disconnected while {doing} ({last_line(output)})")


def check_binary(path: Path, facts: PhoneFacts) -> None:
    """Nothing, when the phone can run the program `path`: a script, or an ELF file of one of its ABIs.

    Raises:
        DeviceError: it is for another processor, or no program.
    """
    with path.open("rb") as file:
        head = file.read(20)
    if head.startswith(b"#!"):
        return
    if not head.startswith(b"\x7fELF") or len(head) < 20:
        raise DeviceError(f"{path}: neither an Android program (ELF) nor a script")
    number = struct.unpack_from("<H", head, 18)[0]
    abi = _MACHINES.get(number, f"machine {number}")
    if facts.abis and abi not in facts.abis:
        raise DeviceError(
            f"{path} is built for {abi}, the phone {facts.serial} runs {', '.join(facts.abis)}: take the "
            f"build for {facts.abis[0]}"
        )


def parse_state(text: str) -> PhoneState:
    """The state in the answer to the phone's own files and `dumpsys battery`."""
    pairs = list(_pairs(text))
    battery = dict(line.strip().split(": ", maxsplit=1) for line in text.splitlines() if ": " in line)
    zones = [_degrees(value) for key, value in pairs if key == "zone"]
    tenths = _whole(battery.get("temperature"))
    powered = [battery[f"{source} powered"] for source in _SOURCES if f"{source} powered" in battery]
    return PhoneState(
        governors=tuple(sorted({value for key, value in pairs if key == "governor"})),
        frequency_mhz=tuple(khz / 1000 for key, value in pairs if key == "khz" and (khz := _whole(value))),
        temperature_c=max((zone for zone in zones if zone is not None), default=None),
        battery_percent=_whole(battery.get("level")),
        battery_temperature_c=None if tenths is None else tenths / 10,
        on_power="true" in powered if powered else None,
    )


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if value.strip():
            yield name.strip(), value.strip()


def _degrees(text: str) -> float | None:
    """A thermal zone in °C: kernels give thousandths, some give whole degrees; nonsense is dropped."""
    value = _whole(text)
    if value is None:
        return None
    degrees = value / 1000 if abs(value) >= 1000 else float(value)
    return degrees if 0 < degrees < 150 else None


def _whole(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
