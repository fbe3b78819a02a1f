"""Each augmentation does what its name says, and nothing when it is switched off."""

from __future__ import annotations

import colorsys
import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.config import AugmentConfig
from edgekd.errors import UsageError
from edgekd.imaging.augment import augment, centre_view
from edgekd.imaging.opencv import cv2
from edgekd.imaging.resample import resize
from imaging_reference import noise
from tolerances import COLOUR_MAP, HUE_TURN_RELATIVE, SQUARE_ROUNDING

OFF = {
    "crop_scale_min": 1.0,
    "flips": False,
    "quarter_turns": False,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
}
ALL = AugmentConfig(cutout_count=2, microscope_probability=0.5)


def _only(**changes: float | bool) -> AugmentConfig:
    return AugmentConfig(**(OFF | changes))  # type: ignore[arg-type]


def _view(
    image: NDArray[np.uint8],
    variant: int,
    config: AugmentConfig = ALL,
    px: int = 48,
    seed: int = 1,
    key: int = 7,
) -> NDArray[np.uint8]:
    return augment(image, px=px, config=config, seed=seed, image_key=key, variant=variant)


def _bytes(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def _flat(colour: tuple[int, int, int], px: int = 24) -> NDArray[np.uint8]:
    return np.full((px, px, 3), colour, np.uint8)


def test_all_switched_off_is_the_picture_itself_and_a_copy() -> None:
    image = noise(48, 48, 1)
    before = image.copy()
    out = _view(image, 3, _only())
    np.testing.assert_array_equal(out, image)
    out[:] = 0
    np.testing.assert_array_equal(image, before)


def test_the_input_is_left_alone() -> None:
    image = noise(48, 48, 1)
    image.setflags(write=False)
    before = image.copy()
    for variant in range(20):
        _view(image, variant)
    np.testing.assert_array_equal(image, before)


def test_views_do_not_depend_on_order_or_thread() -> None:
    image = noise(60, 60, 2)
    alone = [_bytes(_view(image, variant)) for variant in range(64)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda variant: _bytes(_view(image, variant)), reversed(range(64))))
    assert threaded[::-1] == alone
    assert len(set(alone)) == 64


def test_seed_image_and_variant_each_matter() -> None:
    image = noise(60, 60, 3)
    views = [
        _view(image, variant, seed=seed, key=key)
        for seed in (1, 2)
        for key in (7, 2**62)
        for variant in (0, 1)
    ]
    views += [_view(image, 1, seed=7, key=1), _view(image, 7, seed=1, key=1)]
    assert len({_bytes(view) for view in views}) == len(views)


def test_switching_cut_out_on_moves_no_other_number() -> None:
    image = noise(60, 60, 4)
    for variant in range(10):
        plain = _view(image, variant, AugmentConfig())
        cut = _view(image, variant, AugmentConfig(cutout_count=1, cutout_fraction=0.2))
        changed = np.any(plain != cut, axis=2)
        rows, columns = np.nonzero(changed)
        assert changed.mean() <= 0.2**2 * 1.1
        assert np.ptp(rows) < 10
        assert np.ptp(columns) < 10
        assert np.all(cut[changed] == 128)


def test_flips_and_turns_give_all_eight_symmetries_alike_often() -> None:
    image = noise(16, 16, 5)
    eight = {_bytes(np.rot90(side, turns)): 0 for side in (image, image[:, ::-1]) for turns in range(4)}
    for variant in range(800):
        eight[_bytes(_view(image, variant, _only(flips=True, quarter_turns=True), px=16))] += 1
    assert len(eight) == 8
    # 100 expected of each, standard deviation √(800 · ⅛ · ⅞) = 9.4: six of them either way.
    assert all(44 <= count <= 156 for count in eight.values())


def test_flips_alone_and_turns_alone() -> None:
    image = noise(16, 16, 6)
    flipped = {_bytes(_view(image, v, _only(flips=True), px=16)) for v in range(80)}
    assert flipped == {_bytes(i) for i in (image, image[::-1], image[:, ::-1], image[::-1, ::-1])}
    turned = {_bytes(_view(image, v, _only(quarter_turns=True), px=16)) for v in range(80)}
    assert turned == {_bytes(np.rot90(image, turns)) for turns in range(4)}


def test_crops_keep_area_and_aspect() -> None:
    """A picture whose colours are its coordinates tells which rectangle was taken."""
    side, px = 256, 64
    y, x = np.mgrid[0:side, 0:side]
    image = np.stack([x, y, np.zeros_like(x)], axis=2).astype(np.uint8)
    areas, aspects, corners = [], [], []
    for variant in range(400):
        view = _view(image, variant, _only(crop_scale_min=0.3), px=px).astype(float)
        # The centres of the first and last output lie (1 − 1/px) of the rectangle apart.
        width, height = (np.ptp(view[:, :, channel]) / (1 - 1 / px) / side for channel in (0, 1))
        areas.append(width * height)
        aspects.append(width / height)
        corners.append((view[0, 0, 0] / side, view[0, 0, 1] / side))
        assert max(width, height) <= 1 + 2 / side
    # Sides are rounded to pixels and read off to one grey level: 2 / 256 of a side of at least 0.47.
    slack = 1 + 2 * 2 / 256 / 0.47
    assert 0.3 / slack <= min(areas) < 0.35
    assert 0.85 < max(areas) <= 1 * slack
    assert 0.75 / slack <= min(aspects) < 0.8
    assert 1.25 < max(aspects) <= 4 / 3 * slack
    assert np.ptp([x for x, _ in corners]) > 0.3
    assert np.ptp([y for _, y in corners]) > 0.3


@pytest.mark.parametrize(("side", "px"), [(400, 32), (100, 64), (20, 60)])
def test_any_size_becomes_px(side: int, px: int) -> None:
    assert _view(noise(side, side, 8), 0, px=px).shape == (px, px, 3)
    constant = np.full((side, side, 3), 90, np.uint8)
    assert np.all(_view(constant, 0, _only(crop_scale_min=0.5), px=px) == 90)


def test_strong_shrinking_averages() -> None:
    """One white line in eight, between the places where plain interpolation would look."""
    image = np.zeros((400, 400, 3), np.uint8)
    image[:, ::8] = 255
    assert np.all(_view(image, 0, _only(), px=50) == 32)  # 255 / 8 = 31.9


def test_brightness_multiplies_within_its_strength() -> None:
    levels = np.array(
        [_view(_flat((100, 100, 100)), v, _only(brightness=0.3), px=24)[0, 0] for v in range(300)]
    )
    assert np.all(levels == levels[:, :1])
    assert 70 <= levels.min() < 75
    assert 125 < levels.max() <= 130


def test_brightness_clips_instead_of_wrapping() -> None:
    for variant in range(40):
        view = _view(_flat((250, 4, 250)), variant, _only(brightness=0.9), px=8)
        assert view[0, 0, 0] >= view[0, 0, 1]
        assert view[0, 0, 0] > 20


def test_contrast_turns_around_the_mean_luma() -> None:
    image = _flat((60, 60, 60), 24)
    image[:, 12:] = 140
    spreads = []
    for variant in range(200):
        view = _view(image, variant, _only(contrast=0.5), px=24).astype(int)
        assert abs(view.mean() - 100) <= COLOUR_MAP
        spreads.append(view[0, -1, 0] - view[0, 0, 0])
    assert 40 <= min(spreads) < 45
    assert 115 < max(spreads) <= 120


def test_saturation_blends_with_the_luma() -> None:
    colour = (180, 90, 60)
    luma = 0.299 * 180 + 0.587 * 90 + 0.114 * 60
    for variant in range(100):
        view = _view(_flat(colour), variant, _only(saturation=0.8), px=24)[0, 0].astype(float)
        factor = (view[0] - luma) / (180 - luma)
        assert 0.19 <= factor <= 1.81
        # Off by COLOUR_MAP itself, and by as much in the factor, which is read off red (180 − luma = 66.5)
        # and multiplies at most 53.5 (luma − 60).
        atol = COLOUR_MAP * (1 + 53.5 / 66.5)
        np.testing.assert_allclose(view, luma + factor * (np.array(colour) - luma), atol=atol)


def test_hue_keeps_the_luma_and_turns_both_ways() -> None:
    colour = (150, 100, 90)
    luma = np.array([0.299, 0.587, 0.114])
    before = colorsys.rgb_to_hsv(*colour)[0]
    turns = []
    for variant in range(200):
        view = _view(_flat(colour), variant, _only(hue=0.05), px=24)[0, 0].astype(float)
        assert abs(luma @ view - luma @ np.array(colour)) <= COLOUR_MAP
        turns.append((colorsys.rgb_to_hsv(*view)[0] - before + 0.5) % 1 - 0.5)
    assert 0.05 / HUE_TURN_RELATIVE < max(turns) < 0.05 * HUE_TURN_RELATIVE
    assert 0.05 / HUE_TURN_RELATIVE < -min(turns) < 0.05 * HUE_TURN_RELATIVE


def test_colour_is_one_map_of_all_four() -> None:
    """The folded matrix equals the steps one after another, up to their rounding."""
    image = (noise(32, 32, 9) // 2 + 64).astype(np.uint8)
    strengths = {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1}
    for variant in range(20):
        together = _view(image, variant, _only(**strengths), px=32).astype(float)
        steps = image
        for name in ("saturation", "contrast", "brightness"):
            steps = _view(steps, variant, _only(**{name: strengths[name]}), px=32)
        # What the first step is off grows by contrast and brightness (1.1 each), the second's by one of them.
        assert np.abs(together - steps).max() <= COLOUR_MAP * (1.1 * 1.1 + 1.1 + 1 + 1)


def test_cut_out_covers_its_share() -> None:
    image = np.full((100, 100, 3), 255, np.uint8)
    config = AugmentConfig(**(OFF | {"cutout_count": 1, "cutout_fraction": 0.3}))  # type: ignore[arg-type]
    shares = []
    for variant in range(200):
        view = _view(image, variant, config, px=100)
        shares.append(np.mean(view[:, :, 0] == 128))
        assert set(np.unique(view)) <= {128, 255}
    assert max(shares) == pytest.approx(0.09, abs=SQUARE_ROUNDING)
    # A square centred in a corner keeps a quarter of itself.
    assert min(shares) >= 0.09 / 4 - SQUARE_ROUNDING


def test_microscope_blackens_the_corners_as_often_as_asked() -> None:
    image = np.full((80, 80, 3), 200, np.uint8)
    dark = 0
    for variant in range(400):
        view = _view(image, variant, _only(microscope_probability=0.25), px=80)
        corners = view[[0, 0, -1, -1], [0, -1, 0, -1]]
        if np.any(corners == 0):
            dark += 1
            assert np.all(view[30:50, 30:50] == 200)
            assert set(np.unique(view)) == {0, 200}
        else:
            assert np.all(view == 200)
    # 100 expected, standard deviation √(400 · ¼ · ¾) = 8.7: six of them either way.
    assert 48 <= dark <= 152


def test_centre_view_is_the_deployment_resize() -> None:
    image = noise(64, 64, 10)
    np.testing.assert_array_equal(centre_view(image, 48), resize(image, 48))


def test_opencv_works_on_one_thread() -> None:
    assert cv2.getNumThreads() == 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 9, 3), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
    ],
)
def test_refuses_what_is_not_a_square_of_bytes(image: NDArray[np.uint8]) -> None:
    with pytest.raises(UsageError, match=r"expected uint8 \[S, S, 3\]"):
        _view(image, 0)
