"""Dark hairs taken out of a picture, by the recipe its configuration names.

`adepu2023` is the published recipe to the byte (`edgekd.imaging.hair_published`), `oriented` a gentler one
(`edgekd.imaging.hair_oriented`). Both are pure functions of the pixels; what they find and what they do to
clean skin is measured by `bench/throughput/hair.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgekd.config import HairRemoval
from edgekd.errors import UsageError
from edgekd.imaging import hair_oriented, hair_published

Pixels = NDArray[np.uint8]


def remove_hair(image: Pixels, method: HairRemoval) -> Pixels:
    """`image` (uint8 RGB [H, W, 3]) without its hairs, of the same shape; it is left as it is.

    Where there is nothing to do the result may be `image` itself.

    Raises:
        UsageError: `image` is something else or empty.
    """
    return _REMOVE[method](_checked(image))


def hair_mask(image: Pixels, method: HairRemoval) -> Pixels:
    """Which pixels of `image` (uint8 RGB [H, W, 3]) `method` takes for hair: uint8 [H, W], 255 or 0.

    Raises:
        UsageError: `image` is something else or empty.
    """
    return _FIND[method](_checked(image))


def _checked(image: Pixels) -> Pixels:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise UsageError(f"hair: expected uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    return image


_REMOVE: Mapping[HairRemoval, Callable[[Pixels], Pixels]] = {
    HairRemoval.NONE: lambda image: image,
    HairRemoval.ADEPU2023: hair_published.remove,
    HairRemoval.ORIENTED: hair_oriented.remove,
}
_FIND: Mapping[HairRemoval, Callable[[Pixels], Pixels]] = {
    HairRemoval.NONE: lambda image: np.zeros(image.shape[:2], np.uint8),
    HairRemoval.ADEPU2023: hair_published.find,
    HairRemoval.ORIENTED: hair_oriented.find,
}
