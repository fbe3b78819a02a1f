"""The committed digests of training views: a configuration of before must give the bytes of before.

Teachers' answers are stored by view, so that new kinds of augmentation must not change the old ones.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.config import AugmentConfig
from edgekd.imaging.augment import augment
from imaging_reference import noise

FILE = Path(__file__).parent / "augment" / "views.json"
CONFIGS = {
    "default": {},
    "all": {"cutout_count": 3, "microscope_probability": 0.5},
    "crop": {"crop_scale_min": 0.08, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
}


def _views(config: AugmentConfig) -> NDArray[np.uint8]:
    image = noise(64, 64, 11)
    views = [
        augment(image, px=48, config=config, seed=seed, image_key=key, variant=variant)
        for seed in (1, 2**40)
        for key in (3, 2**63)
        for variant in range(6)
    ]
    return np.stack(views)


def test_the_views_are_those_of_the_golden_file(regenerate_golden: bool) -> None:
    found = {
        name: hashlib.sha256(_views(AugmentConfig(**changes)).tobytes()).hexdigest()
        for name, changes in CONFIGS.items()
    }
    if regenerate_golden:
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    assert found == json.loads(FILE.read_text(encoding="utf-8"))
