"""Pictures without rim, ink, ruler and tint: what is drawn is found, and clean skin is left alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.imaging.strip import grey_world, ink_mask, ruler_mask, strip_border, strip_ink, strip_ruler

ALL = (strip_border, strip_ink, strip_ruler, grey_world)


def skin(seed: int = 0, height: int = 180, width: int = 240) -> np.ndarray:
    """A brown lesion with soft edges on uneven skin."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1.3 : 1.3 : width * 1j]
    lesion = 1 / (1 + np.exp(14 * (np.hypot(x, 1.2 * y) - 0.5)))
    colour = np.array([205, 160, 140]) - lesion[..., None] * np.array([110, 105, 95])
    grain = cv2.GaussianBlur(random.normal(0, 12, (height, width, 1)), (0, 0), 2)[..., None]
    return np.clip(colour * (1 - 0.05 * x[..., None]) + grain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clean_skin_is_left_alone(seed: int) -> None:
    image = skin(seed)
    for change in (strip_border, strip_ink, strip_ruler):
        assert change(image) is image, change.__name__


def test_a_round_lens_and_a_frame_are_cut_away() -> None:
    image = skin()
    y, x = np.mgrid[-1:1:180j, -1.3:1.3:240j]
    lens = np.where(np.hypot(x, y)[..., None] < 1.25, image, 4).astype(np.uint8)
    cut = strip_border(lens)
    assert cut.shape[0] < 180
    corners = [cut[:6, :6], cut[:6, -6:], cut[-6:, :6], cut[-6:, -6:]]
    assert min(part.mean() for part in corners) > 100
    framed = cv2.copyMakeBorder(image, 18, 18, 24, 24, cv2.BORDER_CONSTANT)
    inner = strip_border(framed)
    assert inner[:2].mean() > 100
    assert inner.shape[0] <= 180


@pytest.mark.parametrize("ink", [(70, 60, 190), (40, 150, 90), (110, 60, 200)])
def test_ink_is_found_and_painted_over(ink: tuple[int, int, int]) -> None:
    image = skin()
    marked = image.copy()
    drawn = np.zeros(image.shape[:2], np.uint8)
    cv2.line(drawn, (10, 20), (40, 150), 255, 6)
    marked[drawn > 0] = ink
    mask = ink_mask(marked) > 0
    assert mask[drawn > 0].mean() > 0.95
    assert mask[:, 80:].sum() == 0
    before = np.abs(marked[drawn > 0].astype(float) - image[drawn > 0]).mean()
    after = np.abs(strip_ink(marked)[drawn > 0].astype(float) - image[drawn > 0]).mean()
    assert after < 0.25 * before


def test_blue_light_over_everything_is_no_ink() -> None:
    blue = np.clip(skin().astype(float) * (0.6, 0.8, 1.5), 0, 255).astype(np.uint8)
    assert not ink_mask(blue).any()


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_the_ticks_of_a_ruler_are_found_on_every_side(turns: int) -> None:
    image = np.ascontiguousarray(np.rot90(skin(), turns))
    height, width = image.shape[:2]
    ruled = np.ascontiguousarray(np.rot90(image, turns))
    places = np.arange(12, ruled.shape[1] - 8, 16)
    drawn = np.zeros(ruled.shape[:2], np.uint8)
    for number, place in enumerate(places.tolist()):
        cv2.line(drawn, (place, 4), (place, 22 if number % 5 == 0 else 14), 255, 2)
    ruled[drawn > 0] = 25
    picture, truth = (np.ascontiguousarray(np.rot90(one, -turns)) for one in (ruled, drawn))
    assert picture.shape[:2] == (height, width)
    mask = ruler_mask(picture) > 0
    assert mask[truth > 0].mean() > 0.9
    away = cv2.dilate(truth, np.ones((15, 15), np.uint8)) == 0
    assert mask[away].mean() < 0.005
    assert strip_ruler(picture)[truth > 0].mean() > 80


def test_hairs_in_every_direction_are_no_ruler() -> None:
    image, random = skin(), np.random.default_rng(3)
    for _ in range(12):
        ends = random.integers(0, 180, 4).tolist()
        cv2.line(image, tuple(ends[:2]), tuple(ends[2:]), (30, 25, 20), 2)
    assert not ruler_mask(image).any()


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(0.5, 1.0)] * 3))
def test_a_tint_of_the_light_goes(tint: tuple[float, float, float]) -> None:
    """Channels that were scaled give one picture, but for the rounding to 8 bits before."""
    image = skin().astype(np.float64)
    plain = grey_world(image.astype(np.uint8)).astype(float)
    tinted = grey_world((image * tint).astype(np.uint8)).astype(float)
    ratio = tinted.mean() / plain.mean()
    assert np.abs(tinted / ratio - plain).mean() < 4


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 3), (7, 40)])
def test_tiny_and_black_pictures_are_borne(shape: tuple[int, int]) -> None:
    for image in (np.zeros((*shape, 3), np.uint8), np.full((*shape, 3), 200, np.uint8)):
        kept = image.copy()
        for change in ALL:
            found = change(image)
            assert found.dtype == np.uint8
            assert found.ndim == 3
            assert min(found.shape) >= 1
        assert (image == kept).all()
