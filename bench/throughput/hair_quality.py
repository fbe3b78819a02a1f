"""How well hairs are found and taken out, by measures that no method of ours shares.

**Painted hairs.** On clean skin hairs are painted whose place is known: curves (quadratic Bézier) of several
widths and colours, drawn at four times the size and averaged down, so that `coverage` is the share of a
pixel that they cover. A hair pixel is covered by at least ½. *Sensitivity*: the share of hair pixels that
the mask holds. *Precision*: the share of the mask that lies within `NEAR` pixels of anything painted.
*Error*: the mean absolute difference (grey levels) to the untouched picture over the pixels that are covered
at all, and the PSNR over them. *Elsewhere*: the same mean over all pixels further away than `NEAR`.

**Real hairs** have no truth. A pixel counts as a dark ridge where the larger eigenvalue λ₁ of the Hessian of
the grey picture, smoothed by σ = 1, 2 or 3 pixels and multiplied by σ², is above `RIDGE` grey levels and the
smaller is of less than half its size: the second derivative across, and not along, as Frangi et al. 1998
describe a vessel. *Ridges left*: how many there are after, over how many there were before. Pigment networks
and the edges of lesions are ridges too, so nought is not the aim; clean pictures have a share of them, which
is told beside it.

**Clean skin**: the share of pixels that are changed at all, and the mean absolute change over all pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.imaging.opencv import cv2

Pixels = NDArray[np.uint8]
Field = NDArray[np.float32]

NEAR = 2.0
RIDGE = 6.0
SIGMAS = (1.0, 2.0, 3.0)

_FINE = 4
_STEPS = 40
_WIDTHS = (1.0, 1.5, 2.0, 3.0, 4.0)  # pixels of a picture of 256
_COLOURS = ((30, 24, 22), (62, 42, 32), (96, 74, 60), (120, 104, 92))  # black, dark and mid brown, grey


def paint(image: Pixels, seed: int) -> tuple[Pixels, Field]:
    """`image` (uint8 RGB [H, W, 3]) with 8 to 24 hairs, and the share of each pixel they cover, [H, W]."""
    rng = np.random.Generator(np.random.PCG64([0x4A17, seed]))
    out, union = image.astype(np.float32), np.zeros(image.shape[:2], np.float32)
    for _ in range(int(rng.integers(8, 25))):
        coverage = _hair(rng, image.shape[1], image.shape[0])
        opacity = np.float32(rng.uniform(0.75, 0.95))
        colour = np.array(_COLOURS[rng.integers(len(_COLOURS))], np.float32)
        out += opacity * coverage[..., None] * (colour - out)
        union = np.maximum(union, coverage)
    return np.rint(out).astype(np.uint8), union


def _hair(rng: np.random.Generator, width: int, height: int) -> Field:
    """One curve across part of the picture: the share it covers of each pixel."""
    size = np.array([width, height]) * _FINE
    begin = rng.random(2) * size
    angle, length = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 1.0) * size.min()
    end = begin + length * np.array([math.cos(angle), math.sin(angle)])
    middle = (begin + end) / 2 + rng.normal(0, 0.15 * length, 2)
    t = np.linspace(0, 1, _STEPS)[:, None]
    curve = (1 - t) ** 2 * begin + 2 * t * (1 - t) * middle + t**2 * end
    thickness = max(1, round(float(rng.choice(_WIDTHS)) * _FINE * min(width, height) / 256))
    fine = np.zeros((height * _FINE, width * _FINE), np.uint8)
    cv2.polylines(fine, [np.rint(curve).astype(np.int32)], isClosed=False, color=255, thickness=thickness)
    small = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


def ridges(image: Pixels) -> NDArray[np.bool_]:
    """Where `image` (uint8 RGB [H, W, 3]) has a dark ridge: bool [H, W]."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    found = np.zeros(grey.shape, np.bool_)
    for sigma in SIGMAS:
        smooth = cv2.GaussianBlur(grey, (0, 0), sigma)
        gy, gx = np.gradient(smooth)
        (hyy, hxy), hxx = np.gradient(gy), np.gradient(gx, axis=1)
        mean, spread = (hxx + hyy) / 2, np.hypot((hxx - hyy) / 2, hxy)
        large, small = mean + spread, mean - spread
        found |= (sigma**2 * large > RIDGE) & (np.abs(small) < large / 2)
    return found


def against_truth(image: Pixels, coverage: Field, repaired: Pixels, mask: Pixels) -> Mapping[str, float]:
    """The measures of painted hairs for one picture; `image` is the untouched one.

    Counts and sums, to be added up over pictures: `summary` makes figures of them.
    """
    hair, any_hair = coverage >= 0.5, coverage > 0
    far = cv2.distanceTransform((~any_hair).astype(np.uint8), cv2.DIST_L2, 5) > NEAR
    difference = np.abs(repaired.astype(np.int16) - image).astype(np.float64)
    return {
        "hair": float(hair.sum()),
        "found": float((hair & (mask > 0)).sum()),
        "mask": float((mask > 0).sum()),
        "true": float(((mask > 0) & ~far).sum()),
        "covered": float(3 * any_hair.sum()),
        "error": float(difference[any_hair].sum()),
        "square": float((difference[any_hair] ** 2).sum()),
        "elsewhere": float(3 * far.sum()),
        "harm": float(difference[far].sum()),
    }


def summary(sums: Mapping[str, float]) -> dict[str, float]:
    """Figures from the added counts of `against_truth`."""
    square = sums["square"] / sums["covered"]
    return {
        "sensitivity": sums["found"] / sums["hair"],
        "precision": sums["true"] / sums["mask"] if sums["mask"] else math.nan,
        "error": sums["error"] / sums["covered"],
        "psnr_db": 10 * math.log10(255**2 / square),
        "elsewhere": sums["harm"] / sums["elsewhere"],
    }


def change(before: Pixels, after: Pixels) -> tuple[float, float]:
    """The share of pixels that differ, and the mean absolute difference over all (grey levels)."""
    difference = cast("Pixels", cv2.absdiff(before, after))
    return float(difference.any(axis=2).mean()), float(difference.mean())
