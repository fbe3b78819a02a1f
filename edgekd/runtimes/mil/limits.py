"""Limits that keep a hostile program from taking all memory or time; no image classifier comes near them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from edgekd.errors import ModelError

MAX_ELEMENTS = 1 << 26
"""The elements of one tensor, 256 MiB of float32."""

MAX_LIVE_ELEMENTS = 1 << 28
"""The elements of all tensors that are held at one time."""

_MAX_WORK = 2 * 10**11
_ELEMENT_WORK = 8  # what one element of an elementwise operation costs, in products of a matrix product


@dataclass(slots=True)
class Work:
    """The work left for one image, in products of a matrix product."""

    left: int = _MAX_WORK

    def spend(self, products: int = 0, elements: int = 0) -> None:
        """Count what is about to be computed."""
        self.left -= products + _ELEMENT_WORK * elements
        if self.left < 0:
            raise ModelError(f"more than {_MAX_WORK:.0e} products for one image")


def check_size(shape: Iterable[int]) -> None:
    """Nothing, when a tensor of `shape` may be made.

    Raises:
        ModelError: it has a negative side or too many elements.
    """
    sides = tuple(shape)
    if min((0, *sides)) < 0 or math.prod(sides) > MAX_ELEMENTS:
        raise ModelError(f"a tensor of shape {list(sides)!s:.100}, expected at most {MAX_ELEMENTS} elements")
