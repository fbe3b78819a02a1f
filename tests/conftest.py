"""Shared by all tests: where the real images lie, and how golden files are regenerated."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No test fails for being slow on a busy machine.
settings.register_profile("edgekd", deadline=None)
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
