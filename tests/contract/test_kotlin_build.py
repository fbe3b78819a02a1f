"""Jars of the Kotlin build: what is fetched is what the lock names, once; nothing else is kept."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from conftest import ROOT

JAR = b"PK any bytes"


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The build script, with a repository and a cache in `tmp_path`; the repository holds one jar."""
    spec = importlib.util.spec_from_file_location("kotlin_build", ROOT / "android_demo" / "ci" / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "REPOSITORY", (tmp_path / "maven").as_uri())
    jar = tmp_path / "maven" / "org" / "some" / "thing" / "1.2" / "thing-1.2.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(JAR)
    return module


def lock(folder: Path, content: bytes = JAR, name: str = "thing") -> Path:
    path = folder / "maven.lock"
    path.write_text(f"# a comment\norg.some:{name}:1.2 {hashlib.sha256(content).hexdigest()}\n")
    return path


def kept(folder: Path) -> list[Path]:
    return [path for path in (folder / "cache").rglob("*") if path.is_file()]


def test_a_jar_is_fetched_once(build: ModuleType, tmp_path: Path) -> None:
    found = build.fetch(lock(tmp_path))["thing"]
    assert found.read_bytes() == JAR and kept(tmp_path) == [found]
    (tmp_path / "maven").rename(tmp_path / "gone")
    assert build.fetch(lock(tmp_path)) == {"thing": found}


def test_a_damaged_jar_is_fetched_again(build: ModuleType, tmp_path: Path) -> None:
    found = build.fetch(lock(tmp_path))["thing"]
    found.write_bytes(JAR[:-1])
    assert build.fetch(lock(tmp_path))["thing"].read_bytes() == JAR


def test_another_jar_than_the_locked_one_is_refused(build: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(build.BuildError, match=r"org\.some:thing:1\.2: sha256 .* expected"):
        build.fetch(lock(tmp_path, b"another"))
    assert kept(tmp_path) == []


def test_what_cannot_be_had_is_said(build: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(build.BuildError, match=r"absent-1\.2\.jar cannot be had .* not in the cache"):
        build.fetch(lock(tmp_path, name="absent"))
    assert kept(tmp_path) == []


def test_every_jar_of_the_build_is_locked(build: ModuleType) -> None:
    rows = [row for row in build.LOCK.read_text().splitlines() if not row.startswith("#")]
    assert all(re.fullmatch(r"[\w.]+:[\w.-]+:[\w.-]+ [0-9a-f]{64}", row) for row in rows)
    named = {row.split(":")[1] for row in rows}
    assert named == {*build.COMPILER, *build.RUNTIME, *build.TESTING}


def test_no_jdk_is_said(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "A.kt"
    source.write_text("class A\n")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "no"))
    jars = dict.fromkeys(build.COMPILER, tmp_path)
    with pytest.raises(build.BuildError, match="apt-get install openjdk-17-jdk-headless"):
        build.compiled(tmp_path / "out", "a", [tmp_path], (), [], jars)
