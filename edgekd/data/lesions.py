"""Drawn dermoscopy: skin, a pigmented lesion and the clutter around it, from a few random numbers.

Light is absorbed, not painted: every pixel is skin · exp(−melanin·a_m − deep·a_d − blood·a_b) (Beer–Lambert,
one absorption per colour channel), so that thin pigment looks light brown, thick pigment black, deep pigment
blue-grey. What is malignant follows the ABCD rule of dermoscopy (Nachbar et al. 1994) as *distributions that
overlap*: asymmetry, border, colours and structures are drawn around a hidden `atypia`, while size, darkness,
skin and clutter hardly depend on the diagnosis. Every random field has a fixed number of cells, so the same
lesion is drawn at any resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.data.clutter import add_clutter, grid
from edgekd.errors import UnknownNameError
from edgekd.imaging.opencv import cv2

Field = NDArray[np.float32]

VERSION = 1
DIAGNOSES = ("mel", "nv", "bkl")

# Beta parameters of the hidden atypia.
_ATYPIA = {"mel": (6.0, 2.2), "nv": (1.8, 6.0), "bkl": (2.0, 5.0)}
# Display colours of skin under a dermoscope, Fitzpatrick I to VI, and how often each is drawn.
_SKIN = np.array(
    [
        (0.93, 0.79, 0.76),
        (0.90, 0.73, 0.68),
        (0.86, 0.66, 0.57),
        (0.76, 0.56, 0.45),
        (0.58, 0.41, 0.32),
        (0.42, 0.29, 0.23),
    ],
    np.float32,
)
_SKIN_SHARE = (0.26, 0.30, 0.22, 0.12, 0.06, 0.04)
# White balance of four kinds of dermoscope: neutral, pink, violet, orange.
_CAST = np.array([(1, 1, 1), (1.06, 0.86, 0.88), (0.90, 0.86, 1.04), (1.08, 0.92, 0.80)], np.float32)
_MELANIN = np.array((0.48, 0.84, 1.06), np.float32)
_DEEP = np.array((0.95, 0.70, 0.38), np.float32)
_BLOOD = np.array((0.10, 0.62, 0.50), np.float32)
_SCAR = np.array((0.86, 0.80, 0.80), np.float32)
_VEIL = np.array((0.50, 0.54, 0.68), np.float32)


@dataclass(slots=True, kw_only=True)
class _Layers:
    """What lies in the skin, each float32 [px, px]: amounts of pigment (≥ 0) and opacities (0 to 1)."""

    melanin: Field
    deep: Field
    blood: Field
    scar: Field
    veil: Field


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesion:
    """The place of a lesion: `inside` 0 to 1, `depth` 0 at the border, 1 in the centre, `angle` in rad."""

    atypia: float
    radius: float
    inside: Field
    depth: Field
    angle: Field


def render(*, seed: int, number: int, diagnosis: str, px: int) -> NDArray[np.uint8]:
    """The lesion `number` of the series `seed`, uint8 RGB [px, px, 3]; the same call gives the same bytes.

    Raises:
        UnknownNameError: `diagnosis` is not one of `DIAGNOSES`.
    """
    if diagnosis not in DIAGNOSES:
        raise UnknownNameError("synthetic diagnosis", diagnosis, DIAGNOSES)
    key = np.random.SeedSequence((seed, number, DIAGNOSES.index(diagnosis)))
    rng = np.random.Generator(np.random.Philox(key))
    skin, layers = _skin(rng, px)
    lesion = _place(rng, diagnosis, px)
    _pigment(rng, layers, lesion)
    _STRUCTURES[diagnosis](rng, layers, lesion)
    return add_clutter(rng, _expose(rng, skin, layers))


def noise(rng: np.random.Generator, px: int, cells: int, octaves: int = 1, gain: float = 0.6) -> Field:
    """Smooth random field float32 [px, px], about zero mean and unit variance, `cells` bumps across."""
    total = rng.standard_normal((cells, cells), np.float32)
    for octave in range(1, octaves):
        count = cells << octave
        finer = rng.standard_normal((count, count), np.float32)
        total = cv2.resize(total, (count, count), interpolation=cv2.INTER_CUBIC) + gain**octave * finer
    power = sum(gain ** (2 * octave) for octave in range(octaves))
    rule = cv2.INTER_CUBIC if len(total) < px else cv2.INTER_AREA
    full = cv2.resize(total / np.float32(0.75 * power**0.5), (px, px), interpolation=rule)
    return np.asarray(full, np.float32)


def smoothstep(value: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, smooth between (3t² − 2t³)."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _skin(rng: np.random.Generator, px: int) -> tuple[Field, _Layers]:
    """The colour of the bare skin float32 [3] and the pigment it holds without a lesion."""
    base = _SKIN[rng.choice(len(_SKIN), p=_SKIN_SHARE)] * rng.uniform(0.92, 1.06)
    cast = _CAST[rng.choice(len(_CAST), p=(0.40, 0.30, 0.18, 0.12))]
    colour = base * (1 + (cast - 1) * rng.uniform(0.5, 1.2)) * rng.uniform(0.96, 1.04, 3)
    mottle, fine = noise(rng, px, 9, 3), noise(rng, px, 40, 2)
    sun_damage, flush = rng.beta(1.3, 4), rng.uniform(0.02, 0.10)
    vessels = np.exp(-((noise(rng, px, 11, 2) / 0.10) ** 2)) * smoothstep(noise(rng, px, 4), 0, 1.5)
    return colour.astype(np.float32), _Layers(
        melanin=0.025 * fine + (0.02 + 0.16 * sun_damage) * np.maximum(mottle + 0.5, 0) + 0.03,
        deep=np.zeros((px, px), np.float32),
        blood=flush * noise(rng, px, 4, 2) + 0.02 * fine + 0.1 + rng.beta(1, 5) * 0.6 * vessels,
        scar=(0.10 * rng.uniform(0, 1) * np.maximum(noise(rng, px, 30), 0)).astype(np.float32),
        veil=np.zeros((px, px), np.float32),
    )


def _place(rng: np.random.Generator, diagnosis: str, px: int) -> _Lesion:
    """Where the lesion lies: an ellipse bent by harmonics of the angle and by a warp of the plane."""
    atypia = float(rng.beta(*_ATYPIA[diagnosis]))
    radius = float(np.exp(rng.normal(np.log(0.48), 0.28)) * (0.96 + 0.10 * atypia))
    x, y = grid(px)
    warp = (0.03 + 0.12 * atypia) * radius
    x = x - rng.normal(0, 0.08) + warp * noise(rng, px, 5, 2)
    y = y - rng.normal(0, 0.08) + warp * noise(rng, px, 5, 2)
    turn, stretch = rng.uniform(0, np.pi), np.exp(rng.normal(0, 0.16))
    u = (np.cos(turn) * x + np.sin(turn) * y) * stretch
    v = (np.cos(turn) * y - np.sin(turn) * x) / stretch
    angle = np.arctan2(v, u)
    outline = _outline(rng, diagnosis, atypia)
    steps = ((angle / (2 * np.pi) + 0.5) * (len(outline) - 1)).astype(np.int32)
    depth = 1 - np.hypot(u, v) / (radius * outline[steps])
    softness = np.exp(rng.normal(np.log(0.09 if diagnosis == "bkl" else 0.20), 0.4))
    ragged = depth + (0.05 + 0.08 * atypia) * noise(rng, px, 14, 3)
    inside = smoothstep(ragged.astype(np.float32), -softness, softness)
    return _Lesion(
        atypia=atypia,
        radius=radius,
        inside=inside,
        depth=np.clip(depth, 0, 1).astype(np.float32),
        angle=angle.astype(np.float32),
    )


def _outline(rng: np.random.Generator, diagnosis: str, atypia: float) -> Field:
    """Radius over 512 angles, float32 around 1: few waves for asymmetry, many for an irregular border."""
    angles = np.linspace(-np.pi, np.pi, 512)
    waves = np.arange(1, 24)
    asymmetry = (0.02 + 0.15 * atypia * rng.uniform(0.4, 1.3)) * (waves <= 4) / waves
    border = (0.03 + 0.24 * atypia * rng.uniform(0.4, 1.3)) * (waves > 4) / waves
    scallops = 0.05 * (waves > 8) / waves * (diagnosis == "bkl")
    phases = rng.uniform(0, 2 * np.pi, len(waves))
    heights = (asymmetry + border + scallops) * rng.standard_normal(len(waves))
    bent = 1 + (heights[:, None] * np.cos(waves[:, None] * angles + phases[:, None])).sum(axis=0)
    return np.asarray(np.maximum(bent, 0.35), np.float32)


def _pigment(rng: np.random.Generator, layers: _Layers, lesion: _Lesion) -> None:
    """The body of the lesion: its darkness, and colours in rings (orderly) or in patches (atypical)."""
    px = len(lesion.inside)
    darkness = np.exp(rng.normal(np.log(0.95), 0.36))
    texture = 1 + 0.20 * noise(rng, px, 12, 3)
    rings = rng.normal(0.1, 0.45) * (lesion.depth - 0.4)
    layers.melanin += darkness * lesion.inside * np.maximum(texture + rings, 0.1)
    layers.blood += rng.uniform(-0.1, 0.5) * lesion.inside
    for _ in range(rng.binomial(5, 0.04 + 0.80 * lesion.atypia**1.5)):
        _patch(rng, layers, lesion, darkness)


def _patch(rng: np.random.Generator, layers: _Layers, lesion: _Lesion, darkness: float) -> None:
    """One more colour, off centre: darker, lighter, red, deep blue-grey or scar-like white."""
    px = len(lesion.inside)
    x, y = grid(px)
    angle, reach = rng.uniform(0, 2 * np.pi), lesion.radius * rng.uniform(0.25, 0.8)
    away = np.hypot(x - reach * np.cos(angle), y - reach * np.sin(angle)) / lesion.radius
    size = rng.uniform(0.30, 0.60)
    where = smoothstep(size - away + 0.20 * noise(rng, px, 8, 3), -0.22, 0.22) * lesion.inside
    kind = rng.choice(5, p=(0.34, 0.24, 0.14, 0.16, 0.12))
    if kind == 0:
        layers.melanin += rng.uniform(0.5, 1.6) * where
    elif kind == 1:
        layers.melanin -= rng.uniform(0.4, 0.8) * darkness * where
    elif kind == 2:
        layers.blood += rng.uniform(0.5, 1.1) * where
    elif kind == 3:
        layers.deep += rng.uniform(0.4, 1.2) * where
    else:
        layers.scar += rng.uniform(0.2, 0.55) * where


def _network(rng: np.random.Generator, layers: _Layers, lesion: _Lesion, order: float) -> None:
    """A honeycomb of pigment (three crossed waves): even when `order` is 1, bent and patchy when it is 0."""
    px = len(lesion.inside)
    bend = 0.6 + 2.2 * (1 - order)
    x, y = grid(px)
    pitch, turn = rng.uniform(44, 70), rng.uniform(0, np.pi)
    wave = np.zeros((px, px), np.float32)
    shifts = noise(rng, px, 6, 2), noise(rng, px, 6, 2)
    for third in range(3):
        c, s = np.cos(turn + third * np.pi / 3), np.sin(turn + third * np.pi / 3)
        wave += np.cos(pitch * (c * x + s * y) + bend * (c * shifts[0] + s * shifts[1]))
    patchy = smoothstep(noise(rng, px, 4), -1.2 + 1.2 * (1 - order), 0.4 + 0.6 * (1 - order))
    amount = rng.uniform(0.2, 0.6) * lesion.inside * patchy
    layers.melanin += amount * (np.clip(0.4 - wave, -1, 1) * 0.8).astype(np.float32)


def _dots(
    rng: np.random.Generator, lesion: _Lesion, *, count: int, order: float, size: tuple[float, float]
) -> Field:
    """Round spots float32 [px, px] 0 to 1 inside the lesion: of one size when `order` is 1, of any when 0."""
    px = len(lesion.inside)
    canvas = np.zeros((px, px), np.uint8)
    radii = rng.uniform(*size, count) * (1 + (1 - order) * rng.uniform(-0.6, 1.4, count))
    reach = lesion.radius * np.sqrt(rng.uniform(0.0, 1.0, count)) * (0.85 + 0.25 * (1 - order))
    middle = rng.uniform(0, 2 * np.pi)
    turns = middle + (np.pi * (0.35 + 0.65 * order)) * rng.uniform(-1, 1, count)
    for radius, far, turn in zip(radii, reach, turns, strict=True):
        centre = ((1 + far * np.cos(turn)) * px / 2 * 16, (1 + far * np.sin(turn)) * px / 2 * 16)
        spot = (round(centre[0]), round(centre[1]))
        cv2.circle(canvas, spot, max(round(radius * px / 2 * 16), 8), 255, -1, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), px / 260) * (lesion.inside / 255), np.float32)


def _streaks(rng: np.random.Generator, layers: _Layers, lesion: _Lesion) -> None:
    """Radial strokes at one side of the border."""
    spokes = np.cos(lesion.angle * int(rng.integers(20, 34)) + 3 * noise(rng, len(lesion.angle), 6))
    side = smoothstep(np.cos(lesion.angle - rng.uniform(0, 2 * np.pi)).astype(np.float32), 0.2, 0.8)
    rim = smoothstep(lesion.depth, 0.0, 0.08) * smoothstep(0.4 - lesion.depth, 0.0, 0.25)
    layers.melanin += rng.uniform(0.7, 1.5) * side * rim * lesion.inside * np.maximum(spokes, 0)


def _melanocytic(rng: np.random.Generator, layers: _Layers, lesion: _Lesion) -> None:
    """Network, globules and, the more so the more atypical, streaks and a blue-white veil."""
    order = float(np.clip(1 - lesion.atypia + rng.normal(0, 0.10), 0, 1))
    if rng.random() < 0.85:
        _network(rng, layers, lesion, order)
    if rng.random() < 0.45:
        count = int(rng.integers(8, 40))
        dots = _dots(rng, lesion, count=count, order=order, size=(0.018, 0.034))
        layers.melanin += rng.uniform(0.5, 1.2) * dots
    if rng.random() < 0.9 * lesion.atypia**1.5:
        _streaks(rng, layers, lesion)
    if rng.random() < 0.95 * lesion.atypia**2:
        cloud = smoothstep(noise(rng, len(lesion.inside), 4, 3), -0.2, 1.6)
        layers.veil += rng.uniform(0.35, 0.8) * cloud * smoothstep(lesion.depth, 0.1, 0.4)


def _keratosis(rng: np.random.Generator, layers: _Layers, lesion: _Lesion) -> None:
    """A stuck-on plaque: ridges and fissures, bright milia-like cysts, dark comedo-like openings."""
    px = len(lesion.inside)
    ridges = np.abs(noise(rng, px, int(rng.integers(7, 13)), 2))
    fissures = np.exp(-((ridges / 0.16) ** 2)).astype(np.float32)
    layers.melanin += rng.uniform(-0.1, 0.9) * fissures * lesion.inside
    layers.melanin -= rng.uniform(0.1, 0.4) * lesion.inside
    layers.blood -= 0.15 * lesion.inside
    layers.scar += rng.uniform(0, 0.22) * lesion.inside
    if rng.random() < 0.7:
        cysts = _dots(rng, lesion, count=int(rng.integers(4, 24)), order=0.7, size=(0.012, 0.026))
        layers.scar += rng.uniform(0.4, 0.8) * cysts
    if rng.random() < 0.5:
        openings = _dots(rng, lesion, count=int(rng.integers(3, 16)), order=0.6, size=(0.02, 0.04))
        layers.melanin += rng.uniform(0.8, 1.8) * openings


_STRUCTURES = {"mel": _melanocytic, "nv": _melanocytic, "bkl": _keratosis}


def _expose(rng: np.random.Generator, skin: Field, layers: _Layers) -> Field:
    """The light that comes back, float32 RGB [px, px, 3], 0 to about 1."""
    melanin, deep = np.maximum(layers.melanin, 0), np.maximum(layers.deep, 0)
    blood = np.maximum(layers.blood, 0)
    pigment = np.stack([melanin, deep, blood], axis=-1)
    light = skin * np.exp(-(pigment @ np.stack([_MELANIN, _DEEP, _BLOOD])))
    white = rng.uniform(0.9, 1.0) * _SCAR * skin.max()
    light += np.clip(layers.scar, 0, 0.8)[..., None] * (white - light)
    light += np.clip(layers.veil, 0, 0.8)[..., None] * (_VEIL * skin.max() - light)
    return np.asarray(light, np.float32)
