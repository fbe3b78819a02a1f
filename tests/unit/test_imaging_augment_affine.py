"""The affine map and hair removal as augmentations: nothing when off, replayable, the geometry they say."""

from __future__ import annotations

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.config import AugmentConfig, HairRemoval
from edgekd.imaging.augment import augment
from edgekd.imaging.hair import remove_hair
from edgekd.imaging.opencv import cv2
from imaging_reference import noise
from tolerances import WARP_POSITION, WARP_ROUNDING

STILL = AugmentConfig(
    crop_scale_min=1.0, flips=False, quarter_turns=False, brightness=0, contrast=0, saturation=0, hue=0
)
MOVED = {"rotation_degrees": 180.0, "shear_degrees": 20.0, "zoom": 0.3, "shift": 0.2}
PX = 64


def _only(**changes: object) -> AugmentConfig:
    return dataclasses.replace(STILL, **changes)  # type: ignore[arg-type]


def _view(image: NDArray[np.uint8], variant: int, config: AugmentConfig, px: int = PX) -> NDArray[np.uint8]:
    return augment(image, px=px, config=config, seed=1, image_key=7, variant=variant)


def _ramp(side: int = PX) -> NDArray[np.uint8]:
    """A picture that tells where it is looked at: red counts columns, green rows, both from 64."""
    y, x = np.mgrid[0:side, 0:side]
    return np.stack([64 + x, 64 + y, np.zeros_like(x)], axis=2).astype(np.uint8)


def _seen(view: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The affine map [2, 3] that best says which point of the ramp each pixel of `view` shows."""
    y, x = np.mgrid[0 : len(view), 0 : len(view)]
    points = np.column_stack([x.ravel(), y.ravel(), np.ones(x.size)])
    shown = view[:, :, :2].reshape(-1, 2).astype(float) - 64
    # Only the middle, where nothing is reflected: about 600 pixels.
    inner = np.hypot(x - (len(view) - 1) / 2, y - (len(view) - 1) / 2).ravel() < 14
    fit, *_ = np.linalg.lstsq(points[inner], shown[inner], rcond=None)
    return fit.T


def _polar(linear: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Angle (degrees), shear (degrees), and the two scales of a map made as rotation · shear · scale."""
    scale_x = float(np.hypot(*linear[:, 0]))
    angle = np.arctan2(linear[1, 0], linear[0, 0])
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) @ linear
    return (
        float(np.degrees(angle)),
        float(np.degrees(np.arctan2(back[0, 1], back[1, 1]))),
        scale_x,
        float(back[1, 1]),
    )


def test_zero_is_the_path_without_a_map() -> None:
    image = noise(80, 80, 1)
    for variant in range(10):
        config = AugmentConfig(rotation_degrees=0.0, shear_degrees=0.0, zoom=0.0, shift=0.0)
        np.testing.assert_array_equal(_view(image, variant, config), _view(image, variant, AugmentConfig()))


def test_a_map_that_hardly_moves_shows_what_the_crop_shows() -> None:
    image = cv2.GaussianBlur(noise(80, 80, 2), (0, 0), 3)
    crop = AugmentConfig(crop_scale_min=0.5, cutout_count=2)
    for variant in range(20):
        moved = _view(image, variant, dataclasses.replace(crop, rotation_degrees=1e-9))
        still = _view(image, variant, crop)
        assert np.abs(moved.astype(int) - still).max() <= WARP_ROUNDING


def test_switching_the_map_on_moves_no_other_number() -> None:
    """A picture of one colour has no geometry: what is left are colour, cut-out and microscope."""
    image = np.full((80, 80, 3), (120, 90, 70), np.uint8)
    config = AugmentConfig(cutout_count=3, microscope_probability=0.5)
    for variant in range(20):
        plain = _view(image, variant, config)
        np.testing.assert_array_equal(plain, _view(image, variant, dataclasses.replace(config, **MOVED)))


def test_views_do_not_depend_on_order_or_thread() -> None:
    image = noise(72, 72, 3)
    config = AugmentConfig(**MOVED, hair=HairRemoval.ORIENTED, hair_probability=0.5)

    def one(variant: int) -> str:
        return hashlib.sha256(_view(image, variant, config).tobytes()).hexdigest()

    alone = [one(variant) for variant in range(48)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, reversed(range(48))))[::-1] == alone
    assert len(set(alone)) == 48


def test_each_setting_moves_as_far_as_it_says_and_nothing_else() -> None:
    limits = {"rotation_degrees": 30.0, "shear_degrees": 15.0, "zoom": 0.2, "shift": 0.1}
    for name, most in limits.items():
        found = [_seen(_view(_ramp(), variant, _only(**{name: most}))) for variant in range(200)]
        angles, shears, wide, high = np.array([_polar(one[:, :2]) for one in found]).T
        middle = np.array([one @ [(PX - 1) / 2, (PX - 1) / 2, 1] for one in found]) - (PX - 1) / 2
        seen = {
            "rotation_degrees": (angles, 0.0, 1.0),
            "shear_degrees": (shears, 0.0, 1.0),
            "zoom": (wide, 1.0, 1.0),
            "shift": (middle.ravel(), 0.0, float(PX)),
        }
        for other, (values, centre, unit) in seen.items():
            reach = (most if other == name else 0.0) * unit
            slack = WARP_POSITION * (57.3 if other.endswith("degrees") else 1.0)
            assert np.abs(values - centre).max() <= reach + slack, (name, other)
            if other == name:
                assert values.max() > centre + 0.9 * reach
                assert values.min() < centre - 0.9 * reach
        if name != "shear_degrees":
            np.testing.assert_allclose(wide, high, atol=2 * WARP_POSITION)


@pytest.mark.parametrize(("side", "px"), [(400, 32), (100, 64), (20, 60), (1, 8), (2, 3)])
def test_any_size_becomes_px_and_the_border_is_reflected(side: int, px: int) -> None:
    config = AugmentConfig(**MOVED)
    assert _view(noise(side, side, 8), 0, config, px=px).shape == (px, px, 3)
    constant = np.full((side, side, 3), 90, np.uint8)
    for variant in range(8):
        assert np.all(_view(constant, variant, _only(**MOVED), px=px) == 90)


def test_strong_shrinking_averages() -> None:
    """One white line in eight: a plain interpolation would give black and white lines."""
    image = np.zeros((400, 400, 3), np.uint8)
    image[:, ::8] = 255
    for variant in range(10):
        view = _view(image, variant, _only(rotation_degrees=180.0), px=50)
        # 255 / 8 = 31.9; a reflected half line at the border counts up to twice.
        assert view[5:-5, 5:-5].max() < 3 * 32
        assert abs(view.mean() - 32) < 4


def _hairy(side: int = 96) -> NDArray[np.uint8]:
    image = np.full((side, side, 3), (200, 160, 140), np.uint8)
    for x in (20, 50, 80):
        cv2.line(image, (x, 0), (x - 15, side), (40, 30, 25), 2, cv2.LINE_AA)
    return image


@pytest.mark.parametrize("method", [HairRemoval.ADEPU2023, HairRemoval.ORIENTED])
def test_hairs_are_taken_out_as_often_as_asked(method: HairRemoval) -> None:
    image = _hairy()
    config = _only(hair=method, hair_probability=0.25)
    clean, seen = remove_hair(image, method), 0
    assert not np.array_equal(clean, image)
    for variant in range(200):
        view = _view(image, variant, config, px=96)
        assert np.array_equal(view, image) or np.array_equal(view, clean)
        seen += np.array_equal(view, clean)
    # 50 expected, standard deviation √(200 · ¼ · ¾) = 6.1: six of them either way.
    assert 14 <= seen <= 86


def test_hair_moves_no_other_number() -> None:
    image = np.full((60, 60, 3), (120, 90, 70), np.uint8)
    config = AugmentConfig(cutout_count=2, microscope_probability=0.5)
    hair = dataclasses.replace(config, hair=HairRemoval.ORIENTED, hair_probability=1.0)
    for variant in range(10):
        np.testing.assert_array_equal(_view(image, variant, config), _view(image, variant, hair))
