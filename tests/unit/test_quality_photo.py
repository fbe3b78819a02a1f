"""What is measured of a photo, the limits fitted to it, and what is said of a photo outside them."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest

from edgekd.card import ModelCard
from edgekd.errors import ModelError, UsageError
from edgekd.imaging import spoil
from edgekd.imaging.quality import MEASURES, View, judge, measure
from edgekd.imaging.quality_fit import MAX_REFUSED, fit_quality
from edgekd.photo_quality import COLOURS, PhotoLimit, PhotoQuality, look
from skin_pictures import picture

PX, COUNT = 96, 120
NO_COLOURS = "0" * (COLOURS // 4)


class Given:
    """Pictures in memory."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def image(self, index):
        return self.images[index]


def photo(seed):
    """Skin with a lesion, fine detail, and a camera's own faint noise."""
    grain = np.random.default_rng([1, seed]).normal(0, 4, (PX, PX, 1))
    soft = cv2.GaussianBlur(picture(seed, PX) + grain, (0, 0), 0.6)
    return np.clip(soft * (1.0, 0.78, 0.68), 0, 250).astype(np.uint8)


@pytest.fixture(scope="module")
def fitted():
    return fit_quality(Given([photo(seed) for seed in range(COUNT)]), "validation")


def limit(quality, name):
    return next(one for one in quality.limits if one.measure == name)


def striped(image):
    return np.where(np.indices((PX, PX)).sum(0)[..., None] // 4 % 2, 255 - image, image).astype(np.uint8)


SPOILED = [
    ("sharpness", lambda image, n: spoil.blurred(image, 0.012)),
    ("sharpness", lambda image, n: spoil.defocused(image, 0.02)),
    ("sharpness", lambda image, n: spoil.shaken(image, 0.08, 30 * n)),
    ("grain", lambda image, n: spoil.noisy(image, 30, n)),
    ("brightness", lambda image, n: spoil.exposed(image, 0.25)),
    ("clipped", lambda image, n: spoil.exposed(image, 2.5)),
    ("contrast", lambda image, n: spoil.bare(image)),
    ("redness", lambda image, n: image[..., ::-1].copy()),
    ("redness", lambda image, n: np.repeat(image[..., 1:2], 3, axis=2)),
    ("roughness", lambda image, n: striped(image)),
    ("skin", lambda image, n: image // 4 + np.array((0, 160, 30), np.uint8)),
]


@pytest.mark.parametrize("case", range(len(SPOILED)), ids=lambda n: f"{SPOILED[n][0]}-{n}")
def test_new_photos_are_judged_and_their_spoiled_copies_are_not(fitted, case):
    name, spoiler = SPOILED[case]
    photos = [photo(seed) for seed in range(1000, 1020)]
    found = [judge(fitted, spoiler(image, n)) for n, image in enumerate(photos)]
    assert sum(name in [flag.measure for flag in one.flags] for one in found) >= 18
    assert all(one.reason for one in found if one.flags)


def test_few_new_photos_are_refused(fitted):
    refused = [bool(judge(fitted, photo(seed)).flags) for seed in range(2000, 2100)]
    assert sum(refused) <= 15  # eight limits of 1 % each are 8 % at most; 15 of 100 is chance of 1 in 80


def test_each_limit_refuses_its_share_of_the_good_at_most(fitted):
    good = [photo(seed) for seed in range(COUNT)]
    for one in fitted.limits:
        if one.measure == "skin":  # measured by the colours of the others there
            continue
        values = np.array([MEASURES[one.measure](View(image)) for image in good])
        beyond = values < one.low if one.high is None else values > one.high
        assert beyond.sum() <= math.floor(MAX_REFUSED * COUNT)
    assert fitted.images == COUNT
    assert fitted.refused == sum(bool(judge(fitted, image).flags) for image in good)


def test_a_limit_lies_half_way_between_the_good_and_the_spoiled():
    """Flat grounds: the darker copies have 0.35 and 0.2 of the median, and there is nothing between."""
    base = np.full((PX, PX, 3), (200, 120, 110), np.uint8)
    base[30:60, 30:60] = (120, 70, 60)
    images = [base + np.uint8(n % 10) for n in range(100)]
    found = limit(fit_quality(Given(images), "validation"), "brightness")
    values = [MEASURES["brightness"](View(image)) for image in images]
    dark = [MEASURES["brightness"](View(spoil.exposed(image, 0.35))) for image in images]
    assert found.low == pytest.approx((min(values) + max(dark)) / 2, abs=0.1)
    assert found.rule == "half_way_to_spoiled(0.01)"
    assert found.missed == 0


def test_what_cannot_be_told_has_no_limit():
    """Of pure noise a noisy copy is no different: there is no limit for it, and none that refuses all."""
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(100)]
    found = fit_quality(Given(images), "validation")
    assert "grain" not in [one.measure for one in found.limits]
    assert found.refused <= 3


def test_too_few_or_too_small_pictures_give_no_limits():
    assert fit_quality(Given([photo(1)] * 99), "validation") is None
    assert fit_quality(Given([photo(1)[:31, :31]] * 100), "validation") is None


@pytest.mark.parametrize(
    "pixels", [np.zeros((31, 31, 3), np.uint8), np.zeros((40, 41, 3), np.uint8), np.zeros((40, 40, 3))]
)
def test_only_squares_of_bytes_are_measured(pixels):
    with pytest.raises(UsageError, match="at least 32 px"):
        measure(pixels, NO_COLOURS)


def test_a_flat_picture_is_measured_without_a_division_by_nothing():
    found = measure(np.full((224, 224, 3), 255, np.uint8), NO_COLOURS)
    assert found == {
        "sharpness": 0.0,
        "grain": 0.0,
        "brightness": 255.0,
        "clipped": 100.0,
        "contrast": 0.0,
        "roughness": 0.0,
        "redness": 0.0,
        "skin": 0.0,
    }


def quality(*limits):
    return PhotoQuality(limits=limits, colours=NO_COLOURS, fitted_on="validation", images=60, refused=0)


def test_the_reason_names_figure_and_limit():
    wanted = quality(
        PhotoLimit(measure="sharpness", low=7.9, rule="given"),
        PhotoLimit(measure="clipped", high=3.0, rule="given"),
    )
    found = look(wanted, {"sharpness": 3.14, "clipped": 3.0})
    assert found.reason == "blurred (sharpness 3.14, at least 7.9 expected)"
    assert look(wanted, {"sharpness": 7.9, "clipped": 3.5}).reason == (
        "over-exposed (clipped 3.5, at most 3 expected)"
    )
    assert look(wanted, {"sharpness": 7.9, "clipped": 3.0}).reason == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"measure": "beauty", "low": 1.0},
        {"measure": "sharpness"},
        {"measure": "sharpness", "low": 1.0, "high": 2.0},
        {"measure": "sharpness", "high": 2.0},
    ],
)
def test_a_limit_that_means_nothing_is_refused(wrong):
    with pytest.raises(UsageError, match="photo limit"):
        PhotoLimit(rule="given", **wrong)


def test_a_card_carries_the_limits_and_an_older_one_has_none(fitted):
    card = ModelCard(name="m", precision="int8", input_px=PX, labels=("mel", "nv"), malignant=("mel",))
    assert "quality" not in json.loads(card.to_json())
    assert ModelCard.from_json(card.to_json()).quality is None
    with_limits = ModelCard(**{**vars(card), "quality": fitted})
    assert ModelCard.from_json(with_limits.to_json()).quality == fitted
    plain = json.loads(with_limits.to_json())
    plain["quality"]["rule"] = "edgekd.quality/2"
    with pytest.raises((UsageError, ModelError), match="edgekd.quality/2"):
        ModelCard.from_json(json.dumps(plain))
