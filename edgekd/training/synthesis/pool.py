"""Earlier pictures for the discriminators, so that they do not chase the newest ones only."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from edgekd.data.sampling import generator

Pictures = NDArray[np.float32]


@final
class ImagePool:
    """Up to `size` made pictures (Shrivastava et al. 2017, arXiv 1612.07828, section 2.3).

    Until it is full every picture is kept and handed on. From then on, with probability ½, a kept one is
    handed on and the new one takes its place. All chance is a function of (`seed`, `name`, step).
    """

    def __init__(self, size: int, *, seed: int, name: str) -> None:
        self._size, self._seed, self._name = size, seed, name
        self.kept: list[Pictures] = []

    def exchange(self, made: Pictures, step: int) -> Pictures:
        """What a discriminator is shown at step number `step` instead of `made`, float32 [n, px, px, 3]."""
        chance = generator(self._seed, self._name, step)
        return np.stack([self._exchanged(picture, chance) for picture in made])

    def _exchanged(self, picture: Pictures, chance: np.random.Generator) -> Pictures:
        if len(self.kept) < self._size:
            self.kept.append(picture.copy())
            return picture
        if not self._size or chance.random() < 0.5:
            return picture
        number = int(chance.integers(self._size))
        earlier, self.kept[number] = self.kept[number], picture.copy()
        return earlier
