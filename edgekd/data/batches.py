"""What the training loop eats: the draws of an epoch, and augmented batches made ahead by threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgekd.config import AugmentConfig, FitConfig
from edgekd.data.dataset import Samples
from edgekd.data.sampling import divide, generator, groups, visit
from edgekd.data.table import image_key
from edgekd.imaging.augment import augment

_THREADS = 2
_AHEAD = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draws:
    """The images to show, in order: `index` into the samples and `variant` of the augmentation, int64 [n]."""

    index: NDArray[np.int64]
    variant: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Images uint8 [b,px,px,3] with their class int32 [b], and the draws they come from, int64 [b] each.

    `features` float32 [b, f]: the patient vectors; f = 0 without patient data.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    features: NDArray[np.float32]
    index: NDArray[np.int64]
    variant: NDArray[np.int64]


def epoch_size(samples: Samples, fit: FitConfig) -> int:
    """How many images an epoch draws: `images_per_epoch`, in whole batches, and at least one batch."""
    wanted = fit.images_per_epoch or len(samples)
    return max(1, wanted // fit.batch_size) * fit.batch_size


def draws(
    samples: Samples,
    *,
    fit: FitConfig,
    shares: Mapping[str, float],
    seed: int,
    epoch: int,
    variants: int | None,
) -> Draws:
    """The draws of epoch number `epoch` (from 0), as `FitConfig` describes them; a pure function.

    Within a (source, class) every image is drawn once before any is drawn again, across epochs too. The
    variant is how often the image was drawn before in the whole schedule, modulo `variants` when given.

    Raises:
        UsageError: a source of `samples` has no share.
    """
    size = epoch_size(samples, fit)
    sources = [row.source for row in samples.rows]
    parts = groups(
        sources,
        samples.labels,
        shares=shares,
        class_power=fit.class_power,
        malignant=samples.malignant,
        positive_share=fit.positive_share,
    )
    begin, end = divide(parts, epoch * size), divide(parts, (epoch + 1) * size)
    found = [
        visit(part, int(first), int(last), seed) for part, first, last in zip(parts, begin, end, strict=True)
    ]
    order = generator(seed, "epoch", epoch).permutation(size)
    index = np.concatenate([images for images, _ in found])[order]
    variant = np.concatenate([times for _, times in found])[order]
    return Draws(index=index, variant=variant if variants is None else variant % variants)


class Batches:
    """The augmented batches of `draws`, in order, as an iterable that may be walked again.

    The last batch holds what is left. `threads` make up to `ahead` batches before they are asked for; they
    end with the iteration, however it ends, and an error of theirs is raised where its batch was due.
    The same draws and `seed` give the same bytes, whatever the number of threads.
    """

    def __init__(
        self,
        samples: Samples,
        draws: Draws,
        *,
        px: int,
        batch_size: int,
        config: AugmentConfig,
        seed: int,
        threads: int = _THREADS,
        ahead: int = _AHEAD,
    ) -> None:
        self._samples, self._draws, self._px, self._size = samples, draws, px, batch_size
        self._config, self._seed = config, seed
        self._threads, self._ahead = threads, ahead

    def __len__(self) -> int:
        return math.ceil(len(self._draws) / self._size)

    def __iter__(self) -> Iterator[Batch]:
        bounds = list(pairwise([*range(0, len(self._draws), self._size), len(self._draws)]))
        waiting: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="edgekd-batches")
        try:
            for first, last in bounds:
                waiting.append(pool.submit(self._make, first, last))
                if len(waiting) > self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _make(self, first: int, last: int) -> Batch:
        index, variant = self._draws.index[first:last], self._draws.variant[first:last]
        images = np.empty((len(index), self._px, self._px, 3), np.uint8)
        for image, sample, times in zip(images, index.tolist(), variant.tolist(), strict=True):
            image[...] = self._augmented(sample, times)
        labels, features = self._samples.labels[index], self._samples.features[index]
        return Batch(images=images, labels=labels, features=features, index=index, variant=variant)

    def _augmented(self, sample: int, variant: int) -> NDArray[np.uint8]:
        return augment(
            self._samples.images.image(sample),
            px=self._px,
            config=self._config,
            seed=self._seed,
            image_key=image_key(self._samples.rows[sample].image_id),
            variant=variant,
        )
