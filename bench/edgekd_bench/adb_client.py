"""`Adb`: the Android debug bridge, asked without ever waiting for a person.

Any command of adb starts a server that stays. Where none is running one is started for the time of
`adb_server` and ended with it; a server of the user's is left alone.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgekd.console import log
from edgekd.errors import DeviceError, MissingError, UsageError

TIMEOUT_S = 30.0
SETTLE_S = 3.0
_DEFAULT_PORT = 5037
_PORT_VARIABLE, _SOCKET_VARIABLE = "ANDROID_ADB_SERVER_PORT", "ADB_SERVER_SOCKET"
_SDK_VARIABLES = ("ANDROID_HOME", "ANDROID_SDK_ROOT")
_READY = "device"
_TROUBLE = {
    "unauthorized": "is unauthorised: unlock the phone and allow USB debugging for this computer",
    "authorizing": "is unauthorised: unlock the phone and allow USB debugging for this computer",
    "offline": "is offline: plug it in again, or restart its USB debugging",
    "connecting": "is offline: plug it in again, or restart its USB debugging",
    "no permissions": "may not be opened: install the udev rules (android-sdk-platform-tools-common)",
}


@dataclass(frozen=True)
class Answer:
    """What a command of adb ended with; `output` is stdout and stderr."""

    status: int
    output: str


@dataclass(frozen=True)
class Adb:
    """The program `executable`; every call has a time limit and no terminal to ask."""

    executable: str

    def call(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> Answer:
        """The answer to `adb arguments…`.

        Raises:
            DeviceError: it did not end within `timeout_s`.
            MissingError: the program cannot be started.
        """
        try:
            done = subprocess.run(
                [self.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"adb {' '.join(arguments[:3])}: no answer in {timeout_s:g} s") from error
        except OSError as error:
            raise MissingError(f"{self.executable} cannot be started: {error.strerror}") from error
        return Answer(done.returncode, done.stdout.replace("\r\n", "\n"))

    def devices(self) -> dict[str, str]:
        """The state (`device`, `unauthorized`, `offline`, …) of every phone adb sees, by serial number.

        Raises:
            DeviceError: the server does not answer.
        """
        answer = self.call("devices")
        if answer.status != 0:
            raise DeviceError(f"adb devices: {_last(answer.output)}")
        rows = (line.split("\t", maxsplit=1) for line in answer.output.splitlines() if "\t" in line)
        return {serial.strip(): state.strip() for serial, state in rows}


def find_adb() -> Adb:
    """The adb on the PATH, or the one of the Android SDK that `ANDROID_HOME` names.

    Raises:
        MissingError: there is none.
    """
    sdks = [Path(root) / "platform-tools" for name in _SDK_VARIABLES if (root := os.environ.get(name))]
    for folder in (None, *sdks):
        found = shutil.which("adb", path=str(folder) if folder else None)
        if found:
            return Adb(found)
    raise MissingError(
        "adb is not installed: apt install adb (Debian, Ubuntu), or get the Android SDK platform tools and "
        "put adb on the PATH"
    )


@contextmanager
def adb_server(adb: Adb) -> Iterator[Adb]:
    """`adb` with a server running; one that had to be started is ended again.

    Raises:
        UsageError: `ANDROID_ADB_SERVER_PORT` is no port.
        MissingError: the server does not start.
    """
    if _running():
        yield adb
        return
    started = adb.call("start-server")
    if started.status != 0:
        raise MissingError(f"the adb server does not start: {_last(started.output)}")
    try:
        _settle(adb)
        yield adb
    finally:
        adb.call("kill-server")


def choose(devices: Mapping[str, str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The serial numbers to work on: those `wanted`, else of every phone that is ready.

    A phone that is not ready, beside one that is, is named in a warning.

    Raises:
        DeviceError: no phone, none is ready, or one of those `wanted` is absent or not ready.
    """
    if not devices:
        raise DeviceError(
            "no phone is connected: plug one in with USB debugging switched on, or adb connect HOST:PORT"
        )
    if wanted:
        return tuple(_check(serial, devices) for serial in wanted)
    reasons = {serial: trouble(serial, state) for serial, state in sorted(devices.items())}
    ready = tuple(serial for serial, reason in reasons.items() if reason is None)
    for reason in reasons.values():
        if reason and not ready:
            raise DeviceError(reason)
        if reason:
            log.warning("%s; the others are measured", reason)
    return ready


def trouble(serial: str, state: str) -> str | None:
    """What keeps a phone in this state from working, in one line; None when it is ready."""
    if state == _READY:
        return None
    for known, advice in _TROUBLE.items():
        if state.startswith(known):
            return f"{serial} {advice}"
    return f"{serial} is in state {state!r}, expected {_READY!r}: start Android on it"


def _check(serial: str, devices: Mapping[str, str]) -> str:
    if serial not in devices:
        raise DeviceError(f"no phone {serial} is connected; there is {', '.join(sorted(devices))}")
    reason = trouble(serial, devices[serial])
    if reason:
        raise DeviceError(reason)
    return serial


def _running() -> bool:
    """Whether a server listens; one that another variable names is somebody else's."""
    if os.environ.get(_SOCKET_VARIABLE):
        return True
    try:
        port = int(os.environ.get(_PORT_VARIABLE, _DEFAULT_PORT))
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{_PORT_VARIABLE}={os.environ[_PORT_VARIABLE]!r}: expected a port number"
        ) from error


def _settle(adb: Adb) -> None:
    """A server that has just started needs a moment to see what is plugged in."""
    until = time.monotonic() + SETTLE_S
    while not adb.devices() and time.monotonic() < until:
        time.sleep(0.1)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
