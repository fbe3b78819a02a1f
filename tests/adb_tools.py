"""What the tests of phones share: a private adb server, devices connected to it, and benchmark tools."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adb_device import Device
from edgekd_bench import adb_client
from edgekd_bench.adb_client import Adb

ADB = shutil.which("adb")
NO_ADB = "adb is not installed: apt install adb (a Debian package)"
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


def printing(text: str) -> str:
    """A script that prints `text`."""
    return f"cat <<'END'\n{text}END\n"


def write_tool(folder: Path, script: str, name: str = "benchmark_model") -> Path:
    """A 'benchmark tool' that is the shell `script`."""
    tool = folder / name
    tool.write_text(f"#!/bin/sh\n{script}\n")
    return tool


@contextmanager
def free_port(changed: pytest.MonkeyPatch) -> Iterator[None]:
    """No server runs on the port that adb takes now; one that was started there is ended."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    changed.setenv("ANDROID_ADB_SERVER_PORT", port)
    yield
    environment = {**os.environ, "ANDROID_ADB_SERVER_PORT": port}
    subprocess.run([str(ADB), "kill-server"], env=environment, capture_output=True, check=False)


@contextmanager
def private_server(home: Path) -> Iterator[None]:
    """A server port and a home of our own: neither the user's server nor the user's keys are touched."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("HOME", str(home))
        changed.delenv("ADB_SERVER_SOCKET", raising=False)
        changed.setattr(adb_client, "SETTLE_S", 0.0)
        with free_port(changed):
            yield


@contextmanager
def connecting(adb: Adb, folder: Path) -> Iterator[Callable[..., Device]]:
    """A function that makes a device and connects it; all of them are taken away again."""
    devices: list[Device] = []

    def make(**changes: Any) -> Device:
        given = {"properties": PROPERTIES, **changes}
        device = Device(folder / f"device{len(devices)}", **given)
        devices.append(device)
        adb.call("connect", device.address)
        return device

    yield make
    for device in devices:
        adb.call("disconnect", device.address)
        device.close()
