from __future__ import annotations

import pytest

from edgekd.data.census import age_band, census
from edgekd.data.table import Row


@pytest.mark.parametrize(
    ("age", "band"), [(None, None), (0, "0-29"), (29.9, "0-29"), (30, "30-49"), (69, "50-69"), (70, "70+")]
)
def test_age_bands(age: float | None, band: str | None) -> None:
    assert age_band(age) == band


def test_the_census_counts_in_the_bands_of_the_subgroups() -> None:
    ages = (None, 12.0, 30.0, 49.9, 85.0)
    rows = [
        Row(image_id=f"i{n}", path=f"{n}.png", diagnosis="nv", malignant=False, age=age, source="s")
        for n, age in enumerate(ages)
    ]
    found = census(rows, [None] * len(rows))["s"]
    assert found.ages == {"0-29": 1, "30-49": 2, "70+": 1, "unknown": 1}
