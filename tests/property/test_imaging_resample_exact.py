"""The fast resize equals the plain 32-bit integer one bit for bit, and has the properties it promises."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgekd.imaging.resample import MAX_SIDE, resize
from imaging_reference import coefficients, noise
from imaging_reference import resize as slow_resize

sides = st.integers(1, 40)


@given(height=sides, width=sides, px=sides, seed=st.integers(0, 2**32 - 1))
def test_fast_equals_slow(height: int, width: int, px: int, seed: int) -> None:
    image = noise(height, width, seed)
    np.testing.assert_array_equal(resize(image, px), slow_resize(image, px))


@given(size=st.integers(1, 500), px=st.integers(1, 30), seed=st.integers(0, 2**32 - 1))
def test_long_lines_equal_too(size: int, px: int, seed: int) -> None:
    image = noise(1, size, seed)
    np.testing.assert_array_equal(resize(image, px), slow_resize(image, px))


@given(height=sides, width=sides, px=st.integers(1, 60), level=st.integers(0, 255))
def test_a_constant_picture_stays_constant(height: int, width: int, px: int, level: int) -> None:
    assert np.all(resize(np.full((height, width, 3), level, np.uint8), px) == level)


@given(height=sides, width=sides, px=sides, seed=st.integers(0, 2**32 - 1))
def test_no_value_leaves_the_range_of_the_input(height: int, width: int, px: int, seed: int) -> None:
    image = noise(height, width, seed)
    out = resize(image, px)
    assert image.min() <= out.min() <= out.max() <= image.max()


@given(size=st.integers(1, MAX_SIDE), px=st.integers(1, MAX_SIDE), share=st.floats(0, 1, exclude_max=True))
def test_coefficients_fit_32_bits_and_add_up(size: int, px: int, share: float) -> None:
    """`coefficients` itself fails when a value on the way needs more than 32 bits."""
    found = coefficients(size, px, int(share * px))
    assert sum(found) == 1 << 16
    assert min(found) >= 0
