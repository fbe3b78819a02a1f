"""What Python hands to the Kotlin library: pictures and pixels, logits and scores, bundles of real models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from command import edgekd
from edgekd.bundle.pictures import drawn, odd_shapes
from edgekd.card import ModelCard, OperatingPoint
from edgekd.config import Precision
from edgekd.imaging.quality import colour_bits, measure
from edgekd.imaging.resample import prepare, resize
from edgekd.metrics.predictions import malignancy_score
from edgekd.models.catalogue import CORE
from edgekd.models.scaling import Scaling, scale
from edgekd.patient_input import PatientInput
from edgekd.photo_quality import COLOURS, PhotoLimit, PhotoQuality

# Height × width → px: one pixel, lines, tiny, equal, enlarged, odd, far from square, huge sides, a photo.
SHAPES = (
    *((1, 1, 1), (1, 1, 224), (2, 2, 1), (1, 7, 5), (7, 1, 5), (2, 3, 96), (3, 2, 31), (5, 5, 5), (9, 4, 4)),
    *((31, 33, 32), (32, 32, 224), (99, 101, 50), (224, 224, 224), (225, 223, 224), (223, 225, 224)),
    *((224, 448, 224), (300, 225, 224), (449, 449, 224), (97, 480, 96), (640, 480, 96), (480, 640, 224)),
    *(
        (767, 1022, 224),
        (1000, 1000, 1),
        (601, 450, 299),
        (450, 600, 320),
        (1536, 2048, 224),
        (200, 200, 512),
    ),
    *((10_000, 3, 7), (3, 10_000, 7), (60, 9001, 48), (9973, 61, 61), (2, 50_000, 2), (3000, 4000, 224)),
)
# Without the crop, so that the two passes have coefficients of their own.
DISTORTED = ((1, 9, 6), (9, 1, 6), (10_000, 2, 40), (2, 10_000, 40), (111, 640, 224), (640, 111, 97))
REAL_PX = 224
LABELS, MALIGNANT = ("mel", "nv", "bkl"), ("mel",)

Pixels = NDArray[np.uint8]


def pictures(height: int, width: int, seed: int) -> Iterator[Pixels]:
    """Noise, and what noise never shows: black and white stripes of one pixel."""
    rng = np.random.Generator(np.random.PCG64(seed))
    yield rng.integers(0, 256, (height, width, 3), np.uint8)
    if height * width < 1_000_000:
        stripes = (np.add.outer(np.arange(height), np.arange(width)) % 2 * 255).astype(np.uint8)
        yield np.stack([stripes, 255 - stripes, stripes & 1], axis=2)


def write_vectors(folder: Path, real: Sequence[Pixels] = ()) -> int:
    """Write pictures, expected pixels, logits and expected scores; the number of bytes to compare."""
    rows: list[str] = []
    total = 0
    for way, make, shapes in (("prepare", prepare, SHAPES), ("resize", resize, DISTORTED)):
        for number, (height, width, px) in enumerate(shapes):
            for picture in pictures(height, width, number):
                total += _write(folder, rows, way, picture, make(picture, px))
    for picture in real:
        total += _write(folder, rows, "prepare", picture, prepare(picture, REAL_PX))
    (folder / "index.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    _write_scores(folder / "scores.bin")
    _write_quality(folder, real)
    return total


def _write(folder: Path, rows: list[str], way: str, picture: Pixels, expected: Pixels) -> int:
    height, width = picture.shape[:2]
    name = f"{len(rows):03d}"
    (folder / f"{name}.in").write_bytes(picture.tobytes())
    (folder / f"{name}.out").write_bytes(expected.tobytes())
    rows.append(f"{way} {width} {height} {expected.shape[0]} {name}")
    return expected.size


def _write_quality(folder: Path, real: Sequence[Pixels]) -> None:
    """Pictures as a network sees them and what is measured of them; a third of the colours is known."""
    rng = np.random.Generator(np.random.PCG64(6))
    colours = colour_bits(rng.random(COLOURS) < 1 / 3)
    shown = [
        *real,
        *(picture.pixels for picture in [*drawn(8), *odd_shapes()]),
        np.zeros((9, 9, 3), np.uint8),
    ]
    rows = [colours]
    for number, picture in enumerate([*shown, *(255 - one for one in shown)]):
        pixels = prepare(picture, (32, 33, 47, 48, 96, 224, 299)[number % 7])
        name = f"photo-{number:03d}"
        (folder / name).write_bytes(pixels.tobytes())
        values = " ".join(repr(value) for value in measure(pixels, colours).values())
        rows.append(f"{len(pixels)} {name} {values}")
    (folder / "quality.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _write_scores(path: Path, temperature: float = 2.0) -> None:
    """Ordinary, tiny, huge, equal and opposite logits; score and probability in float64."""
    rng = np.random.Generator(np.random.PCG64(5))
    sizes = np.repeat([1e-30, 1e-3, 1.0, 10.0, 1e3, 1e10, 1e38], 300)[:, None]
    most = float(np.finfo(np.float32).max)
    corners = [0.0, -0.0, 1e-45, 88.7, -88.7, 709.8, -745.2, most, -most]
    corner = np.array(np.meshgrid(corners, corners, corners)).reshape(3, -1).T
    logits = np.concatenate([rng.standard_normal((len(sizes), 3)).clip(-3, 3) * sizes, corner])
    logits = logits.clip(-most, most).astype(np.float32)
    scores = malignancy_score(logits, LABELS, MALIGNANT)
    table = np.zeros(len(logits), [("logits", "<f4", 3), ("score", "<f8"), ("probability", "<f8")])
    table["logits"], table["score"] = logits, scores
    table["probability"] = expit(scores / temperature)
    path.write_bytes(table.tobytes())


def network(px: int) -> Any:
    """A small convolutional network whose weights make its answers differ: raw RGB in, logits out."""
    from edgekd import lazy

    keras = lazy.keras()
    keras.utils.set_random_seed(1)
    x = scaled = keras.Input((px, px, 3))
    for channels, stride in ((8, 2), (16, 1), (16, 2), (32, 2)):
        x = keras.layers.Conv2D(channels, 3, stride, padding="same", kernel_initializer="he_normal")(x)
        x = keras.layers.ReLU(6.0)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(len(LABELS), kernel_initializer=keras.initializers.RandomNormal(0, 1.5))(x)
    raw = keras.Input((px, px, 3))
    return keras.Model(raw, keras.Model(scaled, x, name=CORE)(scale(raw, Scaling.BYTE)))


def write_model(path: Path, precision: Precision, px: int) -> Path:
    """The file of `network` in `precision`."""
    from edgekd_converters.tflite import convert

    seen = np.random.Generator(np.random.PCG64(3)).integers(0, 256, (20, px, px, 3), np.uint8)
    path.write_bytes(convert(network(px), precision, seen))
    return path


def write_bundle_of(
    model: Path,
    folder: Path,
    precision: Precision,
    px: int,
    *,
    name: str = "",
    patient: PatientInput | None = None,
) -> Path:
    """The bundle for Android of `model`, made by `edgekd bundle`; its card has everything a card can have."""
    point = OperatingPoint(
        rule="sensitivity_at_least(0.9)",
        threshold=0.1,
        fitted_on="validation",
        borderline_halfwidth=0.5,
        borderline_rule="drawn",
    )
    quality = PhotoQuality(
        limits=(PhotoLimit(measure="sharpness", low=20.0, rule="drawn"),),
        colours="f" * (COLOURS // 4),
        fitted_on="validation",
        images=20,
        refused=1,
    )
    card = ModelCard(
        name=f"kotlin-{name or precision}",
        precision=precision,
        input_px=px,
        labels=LABELS,
        malignant=MALIGNANT,
        patient=patient,
        operating_point=point,
        temperature=1.3,
        quality=quality,
    )
    described = model.with_suffix(".json")
    described.write_text(card.to_json(), encoding="utf-8")
    made = edgekd("bundle", model, "--android", "--card", described, "--unverified", "--out", folder)
    if made.exit_code != 0:
        raise AssertionError(made.stderr)
    return folder
