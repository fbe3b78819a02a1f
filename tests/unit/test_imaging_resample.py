"""Crop and resize: the definition's corners, and how near it is to Pillow's filter of the same shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekd.card import PIXEL_RULE
from edgekd.errors import UsageError
from edgekd.imaging import resample
from edgekd.imaging.decode import read_image
from edgekd.imaging.resample import MAX_SIDE, centre_square, prepare, resize
from imaging_reference import noise
from imaging_reference import resize as slow_resize
from tolerances import RESIZE_AGAINST_PILLOW, RESIZE_AGAINST_PILLOW_ON_PHOTOGRAPHS


def _pillow(image: NDArray[np.uint8], px: int) -> NDArray[np.int64]:
    return np.asarray(Image.fromarray(image).resize((px, px), Image.Resampling.BILINEAR)).astype(np.int64)


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((4, 9), (0, 4), (2, 6)),
        ((4, 8), (0, 4), (2, 6)),
        ((9, 4), (2, 6), (0, 4)),
        ((5, 5), (0, 5), (0, 5)),
        ((1, 2), (0, 1), (0, 1)),
    ],
)
def test_centre_square_leaves_the_odd_remainder_right_and_below(
    shape: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    image = noise(*shape, 1)
    np.testing.assert_array_equal(centre_square(image), image[slice(*rows), slice(*columns)])


def test_prepare_is_crop_then_resize() -> None:
    image = noise(61, 90, 2)
    np.testing.assert_array_equal(prepare(image, 24), slow_resize(image[:, 14:75], 24))


def test_rows_are_rounded_before_columns() -> None:
    # Rounding between the passes makes the order visible; the reference walks along the rows first.
    image = noise(7, 5, 3)
    turned = resize(image.swapaxes(0, 1), 4).swapaxes(0, 1)
    assert np.any(resize(image, 4) != turned)
    np.testing.assert_array_equal(resize(image, 4), slow_resize(image, 4))


def test_same_size_changes_nothing_and_shares_nothing() -> None:
    image = noise(50, 50, 4)
    out = resize(image, 50)
    np.testing.assert_array_equal(out, image)
    assert not np.shares_memory(out, image)


def test_halves_round_up() -> None:
    image = np.array([[[0, 1, 254], [1, 2, 255]]], np.uint8)
    np.testing.assert_array_equal(resize(image, 1), [[[1, 2, 255]]])


def test_hairs_are_averaged_and_not_missed() -> None:
    """A black line darkens 768 → 96 alike wherever it lies; without antialiasing it may be skipped."""
    levels = []
    for x in range(380, 388):
        image = np.full((8, 768, 3), 200, np.uint8)
        image[:, x] = 0
        levels.append(int(200 * 96 - resize(image, 96)[0, :, 0].astype(int).sum()))
    # The coefficients of one input over all outputs add up to 1/8 (away from the edges): 200 / 8 = 25 grey
    # levels are lost in all; each of the 2 or 3 outputs touched is off by at most ½ from rounding.
    assert all(23 <= level <= 27 for level in levels)


@pytest.mark.parametrize("shape", [(450, 600), (37, 61), (224, 224), (90, 31)])
@pytest.mark.parametrize("px", [9, 64, 224])
def test_is_pillow_bilinear(shape: tuple[int, int], px: int) -> None:
    image = noise(*shape, 5)
    difference = np.abs(resize(image, px) - _pillow(image, px))
    assert difference.max() <= RESIZE_AGAINST_PILLOW
    assert np.mean(difference > 1) < 1e-4


def test_accepts_views_and_read_only_pictures() -> None:
    image = noise(40, 60, 6)
    image.setflags(write=False)
    np.testing.assert_array_equal(
        resize(image[::2, 5:30][:, ::-1], 7), slow_resize(image[::2, 5:30][:, ::-1], 7)
    )


def test_the_largest_sides_stay_exact() -> None:
    """A constant picture survives only if the coefficients add up to one and float32 holds every sum."""
    wide = np.full((1, MAX_SIDE, 3), 255, np.uint8)
    assert np.all(resize(wide, 3) == 255)
    line = noise(1, MAX_SIDE, 7)
    np.testing.assert_array_equal(resize(line, 2), slow_resize(line, 2))


def test_fast_coefficients_add_up_for_every_size() -> None:
    for size, px in [(450, 224), (MAX_SIDE, 32), (32, MAX_SIDE), (997, 31)]:
        for start, stop, weights in resample._bands(size, px):
            assert weights.min() >= 0
            assert np.all(weights.astype(np.int64).sum(axis=1) == 1 << 16)
            assert weights.shape[1] == stop - start
            assert 0 <= start < stop <= size


@pytest.mark.parametrize(
    ("image", "px", "word"),
    [
        (np.zeros((4, 4), np.uint8), 2, "H, W, 3"),
        (np.zeros((4, 4, 4), np.uint8), 2, "H, W, 3"),
        (np.zeros((4, 4, 3), np.float32), 2, "float32"),
        (np.zeros((0, 4, 3), np.uint8), 2, "1 to 10000"),
        (np.zeros((4, 4, 3), np.uint8), 0, "1 to 10000"),
        (np.zeros((4, 4, 3), np.uint8), MAX_SIDE + 1, "1 to 10000"),
        (np.zeros((MAX_SIDE + 1, 1, 3), np.uint8), 2, "1 to 10000"),
    ],
)
def test_refuses_what_cannot_be_meant(image: NDArray[np.uint8], px: int, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        resize(image, px)


def test_the_card_names_this_rule() -> None:
    assert resample.__doc__ is not None
    assert "`edgekd.resample/1`" in resample.__doc__
    assert "edgekd.resample/1" in PIXEL_RULE


@pytest.mark.real
def test_real_photographs_are_within_one_grey_level_of_pillow(shared: Path) -> None:
    files = sorted((shared / "data").rglob("*.jpg"))[::400]
    assert files
    for file in files:
        image = read_image(file)
        for px in (96, 224):
            difference = np.abs(resize(image, px) - _pillow(image, px))
            assert difference.max() <= RESIZE_AGAINST_PILLOW_ON_PHOTOGRAPHS, file
