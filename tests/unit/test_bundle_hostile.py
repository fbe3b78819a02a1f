"""Bundles made to hurt: a clear line each, never a crash, a hang or a byte outside the folder."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bundle_data
from bundle_data import copy, edit_json, relist
from edgekd.bundle import strict
from edgekd.bundle.check import problems
from edgekd.bundle.engine import ask
from edgekd.bundle.manifest import Manifest, Platform, Verdict, write_manifest
from edgekd.bundle.strict import MAX_FILES, check_name, list_files
from edgekd.errors import ContractError, ModelError

FACTS = {"sha256": "0" * 64, "size_bytes": 1}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return copy(tmp_path)


def told(bundle: Path) -> str:
    """The problems, which are clear lines."""
    lines = problems(bundle)
    assert lines
    assert all(line.isascii() and line.isprintable() and len(line) < 500 for line in lines), lines
    return "\n".join(lines)


def manifest(bundle: Path) -> dict[str, Any]:
    return dict(json.loads((bundle / "manifest.json").read_text()))


def golden(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change golden.json, and let the manifest vouch for it."""
    path = bundle / "golden" / "golden.json"
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))
    relist(bundle)


OUTSIDE = (
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "//x",
    "a//b",
    "a/",
    "./a",
    ".",
    "",
    "a/.",
    "a\\b",
    "C:x",
)
ODD = ("a\0b", "a\nb", "a b", "a.", "-rf", "~/x", "é", "a\u202eb", "x" * 241, "/".join("a" * 20), "CON:")


def test_names_that_leave_the_folder_or_mean_two_things(bundle: Path) -> None:
    plain = manifest(bundle)
    for name in (*OUTSIDE, *ODD):
        with pytest.raises(ValueError, match="no name of a file in a bundle"):
            check_name(name)
        files = plain["files"] | {name: FACTS}
        (bundle / "manifest.json").write_text(json.dumps(plain | {"files": files}))
        assert "no name of a file in a bundle" in told(bundle)


@pytest.mark.parametrize(
    "name", ["LICENSE", "golden/00.png", ".well-known/x", "a+b@2.x-y_z", "Data/com.apple.CoreML"]
)
def test_names_that_are_fine(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["license", "golden", "card.json/x", "manifest.json", "model.sig", "Golden/00.png"]
)
def test_names_that_clash_on_some_system(bundle: Path, name: str) -> None:
    plain = manifest(bundle)
    plain["files"][name] = FACTS
    (bundle / "manifest.json").write_text(json.dumps(plain))
    assert told(bundle).startswith("manifest.json: ")


def test_a_manifest_with_a_million_entries(bundle: Path) -> None:
    many = b',"f":{"sha256":"%064d","size_bytes":1}' % 0 * 999_999
    (bundle / "manifest.json").write_bytes(b'{"files":{"e":1' + many + b"}}")
    assert told(bundle) == "manifest.json: larger than 4 MiB"


def test_a_manifest_with_more_entries_than_a_bundle_has(bundle: Path) -> None:
    plain = manifest(bundle)
    plain["files"] |= {f"f{n}": FACTS for n in range(MAX_FILES)}
    (bundle / "manifest.json").write_text(json.dumps(plain))
    assert f"at most {MAX_FILES} are read" in told(bundle)


def test_sizes_that_cannot_be(bundle: Path) -> None:
    for size in (-1, 10**30, 3 << 30, True, 1.5, "1", None):
        plain = manifest(bundle_data.made())
        plain["files"]["LICENSE"]["size_bytes"] = size
        (bundle / "manifest.json").write_text(json.dumps(plain))
        assert told(bundle).startswith("manifest.json: ")


NO_JSON = (
    "",
    "null",
    "[]",
    "1",
    '"x"',
    "{}",
    "{",
    "[" * 200_000,
    '{"a":' * 200_000,
    "\xff",
    '{"schema": NaN}',
)
NO_JSON += ('{"schema": 1e999}', f'{{"schema": {"9" * 5000}}}', '{"schema": "edgekd.bundle/2"}')
NO_JSON += ("{" + " " * (5 << 20), '{"schema": "x", "schema": "y"}')


@pytest.mark.parametrize("name", ["manifest.json", "card.json", "golden/golden.json"])
def test_anything_else_in_place_of_json(bundle: Path, name: str) -> None:
    for text in NO_JSON:
        (bundle / name).write_bytes(text.encode("latin-1"))
        if name != "manifest.json":
            relist(bundle)
        assert told(bundle).startswith(f"{name}: ")


def test_manifest_fields_that_are_something_else(bundle: Path) -> None:
    plain = manifest(bundle)
    for field in ("schema", "platform", "model", "card", "golden", "files", "verdict", "tools"):
        for value in (None, 5, "x" * 100_000, "../card.json", [], {"a": 1}):
            (bundle / "manifest.json").write_text(json.dumps(plain | {field: value}))
            assert told(bundle).startswith("manifest.json: ")


def test_a_huge_file_is_not_read(bundle: Path) -> None:
    os.truncate(bundle / "LICENSE", 3 << 30)  # sparse, it takes no room
    assert "bytes in all, at most" in told(bundle)


def test_a_folder_of_more_files_than_a_bundle_has(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict, "MAX_FILES", 50)  # 4096 files take seconds to make
    for n in range(60):
        (bundle / f"{n}").touch()
    assert told(bundle) == "more than 50 files: no bundle of edgekd"


def test_a_folder_that_goes_down_for_ever(bundle: Path) -> None:
    deep = bundle
    for _ in range(40):
        deep = deep / "d"
        deep.mkdir()
    (deep / "x").touch()
    assert "no name of a file in a bundle" in told(bundle)


def test_names_on_disk_that_no_terminal_should_see(tmp_path: Path) -> None:
    for name in (b"\x1b[2Jx", b"\xff\xfe", b"a\nb"):
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).touch()
    sizes, wrong = list_files(tmp_path)
    assert not sizes
    assert len(wrong) == 3
    assert all(line.isascii() and line.isprintable() for line in wrong)


@pytest.mark.parametrize("data", [b"TFL3" * 1000, None])
def test_something_that_is_no_model(bundle: Path, data: bytes | None) -> None:
    path = bundle / "model.tflite"
    path.write_bytes(path.read_bytes()[:300] if data is None else data)
    relist(bundle)
    assert told(bundle).startswith("model.tflite: ")


@pytest.mark.parametrize(
    "model",
    [{"px": 32}, {"dtype": "float32"}],
)
def test_a_model_of_another_shape(bundle: Path, model: dict[str, Any]) -> None:
    bundle_data.write_model(bundle, **model)
    relist(bundle)
    assert told(bundle).startswith("model.tflite: ")


def test_a_model_that_answers_nan(bundle: Path) -> None:
    bundle_data.write_model(bundle, scale=float("nan"))
    relist(bundle)
    assert "model.tflite: " in told(bundle)


def test_an_engine_that_crashes_or_hangs_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.zeros((1, 16, 16, 3), np.uint8)
    for name, does in (("crash", 'kill -SEGV "$$"'), ("hang", "exec sleep 60")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(program))
        with pytest.raises(ModelError, match="SIGSEGV|did not answer 1 pictures in 0 s"):
            ask(bundle_data.made() / "model.tflite", images, timeout_s=0.3)


def test_golden_files_that_say_something_else(bundle: Path) -> None:
    for change in (
        lambda plain: plain["items"].clear(),
        lambda plain: plain.update(items=plain["items"][:1] * 1001),
        lambda plain: plain.update(input_px=17),
        lambda plain: plain.update(patient=[1, 2]),
        lambda plain: plain["items"][0].update(image="../../etc/passwd"),
        lambda plain: plain["items"][0].update(input="golden/00.png"),
        lambda plain: plain["items"][0].update(logits=[1.0]),
        lambda plain: plain["items"][0].update(logits=[1e300, 0.0, 0.0]),
        lambda plain: plain["items"][0].update(width=100_000, height=100_000),
        lambda plain: plain.update(schema="edgekd.golden/2"),
    ):
        before = (bundle / "golden" / "golden.json").read_bytes()
        golden(bundle, change)
        assert told(bundle).startswith("golden/golden.json: ")
        (bundle / "golden" / "golden.json").write_bytes(before)


def test_an_input_of_another_length_or_digest(bundle: Path) -> None:
    golden(bundle, lambda plain: plain["items"][0].update(input_sha256="0" * 64))
    assert "golden/00.rgb: not the bytes" in told(bundle)
    (bundle / "golden" / "00.rgb").write_bytes(b"x" * 10)
    relist(bundle)
    assert "golden/00.rgb is not [16, 16, 3] bytes" in told(bundle)


def _bomb(side: int) -> bytes:
    """A PNG that says it is `side` × `side` and holds next to nothing."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("data", "side"), [(_bomb(14_000), 14_000), (_bomb(5), 5), (b"\xff\xd8\xff", 5), (b"", 5)]
)
def test_pictures_that_are_none(bundle: Path, data: bytes, side: int) -> None:
    (bundle / "golden" / "00.png").write_bytes(data)
    golden(bundle, lambda plain: plain["items"][0].update(width=side, height=side))
    assert told(bundle).startswith("golden/00.png: ")


@pytest.mark.parametrize(
    "change",
    [
        {"hair_removal": "laser", "pixel_rule": "laser"},
        {"operating_point": None},
        {"input_px": 0},
        {"input_px": -5},
        {"input_px": 1_000_000_000},
        {"malignant": ["mel", "nv", "bkl"]},
        {"labels": ["mel"], "malignant": ["mel"]},
        {"temperature": "hot"},
        {"patient": {"columns": []}},
    ],
)
def test_cards_that_cannot_be(bundle: Path, change: dict[str, Any]) -> None:
    edit_json(bundle / "card.json", **change)
    relist(bundle)
    assert told(bundle)


def test_a_manifest_object_refuses_what_a_file_would(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="which it names"):
        write_manifest(
            tmp_path,
            Manifest(
                platform=Platform.ANDROID,
                name="x",
                precision="int8",
                model="model.tflite",
                verdict=Verdict.PASSED,
                tools={},
                files={},
            ),
        )
