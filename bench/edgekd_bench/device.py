"""What the machine is and how busy it is, as far as it tells."""

from __future__ import annotations

import platform
from pathlib import Path

from edgekd.data.parallel import available_cores
from edgekd.runtimes.base import isa
from edgekd_bench.round import Device

_CPUINFO = Path("/proc/cpuinfo")
_DEVICE_TREE = Path("/proc/device-tree/model")
_FREQUENCY = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_SENSORS = Path("/sys/class")
_LOAD = Path("/proc/loadavg")
_PRESSURE = Path("/proc/pressure/cpu")


def describe_device() -> Device:
    """This machine now: processor, instruction sets, usable cores, system, governor, clock, load, warmth."""
    return Device(
        cpu=_cpu_name(),
        isa=isa(),
        cores=available_cores(),
        os=_system(),
        governor=_read(_FREQUENCY / "scaling_governor"),
        frequency_mhz=frequency_mhz(),
        load_average_1min=_number(_read(_LOAD)),
        temperature_c=temperature_c(),
    )


def cpu_waiting_us() -> int | None:
    """Microseconds since boot in which some task of this machine waited for a processor; null if unknown.

    The `total` of Linux' pressure stall information (Documentation/accounting/psi.rst).
    """
    for word in (_read(_PRESSURE) or "").split("\n", maxsplit=1)[0].split():
        if word.startswith("total="):
            return int(word.removeprefix("total="))
    return None


def _cpu_name() -> str:
    board = _read(_DEVICE_TREE)
    if board:
        return board.rstrip("\0")
    return _cpuinfo("model name") or _cpuinfo("Hardware") or platform.processor() or "unknown"


def _cpuinfo(field: str) -> str | None:
    for line in (_read(_CPUINFO) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return None


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.system()
    return f"{name}, kernel {platform.release()}"


def frequency_mhz() -> float | None:
    """The clock of the first processor now, in MHz; None where the system does not tell."""
    khz = _number(_read(_FREQUENCY / "scaling_cur_freq"))
    return khz / 1000 if khz is not None else _number(_cpuinfo("cpu MHz"))


def temperature_c() -> float | None:
    """The warmest of the thermal zones and sensors, in °C; None where there is none to believe."""
    files = [*_SENSORS.glob("thermal/thermal_zone*/temp"), *_SENSORS.glob("hwmon/hwmon*/temp*_input")]
    degrees = [value / 1000 for file in files if (value := _number(_read(file))) is not None]
    return max((value for value in degrees if 0 < value < 150), default=None)


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").split()[0])
    except (ValueError, IndexError):
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
