"""Logits and scores of a whole split, from any runtime."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.console import progress
from edgekd.data.census import age_band
from edgekd.data.dataset import Samples
from edgekd.errors import ModelError
from edgekd.metrics.predictions import Predictions
from edgekd.runtimes.base import Features, Runtime, beside

BATCH = 32


class Images(Protocol):
    """Prepared images that can be read by number, as `edgekd.data.store.ImageStore`."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images [n, px, px, 3] with these numbers."""


def predict(
    runtime: Runtime,
    images: Images,
    features: Features | None = None,
    *,
    label: str = "",
    batch: int = BATCH,
    limit: int | None = None,
) -> NDArray[np.float32]:
    """The logits [n, k] of all `images` (of the first `limit`), read `batch` at a time.

    `features` [n, f] are their patient vectors; none, or f = 0, for a model of pictures alone.

    Raises:
        ModelError: images or features do not fit the runtime's inputs.
    """
    total = len(images) if limit is None else min(limit, len(images))
    output = np.empty((total, runtime.n_logits), np.float32)
    with progress(label or f"predict ({runtime.engine.kernels})", total, "images") as advance:
        for begin in range(0, total, batch):
            numbers = np.arange(begin, min(begin + batch, total))
            known = () if features is None else beside(features[numbers])
            output[numbers] = runtime.logits(images.read(numbers), *known)
            advance(len(numbers), "")
    return output


def run(
    runtime: Runtime,
    samples: Samples,
    *,
    classes: tuple[str, ...],
    malignant: tuple[str, ...],
    label: str = "",
) -> Predictions:
    """The predictions of `runtime` on every image of `samples`; its outputs are named by `classes`.

    Raises:
        ModelError: the images do not fit the runtime's input, or an output is not finite.
    """
    logits = predict(runtime, samples.images, samples.features, label=label)
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if broken.size:
        raise ModelError(
            f"the network's outputs are not finite on {broken.size} of {len(logits)} images, first "
            f"{samples.rows[broken[0]].image_id}: its weights are broken or its arithmetic overflows"
        )
    return Predictions(
        image_ids=tuple(samples.ids()),
        labels=samples.malignant,
        logits=logits,
        names=classes,
        malignant=malignant,
    )


def groups(samples: Samples) -> tuple[str | None, ...]:
    """What makes images dependent, one entry each: the patient, else the lesion, else None."""
    return tuple(row.patient or row.lesion for row in samples.rows)


def attributes(samples: Samples) -> dict[str, tuple[str | None, ...]]:
    """The subgroups figures are given for: age band, sex, site and source of each image."""
    rows = samples.rows
    return {
        "age": tuple(age_band(row.age) for row in rows),
        "sex": tuple(row.sex for row in rows),
        "site": tuple(row.site for row in rows),
        "source": tuple(row.source for row in rows),
    }
