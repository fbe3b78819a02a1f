"""Other people's clients, each in a folder of its own below the cache that edgekd's environments use.

A client that cannot be had here (no network, no such program) is a skip that says why. One that is had and
does not work is a failure.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from edgekd.errors import MissingError
from edgekd.runtimes import environments
from edgekd.runtimes.environments import ENVIRONMENTS, Recipe

TFLITE_RUNTIME = "tflite-runtime-2.14"
MEDIAPIPE = "mediapipe-1.2.2"
LITERT_JS = "2.5.3"
RECIPES = {
    **ENVIRONMENTS,
    # Not among edgekd's own: it reports its use home.
    MEDIAPIPE: Recipe(
        pythons=("3.11", "3.12", "3.13"),
        requirements=("mediapipe==1.2.2", "numpy==2.4.6", "opencv-contrib-python==5.0.0.93"),
        module="mediapipe.tasks.python",
        distribution="mediapipe",
    ),
}
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)

# What `environment` says when all is installed and the import fails: Python's own exception, or nothing at
# all after a crash. Where pip or uv gives up, an "error:" of theirs stands there.
_DOES_NOT_IMPORT = re.compile(r"cannot be made: (\w+Error\b|it said nothing)")


def client_python(name: str) -> Path:
    """The Python of the client `name`, one of `RECIPES`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environments, "ENVIRONMENTS", RECIPES)
        try:
            return environments.environment(name)
        except MissingError as error:
            if _DOES_NOT_IMPORT.search(str(error)):
                raise
            pytest.skip(str(error))


def litert_js() -> Path:
    """The node_modules that holds LiteRT.js."""
    folder = environments.cache_folder() / "environments" / f"litertjs-{LITERT_JS}"
    if not folder.is_dir():
        npm = program("npm", how="apt install npm")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as parent:
            made = Path(parent) / "made"
            _install(npm, made, f"@litertjs/core@{LITERT_JS}", f"@litertjs/wasm-utils@{LITERT_JS}")
            _rename(made, folder)
    return folder / "node_modules"


def browser() -> str:
    """A Chromium."""
    return program(*BROWSERS, how="apt install chromium")


def program(*names: str, how: str) -> str:
    """The path of the first program of `names` that is there; `how` to get one is part of the skip."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no program {' or '.join(names)} here: {how}")
    return found


def offline() -> tuple[str, ...]:
    """A prefix for a command that cuts it off from every network, where this system allows it."""
    prefix = ("unshare", "--map-root-user", "--net")
    if shutil.which("unshare") is None:
        return ()
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else ()


def _install(npm: str, folder: Path, *packages: str) -> None:
    folder.mkdir()
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-save", "--fetch-retries=1")
    done = subprocess.run(
        [npm, "install", *options, "--prefix", folder, *packages],
        capture_output=True,
        text=True,
        timeout=environments.INSTALL_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        errors = re.findall(r"^npm (?:error|ERR!) (?!A complete log)(.*)$", done.stderr, re.MULTILINE)
        said = "; ".join(errors) or f"status {done.returncode}"
        pytest.skip(f"npm cannot install {' '.join(packages)}, is there a network? It said: {said}")


def _rename(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():  # another process was faster
            raise
