"""Backend `arm64`: LiteRT for 64-bit ARM on an emulated processor: `python -m edgekd_bench.arm64` makes it.

It shows what ARM's kernels answer and which of them LiteRT chooses. It is no latency of anything, and no
record of it holds one. What it takes lies in the cache (`EDGEKD_CACHE`): qemu and CPython from Debian
packages, LiteRT and what the worker imports as wheels for aarch64, in the versions that are installed here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from edgekd import console
from edgekd.errors import EdgekdError, MissingError, storage_errors
from edgekd.runtimes.environments import cache_folder

PROCESSOR = "cortex-a76"
ACCELERATOR = f"cpu, emulated: qemu {PROCESSOR}"
_FOLDER, _QEMU, _PYTHON, _SITE = "arm64", "usr/bin/qemu-aarch64", "usr/bin/python3.11", "site"
_HOW_TO_GET = "no emulated ARM processor here: python -m edgekd_bench.arm64 makes one (Debian, 730 MB)"
_TIMEOUT_S = 1200.0
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SOURCES = """\
deb [arch=arm64 signed-by={keyring}] {archive} bookworm main
deb [arch={host} signed-by={keyring}] {archive} bookworm-backports main
"""
_ARM_PACKAGES = (
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libssl3", "libbz2-1.0"),
    *("liblzma5", "libuuid1", "libsqlite3-0", "python3.11-minimal", "libpython3.11-minimal"),
    "libpython3.11-stdlib",
)
_WHEELS = ("ai-edge-litert", "numpy", "scipy", "opencv-python-headless")
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64")
_OURS = ("edgekd", "edgekd_converters", "edgekd_bench")
_OLD_PLATFORM = "manylinux2014_aarch64"


def emulated_python() -> list[str]:
    """The command that starts CPython for ARM on the emulated processor.

    Raises:
        MissingError: it has not been made.
    """
    root = cache_folder() / _FOLDER
    if not (root / _SITE).is_dir():
        raise MissingError(_HOW_TO_GET)
    return [str(root / _QEMU), "-cpu", PROCESSOR, "-L", str(root), str(root / _PYTHON)]


def emulated_environment() -> dict[str, str]:
    """The variables for `emulated_python`: its packages, and edgekd's own."""
    found = [find_spec(name) for name in _OURS]
    ours = dict.fromkeys(str(Path(spec.origin).parent.parent) for spec in found if spec and spec.origin)
    path = os.pathsep.join([str(cache_folder() / _FOLDER / _SITE), *ours])
    return {**os.environ, "PYTHONPATH": path, "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def make() -> Path:
    """The folder of the emulated processor, made if it is not there; takes a minute.

    Raises:
        MissingError: apt-get is not here, or packages cannot be had.
        StorageError: the cache cannot be written.
    """
    root = cache_folder() / _FOLDER
    if (root / _SITE).is_dir():
        return root
    if shutil.which("apt-get") is None or not Path(_KEYRING).is_file():
        raise MissingError(f"apt-get or {_KEYRING} is not here: the emulated ARM processor is made on Debian")
    with storage_errors(root.parent), tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        root.parent.mkdir(parents=True, exist_ok=True)
        part = root.with_name(f".{_FOLDER}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        _unpack(Path(folder), part)
        _install(Path(folder), part / _SITE)
        part.rename(root)
    return root


def _unpack(work: Path, root: Path) -> None:
    host = _run(["dpkg", "--print-architecture"], work).strip()
    sources = _SOURCES.format(keyring=_KEYRING, host=host, archive=_archive(work))
    (work / "sources.list").write_text(sources, encoding="utf-8")
    for name in ("state/lists/partial", "cache/archives/partial", "packages"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    options = {
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": work / "state",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "APT::Architecture": host,
        "APT::Architectures::": "arm64",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    console.log.info("packages of Debian for arm64, and qemu")
    _run([*apt, "update"], work)
    wanted = [*(f"{name}:arm64" for name in _ARM_PACKAGES), f"qemu-user:{host}"]
    _run([*apt, "download", *wanted], work / "packages")
    for package in sorted((work / "packages").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(root)], work)


def _archive(work: Path) -> str:
    """Where this system gets Debian's packages from."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages", "Component: main"]
    found = [uri for uri in _run(asked, work).split() if uri.rstrip("/").endswith("/debian")]
    if not found:
        raise MissingError("this system has no archive of Debian among its package sources")
    return found[0]


def _install(work: Path, site: Path) -> None:
    console.log.info("wheels for aarch64")
    _run([sys.executable, "-m", "venv", str(work / "venv")], work)
    wanted = [f"{name}=={version(name)}" for name in _WHEELS]
    platforms = [f"--platform={name}" for name in (*_PLATFORMS, _OLD_PLATFORM)]
    pip = [str(work / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile"]
    kinds = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    _run([*pip, f"--target={site}", *platforms, *kinds, *wanted], work)


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
    )
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise MissingError(f"{command[0]} failed: {lines[-1] if lines else 'it said nothing'}")
    return done.stdout


def _main() -> int:
    console.configure()
    try:
        console.emit_text(str(make()))
    except EdgekdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main())
