"""Fields that came later leave the keys of earlier runs as they were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drawn_experiment import BASE
from edgekd.config import Answers
from edgekd.config.later import as_before
from edgekd.plain import to_plain

LATER = {
    "data": ({"teacher_px"}, replace(BASE.data, teacher_px=32)),
    "teach": ({"folds", "repeats"}, replace(BASE.teach, folds=2, repeats=3)),
    "distill": ({"answers"}, replace(BASE.distill, answers=Answers.ONLINE)),
}


@pytest.mark.parametrize("station", LATER)
def test_a_later_field_is_told_only_where_it_changes_something(station: str) -> None:
    fields, changed = LATER[station]
    before, plain = as_before(station, getattr(BASE, station)), to_plain(getattr(BASE, station))
    assert set(plain) - set(before) == fields
    assert as_before(station, changed) == to_plain(changed)
