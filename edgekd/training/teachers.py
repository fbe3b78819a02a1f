"""Teachers that answer otherwise than from a store of the student's own views.

They are what `edgekd.training.teacher_cache` is compared with: asked again in every step, or heard once about
the whole picture (the "fixed teacher" of Beyer et al. 2022).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekd.config import AugmentConfig
from edgekd.data.batches import Batch
from edgekd.plain import digest
from edgekd.runtimes.base import Runtime, beside
from edgekd.training.teacher_cache import TeacherCache, Views

WHOLE_PICTURE = AugmentConfig(
    crop_scale_min=1.0,
    flips=False,
    quarter_turns=False,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    hue=0.0,
)
"""No augmentation: a view is the stored picture, scaled."""


class OnlineTeacher:
    """The mean of `teachers`, asked about every batch of `views`; nothing is stored.

    A teacher of another side than the student's is shown the same views at its own. `answering` bool
    [members, n] says which of them answers for which training image (None: all for all).
    """

    def __init__(
        self,
        teachers: Sequence[Runtime],
        digests: Sequence[str],
        views: Views,
        answering: NDArray[np.bool_] | None = None,
    ) -> None:
        self._teachers, self._digests, self._answering = tuple(teachers), tuple(digests), answering
        self._views = views

    @property
    def identity(self) -> str:
        """A digest of who is asked."""
        who = "" if self._answering is None else hashlib.sha256(self._answering.tobytes()).hexdigest()
        return digest(["online", *self._digests, who])

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """The mean of the raw logits [b, k] of those who answer for each picture."""
        shown = {px: self._at(px, batch) for px in {one.input_px for one in self._teachers}}
        said = np.stack([one.logits(shown[one.input_px], *beside(batch.features)) for one in self._teachers])
        heard = True if self._answering is None else self._answering[:, batch.index, None]
        return np.asarray(said.mean(axis=0, dtype=np.float64, where=heard), np.float32)

    def _at(self, px: int, batch: Batch) -> NDArray[np.uint8]:
        """The views of `batch` at the side `px`, uint8 [b, px, px, 3]."""
        if px == batch.images.shape[1]:
            return batch.images
        again = self._views.show(batch.index, batch.variant, px)
        return np.concatenate([part.images for part in again])


class FixedTeacher:
    """One answer for each picture, that of `cache` for its variant 0, whatever view the student sees."""

    def __init__(self, cache: TeacherCache) -> None:
        self._cache = cache

    @property
    def identity(self) -> str:
        """A digest of the answers."""
        return digest(["fixed", self._cache.identity])

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """The stored logits [b, k] for the pictures of `batch`."""
        return self._cache.logits(replace(batch, variant=np.zeros_like(batch.variant)))
