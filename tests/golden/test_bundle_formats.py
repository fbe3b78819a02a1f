"""The text of manifest.json and golden.json, which phones, pages and servers read."""

from __future__ import annotations

import json
from pathlib import Path

from edgekd.bundle.golden import Golden, GoldenItem
from edgekd.bundle.manifest import FileFacts, Manifest, Platform, Verdict, read_manifest, write_manifest
from edgekd.plain import from_plain, write_json
from edgekd.runtimes.base import Engine

FOLDER = Path(__file__).parent / "bundle"
FILES = ("LICENSE", "README.md", "card.json", "golden/00.png", "golden/00.rgb", "golden/golden.json")
MANIFEST = Manifest(
    platform=Platform.ANDROID,
    name="student-int8",
    precision="int8",
    model="model.tflite",
    verdict=Verdict.PASSED,
    tools={"ai-edge-litert": "2.3.0", "edgekd": "0.1.0"},
    files={
        name: FileFacts(sha256=f"{n:02x}" * 32, size_bytes=100 + n)
        for n, name in enumerate((*FILES, "model.tflite"))
    },
)
GOLDEN = Golden(
    input_px=4,
    engine=Engine(name="ai-edge-litert", version="2.3.0", kernels="xnnpack", threads=1, isa="x86_64 avx2"),
    patient=(128, 255, 0),
    items=(
        GoldenItem(
            image="golden/00.png",
            width=7,
            height=5,
            input="golden/00.rgb",
            input_sha256="ab" * 32,
            logits=(1.5, -0.25, 0.0625),
            score=0.9375,
            malignant=True,
            origin="drawn by edgekd",
        ),
    ),
)


def test_the_texts_are_those_on_record(tmp_path: Path, regenerate_golden: bool) -> None:
    write_manifest(tmp_path, MANIFEST)
    write_json(tmp_path / "golden.json", GOLDEN)
    for name in ("manifest.json", "golden.json"):
        made = (tmp_path / name).read_text()
        if regenerate_golden:
            (FOLDER / name).write_text(made)
        assert made == (FOLDER / name).read_text()


def test_the_files_on_record_read_back() -> None:
    assert read_manifest(FOLDER) == MANIFEST
    assert from_plain(Golden, json.loads((FOLDER / "golden.json").read_text())) == GOLDEN
