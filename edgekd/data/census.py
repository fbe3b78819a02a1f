"""Who is in a data set: diagnoses by split; ages, sexes, sites and picture sizes by source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import in_order

UNKNOWN = "unknown"
UNDIVIDED = "undivided"

_TOLD = ("age", "sex", "site", "patient", "lesion")
_AGE_BANDS, _OLDEST = ((30, "0-29"), (50, "30-49"), (70, "50-69")), "70+"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCensus:
    """One source: counts by age band, sex, site and size in pixels; `missing`: the share of rows without."""

    images: int
    malignant: int
    patients: int
    lesions: int
    ages: Mapping[str, int]
    sexes: Mapping[str, int]
    sites: Mapping[str, int]
    sizes: Mapping[str, int]
    missing: Mapping[str, float]


def split_counts(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """How many images of each diagnosis are in each split, `undivided` last."""
    found = Counter((str(row.split or UNDIVIDED), row.diagnosis) for row in rows)
    classes = in_order(row.diagnosis for row in rows)
    present = [str(split) for split in (*Split, UNDIVIDED) if any((split, name) in found for name in classes)]
    return {split: {name: found[split, name] for name in classes} for split in present}


def census(rows: Sequence[Row], sizes: Sequence[str | None]) -> dict[str, SourceCensus]:
    """Each source by name; `sizes` ("600x450", or None where unreadable) belong to `rows`."""
    parts: dict[str, list[tuple[Row, str | None]]] = {}
    for row, size in zip(rows, sizes, strict=True):
        parts.setdefault(row.source, []).append((row, size))
    return {
        name: _source([row for row, _ in part], [size for _, size in part]) for name, part in parts.items()
    }


def _source(rows: Sequence[Row], sizes: Sequence[str | None]) -> SourceCensus:
    told = {name: [getattr(row, name) for row in rows] for name in _TOLD}
    return SourceCensus(
        images=len(rows),
        malignant=sum(row.malignant for row in rows),
        patients=len(set(told["patient"]) - {None}),
        lesions=len(set(told["lesion"]) - {None}),
        ages=_tally(map(age_band, told["age"])),
        sexes=_tally(told["sex"]),
        sites=_tally(told["site"]),
        sizes=_tally(sizes),
        missing={name: round(values.count(None) / len(rows), 4) for name, values in told.items()},
    )


def age_band(age: float | None) -> str | None:
    """The band of an age in years: 0-29, 30-49, 50-69, 70+; None stays None.

    Wide enough that a few hundred test images leave ten malignant ones in most bands.
    """
    if age is None:
        return None
    return next((name for limit, name in _AGE_BANDS if age < limit), _OLDEST)


def _tally(values: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(UNKNOWN if value is None else value for value in values).items()))
