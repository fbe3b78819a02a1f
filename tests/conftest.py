"""Shared by all tests: where the real images lie, how golden files are regenerated, a log as at first."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# No test fails for being slow on a busy machine. With CI set the examples are the same every time, so that a
# change is judged by what it changes; by hand they are new ones.
settings.register_profile("edgekd", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("edgekd")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real dermoscopy images; skips where it is absent."""
    folder = Path(os.environ.get("EDGEKD_SHARED", ROOT.parent / "shared"))
    if not (folder / "data" / "isic2017").is_dir():
        pytest.skip(f"no real images in {folder}: set EDGEKD_SHARED to the folder that holds data/isic2017")
    return folder


@pytest.fixture(scope="session")
def regenerate_golden() -> bool:
    """Whether golden files are to be written anew instead of compared (EDGEKD_REGENERATE_GOLDEN=1)."""
    return os.environ.get("EDGEKD_REGENERATE_GOLDEN") == "1"


@pytest.fixture(autouse=True)
def _log_as_at_first() -> Iterator[None]:
    """A command sets the log up for its own stream; the test after it hears as if there had been none."""
    yield
    log = logging.getLogger("edgekd")
    log.handlers, log.propagate = [], True
    log.setLevel(logging.NOTSET)
