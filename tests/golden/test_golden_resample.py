"""The committed vectors of `edgekd.resample/1`: what any other writing of it must reproduce."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.imaging.resample import prepare, resize
from edgekd.plain import write_json
from imaging_reference import PICTURES, coefficients

FILE = Path(__file__).parent / "resample" / "vectors.json"
SMALL = 600  # outputs up to this many bytes are written out in full, the others as sha256


class Case(NamedTuple):
    picture: str
    height: int
    width: int
    seed: int
    centre_square: bool
    px: int


# Odd and even remainders, up and down, one pixel, wide and tall.
CASES = [
    Case(*case)
    for case in [
        ("noise", 1, 1, 1, False, 3),
        ("noise", 2, 3, 2, False, 5),
        ("noise", 5, 7, 3, False, 3),
        ("noise", 13, 17, 4, False, 8),
        ("noise", 17, 13, 5, True, 8),
        ("noise", 9, 9, 6, False, 9),
        ("noise", 64, 3, 7, False, 14),
        ("ramp", 31, 40, 0, False, 12),
        ("ramp", 8, 8, 0, False, 13),
        ("ramp", 33, 20, 0, True, 7),
        ("board", 50, 41, 0, True, 11),
        ("board", 4, 250, 0, False, 10),
        ("noise", 96, 96, 8, False, 224),
        ("noise", 256, 256, 9, False, 224),
        ("noise", 450, 600, 10, True, 224),
        ("noise", 451, 600, 11, True, 96),
        ("noise", 767, 1022, 12, True, 192),
        ("ramp", 450, 600, 0, True, 224),
        ("board", 1024, 1365, 0, True, 224),
        ("noise", 2000, 3001, 13, True, 224),
    ]
]
LINES = [(450, 224, 0), (450, 224, 111), (224, 224, 5), (96, 224, 100), (17, 8, 7), (600, 3, 1)]


def _sha256(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def _vector(case: Case) -> dict[str, Any]:
    image = PICTURES[case.picture](case.height, case.width, case.seed)
    out = prepare(image, case.px) if case.centre_square else resize(image, case.px)
    vector = {**case._asdict(), "input_sha256": _sha256(image), "output_sha256": _sha256(out)}
    return vector | ({"output_hex": out.tobytes().hex()} if out.size <= SMALL else {})


def _line(size: int, px: int, i: int) -> dict[str, Any]:
    values = coefficients(size, px, i)
    first = next(j for j, k in enumerate(values) if k)
    last = max(j for j, k in enumerate(values) if k)
    return {"size": size, "px": px, "output": i, "first": first, "coefficients": values[first : last + 1]}


@pytest.fixture(scope="module")
def golden(regenerate_golden: bool) -> dict[str, Any]:
    if regenerate_golden:
        record = {
            "schema": "edgekd.resample/1",
            "about": "Bytes in the order row, column, channel. The rule: edgekd/imaging/resample.py.",
            "pictures": {name: make.__doc__ for name, make in PICTURES.items()},
            "vectors": [_vector(case) for case in CASES],
            "coefficients": [_line(*line) for line in LINES],
        }
        write_json(FILE, record)
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: "-".join(map(str, CASES[n])))
def test_vectors(golden: dict[str, Any], number: int) -> None:
    assert golden["vectors"][number] == _vector(CASES[number])


def test_no_vector_is_left_over(golden: dict[str, Any]) -> None:
    assert len(golden["vectors"]) == len(CASES)
    assert golden["coefficients"] == [_line(*line) for line in LINES]
