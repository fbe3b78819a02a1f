"""The limits of photos a model can judge, fitted on pictures that are good and spoiled copies of them.

Of the good pictures each limit may refuse a share of `MAX_REFUSED`, rounded down: the limit lies at the
picture that is next. Where spoiled copies are known (`edgekd.imaging.spoil`) it moves outwards, half way to
the first copy it would then let pass: it catches as many of the copies, and refuses fewer photos. A limit
that catches fewer than `LEAST_CAUGHT` of its copies cannot tell them and is left out.

A colour is known when it covers `COLOUR_SHARE` of one of the pictures; for the limit each picture is measured
by the colours of the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.imaging.quality import (
    MEASURES,
    SMALLEST,
    View,
    colour_bits,
    judge,
    skin,
)
from edgekd.imaging.spoil import SPOILED
from edgekd.photo_quality import COLOURS, PhotoLimit, PhotoQuality

Pixels = NDArray[np.uint8]

MAX_REFUSED = 0.01
LEAST_CAUGHT = 0.5
COLOUR_SHARE = 0.001
FEWEST = 100
"""With fewer pictures the limits refuse too many good ones: fitted on n, each one in n + 1 by chance."""
MOST = 500

_LOW = ("sharpness", "brightness", "contrast", "redness", "skin")
_DIGITS = 4  # of a limit and of a share, so that people can read it


class Pictures(Protocol):
    """Pictures as the network is shown them, read by number."""

    def __len__(self) -> int:
        """How many there are."""

    def image(self, index: int) -> Pixels:
        """Picture number `index`, uint8 [px, px, 3]."""


def fit_quality(pictures: Pictures, fitted_on: str) -> PhotoQuality | None:
    """The limits that suit `pictures` of the split `fitted_on`; at most `MOST` of them are looked at.

    None: fewer than `FEWEST` pictures, or smaller ones than can be measured.
    """
    if len(pictures) < FEWEST:
        return None
    numbers = np.linspace(0, len(pictures) - 1, min(len(pictures), MOST)).round().astype(np.int64).tolist()
    if len(pictures.image(0)) < SMALLEST:
        return None
    good = [pictures.image(number) for number in numbers]
    known, shares = _colours(good)
    limits = [_limit(name, good) for name in MEASURES] + [_fitted("skin", shares, None)]
    quality = PhotoQuality(
        limits=tuple(limit for limit in limits if limit),
        colours=colour_bits(known),
        fitted_on=fitted_on,
        images=len(good),
        refused=0,
    )
    refused = sum(bool(judge(quality, image).flags) for image in good)
    return PhotoQuality(**{**vars(quality), "refused": refused})


def _limit(name: str, good: Sequence[Pixels]) -> PhotoLimit | None:
    values = [MEASURES[name](View(image)) for image in good]
    spoilers = SPOILED.get(name, ())
    spoiled = [MEASURES[name](View(spoil(image, n))) for n, image in enumerate(good) for spoil in spoilers]
    return _fitted(name, values, spoiled or None)


def _fitted(name: str, good: Sequence[float], spoiled: Sequence[float] | None) -> PhotoLimit | None:
    """The limit of one measure; None when it cannot tell the spoiled copies."""
    sign = 1.0 if name in _LOW else -1.0  # a high limit is a low one of the negative
    bound = sorted(sign * value for value in good)[math.floor(MAX_REFUSED * len(good))]
    rule, missed = f"refuses_at_most({MAX_REFUSED})", None
    if spoiled is not None:
        copies = np.sort(sign * np.asarray(spoiled))
        caught = copies[copies < bound]
        if caught.size < LEAST_CAUGHT * copies.size:
            return None
        bound, missed = (bound + caught[-1]) / 2, round(1 - caught.size / copies.size, _DIGITS)
        rule = f"half_way_to_spoiled({MAX_REFUSED})"
    limit = _rounded_out(bound) * sign
    side = "low" if sign > 0 else "high"
    return PhotoLimit(measure=name, rule=rule, missed=missed, **{side: limit})


def _rounded_out(bound: float) -> float:
    """`bound` with `_DIGITS` digits, never above what it was: no more is refused."""
    if bound == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(bound))) + 1 - _DIGITS)
    return float(f"{math.floor(bound / step) * step:.{_DIGITS}g}")


def _colours(good: Sequence[Pixels]) -> tuple[NDArray[np.bool_], list[float]]:
    """The known colours, and the share of each picture that has a colour of the others."""
    present = np.array([_present(image) for image in good])
    counts = present.sum(axis=0)
    shares = [skin(View(image), counts > own) for image, own in zip(good, present, strict=True)]
    return counts > 0, shares


def _present(image: Pixels) -> NDArray[np.bool_]:
    view = View(image)
    held = np.bincount(view.colours.ravel(), minlength=COLOURS)
    return np.asarray(held >= COLOUR_SHARE * view.area)
