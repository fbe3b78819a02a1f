"""`adepu2023` is the naive sequence of OpenCV calls to the byte, whatever the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekd.config import HairRemoval
from edgekd.imaging.decode import read_image
from edgekd.imaging.hair import hair_mask, remove_hair
from edgekd.imaging.opencv import cv2
from hair_pictures import naive, skin, with_hairs


def _same(image: NDArray[np.uint8]) -> None:
    before = image.copy()
    expected = naive(image)
    np.testing.assert_array_equal(remove_hair(image, HairRemoval.ADEPU2023), expected)
    np.testing.assert_array_equal(image, before)
    changed = (expected != image).any(axis=2)
    assert not changed[hair_mask(image, HairRemoval.ADEPU2023) == 0].any()


@st.composite
def pictures(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Noise of any coarseness and contrast, dots and lines over it: masks from nothing to nearly all."""
    height, width = draw(st.integers(2, 150)), draw(st.integers(2, 150))
    rng = np.random.Generator(np.random.PCG64(draw(st.integers(0, 2**32))))
    coarse = draw(st.sampled_from([1, 2, 3, 5, 9, 20]))
    contrast = draw(st.sampled_from([4, 12, 30, 120, 256]))
    small = rng.integers(0, contrast, (-(-height // coarse), -(-width // coarse), 3), np.uint8)
    image = np.repeat(np.repeat(small, coarse, axis=0), coarse, axis=1)[:height, :width]
    if draw(st.booleans()):
        image = 255 - image
    image, _ = with_hairs(image, draw(st.integers(0, 99)), draw(st.integers(0, 20)))
    for _ in range(draw(st.integers(0, 12))):
        image[rng.integers(height), rng.integers(width)] = rng.integers(0, 256, 3)
    return np.ascontiguousarray(image)


@settings(max_examples=80)
@given(pictures())
def test_random_pictures(image: NDArray[np.uint8]) -> None:
    _same(image)


@pytest.mark.parametrize(
    ("height", "width"),
    [(2, 2), (2, 3), (3, 2), (3, 3), (2, 400), (400, 2), (16, 16), (17, 17), (18, 400)],
)
def test_sizes(height: int, width: int) -> None:
    rng = np.random.Generator(np.random.PCG64([height, width]))
    for low in (0, 128, 240):
        _same(rng.integers(low, 256, (height, width, 3), np.uint8))
    for level in (0, 255):
        _same(np.full((height, width, 3), level, np.uint8))


def test_crossing_lines_at_several_sizes() -> None:
    for seed in range(4):
        image, _ = with_hairs(skin(220, 300, seed, grain=4.0), seed, count=25)
        _same(image)
        _same(np.ascontiguousarray(image.transpose(1, 0, 2)))
        _same(cv2.resize(image, (90, 66), interpolation=cv2.INTER_AREA))


@pytest.mark.real
def test_real_pictures(shared: Path) -> None:
    paths = [
        path for kind in ("hairy", "control") for path in sorted((shared / "data/hair" / kind).glob("*"))
    ]
    if not paths:
        pytest.skip(f"no pictures with and without hairs in {shared}/data/hair")
    for path in paths[::3]:
        _same(read_image(path))
