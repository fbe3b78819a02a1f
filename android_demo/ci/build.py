"""Compiles core and its tests without Gradle: `python3 android_demo/ci/build.py` prints where the jars lie.

    {"core": core.jar, "tests": tests.jar, "kotlin": [...], "test_libraries": [...]}      (JSON)

The Kotlin compiler and all libraries come from Maven Central, in the versions and with the sha256 that
maven.lock names, into the cache (`EDGEKD_CACHE`, else ~/.cache/edgekd); after that no network is needed.
Sources that did not change are not compiled again. Nothing but Python's standard library and a JDK is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE / "maven.lock"
CORE = HERE.parent / "core" / "src"
REPOSITORY = "https://repo1.maven.org/maven2"
COMPILER = (
    *("kotlin-compiler-embeddable", "kotlin-stdlib", "kotlin-script-runtime", "kotlin-reflect"),
    *("kotlin-daemon-embeddable", "annotations", "kotlinx-coroutines-core-jvm"),
)
RUNTIME, TESTING = ("kotlin-stdlib",), ("junit", "hamcrest-core", "jna")

# C2 never pays off in ten seconds, and a second collector thread only takes the other core away.
_JVM = ("-Xmx900m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_ALWAYS = ("-no-stdlib", "-no-reflect", "-Werror", "-jvm-target", "1.8")
# What old dexers take: Java 8's classes and methods only, and no invokedynamic.
CORE_FLAGS = ("-Xexplicit-api=strict", "-Xjdk-release=1.8", "-Xlambdas=class", "-Xsam-conversions=class")
_TIMEOUT_S, _ATTEMPTS = 120.0, 3
_JDK = "a JDK 17 or newer is needed: apt-get install openjdk-17-jdk-headless"


class BuildError(Exception):
    """What is missing or does not compile; the message is for the person at the terminal."""


def main() -> int:
    """Compile what changed and print the jars."""
    try:
        jars, out = fetch(), cache() / "android"
        core = compiled(out, "core", [CORE / "main"], CORE_FLAGS, [], jars)
        tests = [CORE / "test", HERE / "jvm"]
        libraries = [core, *(jars[name] for name in TESTING)]
        built = compiled(out, "tests", tests, (f"-Xfriend-paths={core}",), libraries, jars)
    except (BuildError, OSError) as error:
        sys.stderr.write(f"android_demo/ci: {error}\n")
        return 4
    found = {
        "core": str(core),
        "tests": str(built),
        "kotlin": [str(jars[name]) for name in RUNTIME],
        "test_libraries": [str(jars[name]) for name in TESTING],
    }
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0


def cache() -> Path:
    """Where downloads and jars lie, as everything edgekd keeps."""
    named = os.environ.get("EDGEKD_CACHE")
    below = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "edgekd"
    return Path(named or below).expanduser()


def fetch(lock: Path = LOCK) -> dict[str, Path]:
    """The jars that `lock` names, by artifact; what is not in the cache is downloaded.

    Raises:
        BuildError: a jar cannot be had, or its sha256 is another.
    """
    rows = [line.split() for line in lock.read_text("utf-8").splitlines() if not line.startswith("#")]
    return {coordinates.split(":")[1]: _jar(coordinates, sha256) for coordinates, sha256 in rows}


def _jar(coordinates: str, sha256: str) -> Path:
    group, artifact, version = coordinates.split(":")
    name = f"{artifact}-{version}.jar"
    target = cache() / "maven" / group / name
    if not target.is_file() or _digest(target) != sha256:
        download(f"{REPOSITORY}/{group.replace('.', '/')}/{artifact}/{version}/{name}", target)
    if (found := _digest(target)) != sha256:
        target.unlink()
        raise BuildError(f"{coordinates}: sha256 {found}, expected {sha256}")
    return target


def download(url: str, target: Path) -> None:
    """Write what `url` answers to `target`, whole or not at all; asked a few times.

    Raises:
        BuildError: it cannot be reached.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, _ATTEMPTS + 1):
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as part:
            try:
                with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - always https
                    shutil.copyfileobj(answer, part)
                Path(part.name).replace(target)
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                Path(part.name).unlink()
                if attempt == _ATTEMPTS:
                    raise BuildError(f"{url} cannot be had ({error}), and it is not in the cache") from error
            else:
                return


def compiled(  # noqa: PLR0917
    out: Path,
    name: str,
    sources: Sequence[Path],
    flags: Iterable[str],
    libraries: Sequence[Path],
    jars: dict[str, Path],
) -> Path:
    """The jar of the Kotlin `sources`, from the cache where they and what they are compiled with are known.

    Raises:
        BuildError: there is no JDK, or they do not compile; what the compiler said went to stderr.
    """
    files = sorted(file for folder in sources for file in folder.rglob("*.kt"))
    flags = (*_ALWAYS, *flags, "-module-name", f"edgekd_{name}")
    jar = out / f"{name}-{_key(files, flags, libraries)}.jar"
    if jar.is_file():
        return jar
    out.mkdir(parents=True, exist_ok=True)
    class_path = _joined([jars["kotlin-stdlib"], *libraries])
    compiler = [java(), *_JVM, "-cp", _joined(jars[one] for one in COMPILER)]
    main_class = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
    with tempfile.TemporaryDirectory(dir=out, prefix=".") as folder:
        part = Path(folder) / jar.name
        arguments = [*flags, "-cp", class_path, "-d", str(part), *map(str, files)]
        if subprocess.run([*compiler, main_class, *arguments], check=False).returncode != 0:
            raise BuildError(f"{name} does not compile")
        part.replace(jar)
    return jar


def _key(files: Iterable[Path], flags: Iterable[str], libraries: Iterable[Path]) -> str:
    """Names and bytes of the sources, and everything they are compiled with: jars are named by content."""
    known = [LOCK.read_bytes(), "\n".join([*flags, *map(str, libraries)]).encode()]
    known += [part for file in files for part in (str(file).encode(), file.read_bytes())]
    return hashlib.sha256(b"\0".join(known)).hexdigest()[:16]


def java() -> str:
    """The java of JAVA_HOME, else the one on PATH.

    Raises:
        BuildError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if found is None or not Path(found).is_file():
        raise BuildError(_JDK)
    return found


def _joined(paths: Iterable[Path]) -> str:
    return os.pathsep.join(map(str, paths))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
