"""Fixtures of the tests of phones: a private adb server, and devices connected to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adb_device import Device
from adb_tools import connecting, private_server
from edgekd_bench.adb_client import Adb, find_adb


@pytest.fixture(scope="module")
def private_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A port and a home for adb that no other program uses."""
    with private_server(tmp_path_factory.mktemp("home")):
        yield


@pytest.fixture(scope="module")
def adb(private_port: None) -> Adb:
    """The user's own server, running."""
    found = find_adb()
    assert found.call("start-server").status == 0
    return found


@pytest.fixture
def connect(adb: Adb, tmp_path: Path) -> Iterator[Callable[..., Device]]:
    """A function that makes a device and connects it."""
    with connecting(adb, tmp_path) as make:
        yield make
