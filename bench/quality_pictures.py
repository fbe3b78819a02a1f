"""Pictures that show no skin, drawn from a seed: noise, gradients, patterns, pages of text, screens, charts.

All are uint8 RGB [px, px, 3]. And photographs: those of a folder, whole and in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.imaging.decode import read_image
from edgekd.imaging.opencv import cv2
from edgekd.imaging.resample import prepare

Pixels = NDArray[np.uint8]
Random = np.random.Generator
Colour = tuple[int, int, int]

_WORDS = (
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dogs",
    "pack",
    "seven",
    "wizards",
    "boxes",
)
_SUFFIXES = (".jpg", ".jpeg", ".png")
_LARGE = 512


def noise(rng: Random, px: int) -> Pixels:
    """Every byte drawn by itself, grey or in colour."""
    if rng.random() < 0.5:
        return rng.integers(0, 256, (px, px, 3), np.uint8)
    return np.repeat(rng.integers(0, 256, (px, px, 1), np.uint8), 3, axis=2)


def clouds(rng: Random, px: int) -> Pixels:
    """Smooth noise of any colour."""
    cells = int(rng.integers(3, 30))
    small = rng.integers(0, 256, (cells, cells, 3), np.uint8)
    return cast("Pixels", cv2.resize(small, (px, px), interpolation=cv2.INTER_CUBIC))


def flat(rng: Random, px: int) -> Pixels:
    """One colour, with the noise of a sensor: a covered lens, a wall, a sheet of paper."""
    colour = rng.integers(0, 256, 3)
    return _bytes(rng.normal(colour, rng.uniform(0, 6), (px, px, 3)))


def gradient(rng: Random, px: int) -> Pixels:
    """From one colour to another, in any direction."""
    first, second = rng.uniform(0, 255, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:px, :px] / px - 0.5
    share = np.clip(x * np.cos(angle) + y * np.sin(angle) + 0.5, 0, 1)[..., None]
    return _bytes(first + share * (second - first) + rng.normal(0, 1, (px, px, 3)))


def pattern(rng: Random, px: int) -> Pixels:
    """Stripes, a chessboard or a grid of dots in two colours."""
    first, second = rng.integers(0, 256, (2, 3))
    size = rng.uniform(4, 40) * px / 224
    y, x = np.mgrid[:px, :px] / size
    angle = rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    which = (
        np.floor(along) % 2 == 0,
        (np.floor(along) + np.floor(across)) % 2 == 0,
        np.hypot(along % 1 - 0.5, across % 1 - 0.5) < 0.3,
    )[rng.integers(3)]
    return _bytes(np.where(which[..., None], first, second) + rng.normal(0, 2, (px, px, 3)))


def page(rng: Random, px: int) -> Pixels:
    """A printed page, photographed in the light of a room."""
    image = np.full((_LARGE, _LARGE, 3), 245, np.uint8)
    scale = rng.uniform(0.5, 1.6)
    for y in np.arange(30, _LARGE, 34 * scale):
        _text(image, " ".join(rng.choice(_WORDS, 9)), (12, int(y)), scale, (25, 25, 30))
    light = rng.uniform(0.5, 1.0) * np.array([1, rng.uniform(0.8, 1), rng.uniform(0.6, 1)])
    return _small(_bytes(image * light), px)


def screen(rng: Random, px: int) -> Pixels:
    """A telephone's screen: a bar, cards with words, buttons, on a light or a dark ground."""
    dark = rng.random() < 0.4
    ground, ink = ((24, 26, 30), (220, 220, 225)) if dark else ((242, 243, 246), (30, 32, 38))
    image = np.full((_LARGE, _LARGE, 3), ground, np.uint8)
    accent = _colour(rng)
    cv2.rectangle(image, (0, 0), (_LARGE, 60), accent, -1)
    _text(image, str(rng.choice(_WORDS)), (20, 42), 1.2, (255, 255, 255))
    for top in range(80, _LARGE - 90, int(rng.integers(95, 150))):
        fill = tuple(int(min(255, part + 14)) for part in ground)
        cv2.rectangle(image, (16, top), (_LARGE - 16, top + 80), fill, -1)
        cv2.circle(image, (58, top + 40), 26, _colour(rng), -1)
        for line in (30, 58):
            _text(image, " ".join(rng.choice(_WORDS, 4)), (100, top + line), 0.7, ink)
    return _small(image, px)


def chart(rng: Random, px: int) -> Pixels:
    """A plot of lines and bars on white."""
    image = np.full((_LARGE, _LARGE, 3), 255, np.uint8)
    for at in range(60, _LARGE, 60):
        cv2.line(image, (50, at), (_LARGE - 20, at), (215, 215, 220), 1)
        _text(image, str(_LARGE - at), (6, at), 0.5, (60, 60, 60))
    for bar in range(70, _LARGE - 60, 60):
        cv2.rectangle(image, (bar, int(rng.integers(80, 400))), (bar + 30, 460), _colour(rng), -1)
    for _ in range(3):
        heights = np.cumsum(rng.normal(0, 40, 12)) + 250
        points = np.stack([np.linspace(50, 490, 12), heights], axis=1).astype(np.int32)
        cv2.polylines(image, [points], isClosed=False, color=_colour(rng), thickness=3, lineType=cv2.LINE_AA)
    return _small(image, px)


DRAWN: Mapping[str, Callable[[Random, int], Pixels]] = {
    "noise": noise,
    "clouds": clouds,
    "flat colours": flat,
    "gradients": gradient,
    "patterns": pattern,
    "pages of text": page,
    "screens": screen,
    "charts": chart,
}


def drawn(kind: str, count: int, px: int) -> list[Pixels]:
    """`count` pictures of `kind`, the same every time."""
    seeds = (np.random.Generator(np.random.PCG64([0x9AC7, number])) for number in range(count))
    return [DRAWN[kind](rng, px) for rng in seeds]


def photographs(folder: Path) -> Iterator[tuple[str, Pixels]]:
    """Name and pixels of every JPEG and PNG below `folder`, in order."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _SUFFIXES:
            yield path.name, read_image(path)


def pieces(image: Pixels, count: int, px: int) -> list[Pixels]:
    """The centre square of a photograph and `count` random squares of 30 to 80 % of its shorter side."""
    rng = np.random.Generator(np.random.PCG64([0x91EC, *image.shape[:2]]))
    made = [prepare(image, px)]
    for _ in range(count):
        side = max(1, int(min(image.shape[:2]) * rng.uniform(0.3, 0.8)))
        top, left = (int(rng.integers(0, length - side + 1)) for length in image.shape[:2])
        made.append(prepare(np.ascontiguousarray(image[top : top + side, left : left + side]), px))
    return made


def _text(image: Pixels, words: str, place: tuple[int, int], scale: float, colour: Colour) -> None:
    cv2.putText(image, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale * 0.7, colour, 1, cv2.LINE_AA)


def _colour(rng: Random) -> Colour:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _small(image: Pixels, px: int) -> Pixels:
    return prepare(image, px)


def _bytes(values: NDArray[np.floating]) -> Pixels:
    made: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return made
