"""How far the score of one lesion moves from one photo to the next, seen on validation images.

A second view of an image stands in for a second photo: turned, shifted, zoomed and lit a little otherwise.
The band around the threshold is as wide as a share of `SHARE` of the images moves at most: nearer to the
threshold another photo of the same lesion may well be called otherwise. Real repeated photos differ in more
(focus, pressure, glare), so the band is a lower bound of what a phone does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.config import AugmentConfig
from edgekd.data.dataset import Samples
from edgekd.data.store import ImageStore
from edgekd.data.table import Row, image_key
from edgekd.errors import ModelError
from edgekd.imaging.augment import augment
from edgekd.metrics.predictions import Predictions, malignancy_score
from edgekd.runtimes.base import Runtime
from edgekd.runtimes.predict import predict

SHARE = 0.9
FEWEST, MOST = 50, 500
"""With fewer images there is no band; of more the first by their key are looked at, which stays cheap."""

VIEW = AugmentConfig(
    crop_scale_min=1.0,
    flips=False,
    quarter_turns=False,
    brightness=0.05,
    contrast=0.05,
    saturation=0.0,
    hue=0.0,
    rotation_degrees=10.0,
    zoom=0.05,
    shift=0.03,
)
_SEED = 20


@dataclass(frozen=True, kw_only=True)
class Band:
    """Half the width of the band around the threshold, in score units, and the rule that gave it in words."""

    halfwidth: float
    rule: str


def fit_band(runtime: Runtime, samples: Samples, first: Predictions, *, label: str) -> Band | None:
    """The band of `runtime`, whose answers to `samples` are `first`; one more run on at most `MOST` images.

    None: fewer than `FEWEST` images.

    Raises:
        ModelError: the model failed on an image, or an answer is not finite.
    """
    if len(samples) < FEWEST:
        return None
    chosen = sorted(range(len(samples)), key=lambda n: image_key(samples.rows[n].image_id))[:MOST]
    views = _Views(samples.images, samples.rows, chosen)
    logits = predict(runtime, views, samples.features[chosen], label=f"{label}, second views")
    if not np.isfinite(logits).all():
        raise ModelError(f"{label}: the answer to a second view is not finite")
    moved = np.abs(malignancy_score(logits, first.names, first.malignant) - first.score[chosen])
    # The smallest move that at least `SHARE` of the images do not exceed.
    halfwidth = float(np.quantile(moved, SHARE, method="inverted_cdf"))
    return Band(halfwidth=halfwidth, rule=_rule(len(chosen), samples.split))


def _rule(count: int, split: str) -> str:
    view = VIEW
    return (
        f"second_view({SHARE:g}): {SHARE:.0%} of {count} {split} images move by at most this if seen again, "
        f"turned by up to {view.rotation_degrees:g} degrees, shifted by {view.shift:.0%}, zoomed by "
        f"{view.zoom:.0%}, brightness and contrast by {view.brightness:.0%}"
    )


class _Views:
    """The second views of some images of a store, made as they are read."""

    def __init__(self, images: ImageStore, rows: Sequence[Row], chosen: Sequence[int]) -> None:
        self._images, self._rows, self._chosen = images, rows, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The views [n, px, px, 3] of the images with these numbers among the chosen ones."""
        return np.stack([self._view(self._chosen[int(index)]) for index in indices])

    def _view(self, number: int) -> NDArray[np.uint8]:
        return augment(
            self._images.image(number),
            px=self._images.px,
            config=VIEW,
            seed=_SEED,
            image_key=image_key(self._rows[number].image_id),
            variant=0,
        )
