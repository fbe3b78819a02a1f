"""`PhotoQuality`: within which limits a photo must lie to be judged at all, shipped inside the card.

What is measured is defined by `edgekd.imaging.quality` (`RULE`); here is what the figures mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekd.errors import UsageError

RULE = "edgekd.quality/1"
COLOURS = 32 * 32
"""How many kinds of colour `edgekd.imaging.quality` tells apart; a bit each in `PhotoQuality.colours`."""

_WORDS: Mapping[tuple[str, str], str] = {
    ("sharpness", "low"): "blurred",
    ("grain", "high"): "noisy",
    ("brightness", "low"): "too dark",
    ("clipped", "high"): "over-exposed",
    ("contrast", "low"): "no lesion to be seen",
    ("roughness", "high"): "too rough for skin: hair, text or something else",
    ("redness", "low"): "not the colour of skin",
    ("skin", "low"): "colours that skin does not have",
}


@dataclass(frozen=True, kw_only=True)
class PhotoLimit:
    """What one measure of a photo must hold: at least `low`, at most `high`; None: no limit on that side.

    `rule` says how the limit was found; `missed` is the share of the spoiled copies it was fitted against
    that would pass, None where there are none.
    """

    measure: str
    low: float | None = None
    high: float | None = None
    rule: str
    missed: float | None = None

    def __post_init__(self) -> None:
        side = "low" if self.high is None else "high"
        if (self.low is None) == (self.high is None) or (self.measure, side) not in _WORDS:
            known = ", ".join(f"{measure} ({end})" for measure, end in _WORDS)
            raise UsageError(f"photo limit {self.measure!r}: expected one end of one of {known}")


@dataclass(frozen=True, kw_only=True)
class PhotoQuality:
    """The limits of photos a model can judge, and the colours of skin it knows, as `rule` measures them.

    `colours` are `COLOURS` bits in hexadecimal, bit i (the highest of the first digit is 0) for colour i.
    Fitted on `images` pictures of the split `fitted_on`, of which `refused` lie outside a limit.
    """

    rule: str = RULE
    limits: tuple[PhotoLimit, ...]
    colours: str
    fitted_on: str
    images: int
    refused: int

    def __post_init__(self) -> None:
        if self.rule != RULE:
            raise UsageError(f"photo quality: measured by {self.rule!r}, known here is {RULE!r}")
        if len(self.colours) != COLOURS // 4 or set(self.colours) - set("0123456789abcdef"):
            raise UsageError(f"photo quality: colours are not {COLOURS // 4} hexadecimal digits")


@dataclass(frozen=True, kw_only=True)
class PhotoFlag:
    """One limit a photo does not hold: what was measured, the limit, and `reason` in plain words."""

    measure: str
    value: float
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Photo:
    """What was measured of a photo, by name, and every limit it does not hold, in the order of the card."""

    values: dict[str, float]
    flags: tuple[PhotoFlag, ...]

    @property
    def reason(self) -> str:
        """Why the photo cannot be judged, in one line; empty when it can."""
        return "; ".join(flag.reason for flag in self.flags)


def look(quality: PhotoQuality, values: Mapping[str, float]) -> Photo:
    """What `values` (by the name of their measure) say of a photo under the limits of a card."""
    flags = (_flag(limit, values[limit.measure]) for limit in quality.limits)
    return Photo(values=dict(values), flags=tuple(flag for flag in flags if flag))


def _flag(limit: PhotoLimit, value: float) -> PhotoFlag | None:
    if limit.low is not None and value < limit.low:
        bound, side = f"at least {limit.low:.3g}", "low"
    elif limit.high is not None and value > limit.high:
        bound, side = f"at most {limit.high:.3g}", "high"
    else:
        return None
    reason = f"{_WORDS[limit.measure, side]} ({limit.measure} {value:.3g}, {bound} expected)"
    return PhotoFlag(measure=limit.measure, value=value, low=limit.low, high=limit.high, reason=reason)
