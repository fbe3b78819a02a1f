"""`environment`: the Python of another runtime, in a virtual environment of its own, made on first use.

Old runtimes want an old CPython and numpy 1, and two TensorFlow Lite libraries do not live in one process.
Each gets a folder below the cache (`EDGEKD_CACHE`, else ~/.cache/edgekd) and is talked to by subprocess.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgekd.console import log
from edgekd.errors import MissingError, UnknownNameError, storage_errors
from edgekd.plain import digest, write_json

CACHE_VARIABLE = "EDGEKD_CACHE"
INSTALL_TIMEOUT_S = 1800.0
_ASK_TIMEOUT_S = 60.0
_RECORD = "environment.json"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an environment holds.

    `pythons` are the CPython versions that will do, best first; `requirements` what pip installs, pinned
    (none: the environment this process runs in); `module` the module with the class `Interpreter`;
    `distribution` the package whose version counts.
    """

    pythons: tuple[str, ...]
    requirements: tuple[str, ...]
    module: str
    distribution: str


ENVIRONMENTS: Mapping[str, Recipe] = {
    "tflite-2.9": Recipe(
        pythons=("3.9",),
        requirements=("tflite-runtime==2.9.1", "numpy==1.26.4"),
        module="tflite_runtime.interpreter",
        distribution="tflite-runtime",
    ),
    "tflite-runtime-2.14": Recipe(
        pythons=("3.11", "3.10"),
        requirements=("tflite-runtime==2.14.0", "numpy==1.26.4"),
        module="tflite_runtime.interpreter",
        distribution="tflite-runtime",
    ),
    "tflite-2.16": Recipe(
        pythons=("3.11", "3.10", "3.12"),
        requirements=("tensorflow-cpu==2.16.1", "numpy==1.26.4"),
        module="tensorflow.lite.python.interpreter",
        distribution="tensorflow-cpu",
    ),
    "litert-1.0": Recipe(
        pythons=("3.11", "3.10"),
        requirements=("ai-edge-litert==1.0.1", "numpy==1.26.4"),
        module="ai_edge_litert.interpreter",
        distribution="ai-edge-litert",
    ),
    "litert-1": Recipe(
        pythons=("3.11", "3.12", "3.10"),
        requirements=("ai-edge-litert==1.4.0", "numpy==1.26.4"),
        module="ai_edge_litert.interpreter",
        distribution="ai-edge-litert",
    ),
    "litert-2.0": Recipe(
        pythons=("3.11", "3.12", "3.13"),
        requirements=("ai-edge-litert==2.0.2", "numpy==1.26.4"),
        module="ai_edge_litert.interpreter",
        distribution="ai-edge-litert",
    ),
    "litert-2": Recipe(
        pythons=(),
        requirements=(),
        module="ai_edge_litert.interpreter",
        distribution="ai-edge-litert",
    ),
}
"""tflite-2.9 and tflite-2.16 are TensorFlow Lite as on Maven Central, in the form of Python wheels;
litert-1.0 and litert-2.0 are the oldest of their generation, litert-1 the newest, litert-2 what runs here."""


def environment(name: str) -> Path:
    """The path of the Python that has the runtime `name`; its environment is made when there is none yet.

    A second process that asks meanwhile waits; a killed one leaves nothing that looks finished.

    Raises:
        UnknownNameError: no environment has this name.
        MissingError: a fitting CPython is not found, or the packages cannot be had.
        StorageError: the cache folder cannot be written.
    """
    recipe = recipe_of(name)
    if not recipe.requirements:
        return Path(sys.executable)
    folder = _folder(name, recipe)
    if is_made(name):
        return _python(folder)
    with storage_errors(folder.parent):
        _make_folder(folder.parent)
        with _locked(folder.with_name(f".{folder.name}.lock")):
            if not is_made(name):
                _make(name, recipe, folder)
    return _python(folder)


def is_made(name: str) -> bool:
    """Whether the environment `name` is there already, so that `environment` answers at once.

    Raises:
        UnknownNameError: no environment has this name.
    """
    recipe = recipe_of(name)
    folder = _folder(name, recipe)
    return not recipe.requirements or ((folder / _RECORD).is_file() and _python(folder).exists())


def recipe_of(name: str) -> Recipe:
    """The recipe of the environment `name`.

    Raises:
        UnknownNameError: no environment has this name.
    """
    if name not in ENVIRONMENTS:
        raise UnknownNameError("environment", name, ENVIRONMENTS)
    return ENVIRONMENTS[name]


def cache_folder() -> Path:
    """Where environments lie: `EDGEKD_CACHE`, else edgekd below `XDG_CACHE_HOME` or ~/.cache."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "edgekd"


def _folder(name: str, recipe: Recipe) -> Path:
    return cache_folder() / "environments" / f"{name}-{digest(recipe)[:8]}"


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise MissingError(
            f"{folder} cannot be made, a file is in its way: set {CACHE_VARIABLE} to another folder"
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the system lets go of it when the process dies
        yield


def _make(name: str, recipe: Recipe, folder: Path) -> None:
    base = find_python(recipe.pythons, name)
    log.info("making the environment %s with %s (once; %s)", name, base, folder)
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as parent:
        work = Path(parent) / "environment"
        _install(name, recipe, base, work)
        write_json(work / _RECORD, {"name": name, "recipe": recipe, "base": str(base)})
        work.rename(folder)


def _install(name: str, recipe: Recipe, base: Path, folder: Path) -> None:
    uv = shutil.which("uv")
    if uv:
        _run(name, recipe, [uv, "venv", "--quiet", "--python", str(base), str(folder)])
        pip = [uv, "pip", "install", "--quiet", "--python", str(_python(folder))]
    else:
        _run(name, recipe, [str(base), "-m", "venv", str(folder)])
        pip = [str(_python(folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run(name, recipe, [*pip, "--only-binary", ":all:", *recipe.requirements])
    _run(name, recipe, [str(_python(folder)), "-c", f"import {recipe.module}"])


def _run(name: str, recipe: Recipe, command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=INSTALL_TIMEOUT_S, check=False
        )
        said, failed = done.stderr or done.stdout, done.returncode != 0
    except subprocess.TimeoutExpired:
        said, failed = f"not done after {INSTALL_TIMEOUT_S:.0f} s", True
    if failed:
        raise MissingError(
            f"the environment {name} cannot be made: {_last_line(said)}; it needs "
            f"{', '.join(recipe.requirements)} from PyPI, once: connect to the network, or copy a finished "
            f"{cache_folder()} from a machine like this one ({CACHE_VARIABLE} names another folder)"
        )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it said nothing"])[-1]


def find_python(versions: tuple[str, ...], purpose: str) -> Path:
    """A CPython of one of `versions` ("3.11"), the first that is found.

    Looked for: this one, pythonX.Y on the PATH, below pyenv's and uv's folders.

    Raises:
        MissingError: there is none; `purpose` is named.
    """
    for version in versions:
        for candidate in _candidates(version):
            if _answers(candidate, version):
                return candidate
    raise MissingError(
        f"{purpose} needs CPython {' or '.join(versions)} and none was found: install one (apt install "
        f"python{versions[0]}-venv, pyenv install {versions[0]}, or uv python install {versions[0]}) so that "
        f"python{versions[0]} is on the PATH"
    )


def _candidates(version: str) -> Iterator[Path]:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield Path(getattr(sys, "_base_executable", sys.executable))
    found = shutil.which(f"python{version}")
    if found:
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", "~/.local/share/uv/python")).expanduser()
    yield from sorted(uv.glob(f"cpython-{version}.*/bin/python3"), reverse=True)


def _answers(python: Path, version: str) -> bool:
    """Whether `python` starts, has `venv` and is CPython `version`; a shim of pyenv may not start."""
    code = "import platform, venv; print(platform.python_implementation(), platform.python_version())"
    try:
        done = subprocess.run(
            [python, "-I", "-c", code], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.stdout.startswith(f"CPython {version}.")
