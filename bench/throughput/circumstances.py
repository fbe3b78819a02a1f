"""What the scripts beside this file share: the machine, the memory of a process, one way to show a result."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgekd import console

SCHEMA = "edgekd.throughput/1"
_TOOLS = ("edgekd", "numpy", "opencv-python-headless", "tensorflow")


def record(what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with the machine and the versions they were measured on."""
    return {
        "schema": SCHEMA,
        "what": what,
        "device": {"cpu": _cpu(), "cores": os.cpu_count(), "os": platform.platform()},
        "load_average_1min": os.getloadavg()[0],
        "tools": {tool: _version(tool) for tool in _TOOLS},
        **values,
    }


def show(
    result: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[str]], *, as_json: bool
) -> None:
    """Write `result` as JSON, or as a table with its title."""
    if as_json:
        console.emit_json(result)
    else:
        console.emit_table(str(result["what"]), columns, rows)


def peak_rss_bytes() -> int:
    """The most memory this process has held so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _version(tool: str) -> str:
    try:
        return version(tool)
    except PackageNotFoundError:
        return "absent"
