"""Fields that came later than the runs that are kept: set to what was done before, they change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekd.plain import to_plain

_LATER: Mapping[str, Mapping[str, Any]] = {
    "data": {"teacher_px": 0},
    "teach": {"folds": 0, "repeats": 1},
    "distill": {"answers": "cached"},
}
"""Station → field → the value that means what was done before there was the field."""


def as_before(station: str, config: Any) -> dict[str, Any]:
    """`config` of `station` as plain JSON, without the later fields that leave everything as it was.

    What a key or a digest is made of, so that runs and trainings from before stay fresh.
    """
    later = _LATER.get(station, {})
    plain = to_plain(config).items()
    return {name: value for name, value in plain if name not in later or later[name] != value}
