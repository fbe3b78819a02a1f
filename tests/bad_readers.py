"""Readers of model files that do what no reader should; the processes of the fuzz command import them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from edgekd.errors import ModelError


def read(path: Path) -> object:
    return path


def refuse(path: Path) -> None:
    raise ModelError("no")


def refuse_at_length(path: Path) -> None:
    raise ModelError("no\nreally not")


def fail(path: Path) -> None:
    raise KeyError("bug")


def die(path: Path) -> None:
    os.abort()


def spin(path: Path) -> None:
    while True:
        time.process_time()


def swallow(path: Path) -> object:
    return bytearray(3 << 30)
