"""TFRecord shards in the SIIM-ISIC layout, made by hand: small pictures, numbers for words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data.tfrecord.example import Value, serialize
from edgekd.data.tfrecord.framing import write_record
from edgekd.data.tfrecord.source import TfRecordSource

SIDE = 24


def picture(number: int) -> np.ndarray:
    """Noise uint8 [24, 24, 3], another for every number."""
    return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def png(number: int) -> bytes:
    return cv2.imencode(".png", picture(number)[..., ::-1])[1].tobytes()


def record(number: int, **changes: Value | None) -> dict[str, Value]:
    """What the published files hold of an image, every third malignant; None leaves a feature out."""
    features: dict[str, Value | None] = {
        "image": png(number),
        "image_name": f"ISIC_{number:07d}".encode(),
        "patient_id": number // 2,
        "sex": number % 2,
        "age_approx": 30 + 5 * number,
        "anatom_site_general_challenge": number % 6,
        "diagnosis": 2 if number % 3 == 0 else 1,
        "target": int(number % 3 == 0),
        "width": SIDE,
        "height": SIDE,
        **changes,
    }
    return {name: value for name, value in features.items() if value is not None}


def write(path: Path, *features: Mapping[str, Value]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for one in features:
            write_record(file, serialize(one))
    return path


def source(root: Path, malignant: tuple[str, ...] = DataConfig.malignant) -> TfRecordSource:
    config = SourceConfig(name="siim", kind=SourceKind.TFRECORD, root=str(root))
    return TfRecordSource(config, malignant=malignant)
