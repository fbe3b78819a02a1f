"""The committed vectors of `edgekd.quality/1`: what any other writing of it must reproduce to the bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import quality_reference
from edgekd.imaging.quality import measure
from edgekd.imaging.resample import resize
from edgekd.plain import write_json
from imaging_reference import PICTURES

FILE = Path(__file__).parent / "quality" / "vectors.json"
COLOURS = "".join(f"{(number * 7) % 16:x}" for number in range(256))  # of no meaning, every digit

# A picture of `edgekd.resample/1`'s vectors, resized by it: smooth, as it is, small, odd, large.
CASES = [
    ("noise", 8, 1, 32),
    ("noise", 33, 2, 33),
    ("noise", 12, 3, 47),
    ("noise", 64, 4, 96),
    ("noise", 224, 5, 224),
    ("noise", 20, 6, 224),
    ("ramp", 40, 0, 64),
    ("board", 50, 0, 65),
    ("board", 9, 0, 224),
]


def _vector(picture: str, side: int, seed: int, px: int) -> dict[str, Any]:
    pixels = resize(PICTURES[picture](side, side, seed), px)
    return {
        "picture": picture,
        "height": side,
        "width": side,
        "seed": seed,
        "px": px,
        "input_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "values": measure(pixels, COLOURS),
    }


@pytest.fixture(scope="module")
def golden(regenerate_golden: bool) -> dict[str, Any]:
    if regenerate_golden:
        record = {
            "schema": "edgekd.quality/1",
            "about": "Pictures as in ../resample/vectors.json, resized to px by edgekd.resample/1; values "
            "are float64 and read back exactly. The rule: edgekd/imaging/quality.py.",
            "colours": COLOURS,
            "vectors": [_vector(*case) for case in CASES],
        }
        FILE.parent.mkdir(exist_ok=True)
        write_json(FILE, record)
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: "-".join(map(str, CASES[n])))
def test_vectors(golden: dict[str, Any], number: int) -> None:
    assert golden["vectors"][number] == _vector(*CASES[number])


def test_no_vector_is_left_over(golden: dict[str, Any]) -> None:
    assert len(golden["vectors"]) == len(CASES)
    assert golden["colours"] == COLOURS


@pytest.mark.parametrize("number", [n for n, case in enumerate(CASES) if case[3] < 100])
def test_a_second_writing_gives_the_same_bits(golden: dict[str, Any], number: int) -> None:
    picture, side, seed, px = CASES[number]
    pixels = resize(PICTURES[picture](side, side, seed), px)
    assert golden["vectors"][number]["values"] == quality_reference.measure(pixels, COLOURS)
