"""`check`: what an APK of the app must be, each point by a tool that did not build it."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import apk_build
from apk_build import run, tool

ALIGNMENT = 16384
_BUNDLE = "assets/bundle/"
_LOCAL_HEADER = 30


def check(apk: Path, work: Path) -> tuple[list[str], list[str]]:
    """What was found to be right, and what was not."""
    found: list[str] = []
    wrong: list[str] = []
    for right, line in (
        *_badging(apk),
        *_signature(apk),
        *_content(apk),
        *_code(apk, work),
        *_bundle(apk, work),
    ):
        (found if right else wrong).append(line)
    return found, wrong


def _badging(apk: Path) -> Iterator[tuple[bool, str]]:
    said = run(tool("aapt2"), "dump", "badging", apk)
    versions = apk_build.catalogue()
    yield f"name='{apk_build.APPLICATION_ID}'" in said, f"application {apk_build.APPLICATION_ID}"
    yield f"sdkVersion:'{versions['minSdk']}'" in said, f"runs on SDK {versions['minSdk']} and later"
    yield f"targetSdkVersion:'{versions['targetSdk']}'" in said, f"made for SDK {versions['targetSdk']}"
    yield f"launchable-activity: name='{apk_build.PACKAGE}.MainActivity'" in said, "starts with MainActivity"
    yield "uses-permission" not in said, "asks for no permission"
    yield "application-debuggable" not in said, "cannot be debugged"


def _signature(apk: Path) -> Iterator[tuple[bool, str]]:
    least = apk_build.catalogue()["minSdk"]
    said = run(tool("apksigner"), "verify", "--verbose", "--min-sdk-version", least, apk)
    for scheme in ("v2", "v3"):
        yield bool(re.search(rf"{scheme} scheme.*: true", said)), f"signed, scheme {scheme}"
    altered = apk.with_name("altered.apk")
    bytes_ = bytearray(apk.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    altered.write_bytes(bytes_)
    again = subprocess.run([tool("apksigner"), "verify", str(altered)], capture_output=True, check=False)
    yield again.returncode != 0, "one altered bit breaks the signature"


def _content(apk: Path) -> Iterator[tuple[bool, str]]:
    with zipfile.ZipFile(apk) as archive:
        manifest = json.loads(archive.read(f"{_BUNDLE}manifest.json"))
        model = archive.getinfo(_BUNDLE + manifest["model"])
        native = [name for name in archive.namelist() if name.endswith(".so")]
        start = _data_start(apk, model)
        inside = hashlib.sha256(archive.read(model)).hexdigest()
    yield model.compress_type == zipfile.ZIP_STORED, f"{manifest['model']} is not compressed"
    yield start % ALIGNMENT == 0, f"{manifest['model']} is aligned to {ALIGNMENT} bytes"
    listed = manifest["files"][manifest["model"]]["sha256"]
    yield inside == listed, f"sha256 of {manifest['model']} is the manifest's ({inside[:16]}…)"
    yield any("arm64-v8a" in name for name in native), f"an engine for {len(native)} kinds of processors"
    size = apk.stat().st_size
    yield size < 64 << 20, f"{size / 1e6:.1f} MB"


def _data_start(apk: Path, entry: zipfile.ZipInfo) -> int:
    """Where the bytes of an entry begin in the file."""
    with apk.open("rb") as file:
        file.seek(entry.header_offset)
        name, extra = struct.unpack_from("<HH", file.read(_LOCAL_HEADER), 26)
    return entry.header_offset + _LOCAL_HEADER + int(name) + int(extra)


def _code(apk: Path, work: Path) -> Iterator[tuple[bool, str]]:
    dex = work / "dumped.dex"
    with zipfile.ZipFile(apk) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dex")]
        dex.write_bytes(archive.read("classes.dex"))
    said = run(tool("dexdump"), "-d", dex)
    yield names == ["classes.dex"], f"one file of code, {dex.stat().st_size / 1000:.0f} kB"
    yield "invoke-custom" not in said, "no invoke-custom, which Android 7 does not know"
    for name in ("MainActivity", "CardActivity", "BenchActivity", "SharedFiles", "ScoreView"):
        yield f"'L{apk_build.PACKAGE.replace('.', '/')}/{name};'" in said, f"{name} is inside"


def _bundle(apk: Path, work: Path) -> Iterator[tuple[bool, str]]:
    """The bundle as it lies in the APK, by the command that everybody has."""
    folder = work / "unpacked"
    with zipfile.ZipFile(apk) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(_BUNDLE)])
    program = Path(sys.executable).with_name("edgekd")
    command = [str(program), "verify-bundle", str(folder / "assets" / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = (done.stdout + done.stderr).strip().splitlines()[-1:]
    yield done.returncode == 0, f"edgekd verify-bundle: {''.join(last)}"
