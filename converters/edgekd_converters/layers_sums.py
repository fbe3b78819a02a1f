"""Running sums from which signal-to-noise ratios and cosines follow, without keeping a value."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

CEILING_DB = 200.0
"""What a ratio without any noise is given as; its negative for noise without any signal."""


class Sums:
    """Sums by channel over pairs of arrays, exact f and rounded q; their size is the number of channels."""

    def __init__(self) -> None:
        self._count = 0
        self._signal = self._noise = self._rounded = self._product = self._shift = np.zeros(1)

    def add(self, exact: Reals, rounded: Reals) -> None:
        """One more pair, channels last."""
        f, q = (values.reshape(-1, values.shape[-1]) for values in (exact, rounded))
        self._count += len(f)
        self._signal = self._signal + (f * f).sum(axis=0)
        self._noise = self._noise + ((f - q) ** 2).sum(axis=0)
        self._rounded = self._rounded + (q * q).sum(axis=0)
        self._product = self._product + (f * q).sum(axis=0)
        self._shift = self._shift + (f - q).sum(axis=0)

    @property
    def sqnr_db(self) -> float:
        """Signal to noise, Σ f² / Σ (f − q)², over all channels."""
        return decibels(float(self._signal.sum()), float(self._noise.sum()))

    @property
    def cosine(self) -> float:
        """The cosine of the angle between the two; 1 for two equal ones, 0 where one is nothing but zeros."""
        if not self._noise.any():
            return 1.0
        length = math.sqrt(self._signal.sum() * self._rounded.sum())
        return float(np.clip(self._product.sum() / length, -1, 1)) if length > 0 else 0.0

    @property
    def channel_loss(self) -> float:
        """The mean over channels of noise / signal, at most 1 each."""
        share = np.divide(self._noise, self._signal, out=(self._noise > 0) * 1.0, where=self._signal > 0)
        return float(np.minimum(share, 1.0).mean())

    @property
    def shift(self) -> float:
        """The share of the noise that is the same for all values of a channel: Σ n·mean² / Σ (f − q)²."""
        noise = float(self._noise.sum())
        return float((self._shift**2).sum()) / self._count / noise if noise > 0 else 0.0


def decibels(signal: float, noise: float) -> float:
    """10·log₁₀(signal / noise), within ±`CEILING_DB`."""
    if noise <= 0:
        return CEILING_DB
    if signal <= 0:
        return -CEILING_DB
    return max(-CEILING_DB, min(CEILING_DB, 10 * math.log10(signal / noise)))
