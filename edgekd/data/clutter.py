"""What stands between a lesion and a clean picture: uneven light, hair, gel bubbles, rulers, the lens."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgekd.imaging.opencv import cv2

Field = NDArray[np.float32]

_SUBPIXEL = 4


@lru_cache(maxsize=8)
def grid(px: int) -> tuple[Field, Field]:
    """The coordinates x and y of the pixel centres, float32 [px, px], −1 to 1; not to be written to."""
    axis = ((np.arange(px, dtype=np.float32) + 0.5) / px * 2 - 1).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def add_clutter(rng: np.random.Generator, light: Field) -> NDArray[np.uint8]:
    """The photograph of `light` (float32 RGB [px, px, 3], 0 to 1) as uint8 RGB of the same shape.

    Nothing drawn here depends on the diagnosis.
    """
    light = _uneven(rng, light)
    if rng.random() < 0.28:
        light = _hair(rng, light)
    if rng.random() < 0.15:
        light = _bubbles(rng, light)
    if rng.random() < 0.08:
        light = _ruler(rng, light)
    if rng.random() < 0.07:
        light = _eyepiece(rng, light)
    return _develop(rng, light)


def _uneven(rng: np.random.Generator, light: Field) -> Field:
    """A gradient from one side and a fall-off towards the corners."""
    x, y = grid(len(light))
    turn, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.12)
    falloff = rng.beta(1.2, 4) * 0.45
    gain = 1 + slope * (np.cos(turn) * x + np.sin(turn) * y) - falloff * (x * x + y * y) / 2
    return np.asarray(light * gain[..., None], np.float32)


def _blend(light: Field, mask: NDArray[np.uint8], colour: Field, opacity: float) -> Field:
    alpha = mask.astype(np.float32)[..., None] * (opacity / 255)
    return np.asarray(light + alpha * (colour - light), np.float32)


def _points(points: NDArray[np.float64], px: int) -> NDArray[np.int32]:
    """Coordinates −1 to 1 as the fixed-point pixels OpenCV draws with."""
    return np.round((points + 1) * px / 2 * (1 << _SUBPIXEL)).astype(np.int32)


def _hair(rng: np.random.Generator, light: Field) -> Field:
    """Curved strands, most of them combed one way."""
    px = len(light)
    mask = np.zeros((px, px), np.uint8)
    combed, along = rng.uniform(0, np.pi), np.linspace(-1, 1, 12)
    for _ in range(int(rng.integers(2, 22))):
        turn, bend = combed + rng.normal(0, 0.35), rng.normal(0, 0.22)
        half = rng.uniform(0.25, 1.1)
        across = bend * along**2
        x = rng.uniform(-1, 1) + half * (np.cos(turn) * along - np.sin(turn) * across)
        y = rng.uniform(-1, 1) + half * (np.sin(turn) * along + np.cos(turn) * across)
        width = max(1, round(px / 128 * rng.uniform(0.5, 1.45)))
        strand = _points(np.stack([x, y], axis=-1), px)
        cv2.polylines(mask, [strand], False, 255, width, cv2.LINE_AA, _SUBPIXEL)
    dark = rng.uniform(0.05, 0.32) * np.array((1.0, 0.85, 0.72), np.float32)
    return _blend(light, mask, dark.astype(np.float32), rng.uniform(0.45, 0.9))


def _bubbles(rng: np.random.Generator, light: Field) -> Field:
    """Rings of light in the contact gel."""
    px = len(light)
    mask = np.zeros((px, px), np.uint8)
    for _ in range(int(rng.integers(1, 9))):
        x, y = _points(rng.uniform(-1, 1, 2), px).tolist()
        radius = round(rng.uniform(0.02, 0.11) * px / 2 * (1 << _SUBPIXEL))
        begin = rng.uniform(0, 360)
        size = (radius, round(radius * rng.uniform(0.8, 1.0)))
        end = begin + rng.uniform(150, 360)
        cv2.ellipse(mask, (x, y), size, 0, begin, end, 230, 1, cv2.LINE_AA, _SUBPIXEL)
    return _blend(light, mask, np.ones(3, np.float32), rng.uniform(0.25, 0.6))


def _ruler(rng: np.random.Generator, light: Field) -> Field:
    """Millimetre ticks along one side, every fifth one longer."""
    px = len(light)
    mask = np.zeros((px, px), np.uint8)
    pitch, edge, begin = rng.uniform(0.09, 0.16), rng.uniform(0.80, 0.96), rng.uniform(0, 0.1)
    for tick, place in enumerate(np.arange(-1 + begin, 1, pitch)):
        length = 0.14 if tick % 5 == 0 else 0.07
        ends = _points(np.array([(place, edge), (place, edge - length)]), px)
        cv2.polylines(mask, [ends], False, 255, max(1, px // 128), cv2.LINE_AA, _SUBPIXEL)
    turned = np.ascontiguousarray(np.rot90(mask, int(rng.integers(4))))
    return _blend(light, turned, np.full(3, 0.08, np.float32), rng.uniform(0.5, 0.9))


def _eyepiece(rng: np.random.Generator, light: Field) -> Field:
    """The dark rim of the lens: black corners outside a circle."""
    x, y = grid(len(light))
    radius, soft = rng.uniform(1.0, 1.3), rng.uniform(0.01, 0.08)
    away = np.hypot(x - rng.normal(0, 0.06), y - rng.normal(0, 0.06))
    seen = np.clip((radius - away) / soft + 0.5, 0, 1)
    return np.asarray(light * (0.03 + 0.97 * seen[..., None]), np.float32)


def _develop(rng: np.random.Generator, light: Field) -> NDArray[np.uint8]:
    """Focus, contrast and sensor noise, then 8 bits."""
    px = len(light)
    light = cv2.GaussianBlur(light, (0, 0), px / 128 * rng.uniform(0.2, 0.75)).astype(np.float32)
    contrast, brightness = rng.uniform(0.88, 1.12), rng.normal(0, 0.015)
    light = (light - 0.55) * np.float32(contrast) + np.float32(0.55 + brightness)
    grain = rng.standard_normal((px, px), np.float32) * np.float32(rng.uniform(0.004, 0.016))
    return np.clip((light + grain[..., None]) * 255 + 0.5, 0, 255).astype(np.uint8)
