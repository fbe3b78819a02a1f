"""What a network looks at besides the lesion: its figures on pictures that were stripped, paired.

<folder>/stress.json                    every figure (schema edgekd.stress/1)
<folder>/<change>.predictions.csv       what they can be recomputed from; `as-it-is`: unchanged pictures
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.config import HairRemoval
from edgekd.errors import DataError, UsageError
from edgekd.imaging.hair import remove_hair
from edgekd.imaging.strip import grey_world, strip_border, strip_ink, strip_ruler
from edgekd.metrics.binary import Bools, Floats
from edgekd.metrics.intervals import Estimate, Statistic, cluster_bootstrap, weighted_auc, weighted_share
from edgekd.metrics.predictions import Predictions
from edgekd.metrics.subgroups import TOO_FEW, UNKNOWN
from edgekd.plain import from_plain, read_json
from edgekd_bench.markdown import NONE, estimate, lines

RECORD, SCHEMA, AS_IT_IS = "stress.json", "edgekd.stress/1", "as-it-is"
PREDICTIONS = ".predictions.csv"
Pixels = NDArray[np.uint8]
HEAD = ("change", "pictures changed", "other calls", "AUC", "sensitivity", "specificity", "most moved part")


def _all_of_it(image: Pixels) -> Pixels:
    hairless = remove_hair(strip_ruler(strip_ink(strip_border(image))), HairRemoval.ORIENTED)
    return grey_world(hairless)


CHANGES: Mapping[str, Callable[[Pixels], Pixels]] = {
    "no-border": strip_border,
    "no-hair": lambda image: remove_hair(image, HairRemoval.ORIENTED),
    "no-ink": strip_ink,
    "no-ruler": strip_ruler,
    "white-light": grey_world,
    "all-of-it": _all_of_it,
}
"""What is done to the upright picture before the network's own crop and resize, by name."""

UNKNOWN_PERSON = "unknown-person"
"""The change of a network that takes patient data: the picture as it is, and nothing told of the person."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the images, e.g. `attribute` sex, `value` female; attribute `all` is everything.

    `changed` pictures are others than before. The differences are changed − as it is, paired, at the card's
    operating point; `called_otherwise` the share of images. `too_few`: below ten malignant images, where
    nothing of it is a finding.
    """

    attribute: str
    value: str
    n: int
    n_positive: int
    changed: int
    too_few: bool
    auc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    called_otherwise: float


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one change did: `parts` begins with all images."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class StressRecord:
    """A network under every change: what it is, on what, and the figures (schema edgekd.stress/1)."""

    schema: str = SCHEMA
    model: str
    model_sha256: str
    engine: str
    sources: tuple[str, ...]
    split: str
    threshold: float
    auc: Estimate
    changes: tuple[Change, ...]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"stress: schema is {self.schema!r}, expected {SCHEMA!r}")


def compare_change(
    name: str,
    before: Predictions,
    after: Predictions,
    *,
    changed: Bools,
    threshold: float,
    groups: Sequence[str | None],
    attributes: Mapping[str, Sequence[str | None]],
) -> Change:
    """What a change did to the answers about the same images: all of them, then by every attribute.

    `changed` bool [n]: whose picture it changed. Intervals are bootstraps over `groups` (patient or lesion)
    that keep the two answers about an image together.

    Raises:
        DataError: the images differ.
    """
    if before.image_ids != after.image_ids:
        raise DataError("a change is compared on the same images: these differ")
    pair = _Pair(before.labels, before.score, after.score, changed, threshold, tuple(groups))
    everything = np.ones(len(before.labels), np.bool_)
    parts = [_part("all", "all", pair, everything)]
    for attribute, values in attributes.items():
        named = np.array([value or UNKNOWN for value in values])
        parts += [_part(attribute, value, pair, named == value) for value in sorted(set(named.tolist()))]
    return Change(name=name, parts=tuple(parts))


@dataclass(frozen=True, eq=False)
class _Pair:
    labels: Bools
    before: Floats
    after: Floats
    changed: Bools
    threshold: float
    groups: tuple[str | None, ...]


def _part(attribute: str, value: str, pair: _Pair, chosen: Bools) -> Part:
    labels, before, after = pair.labels[chosen], pair.before[chosen], pair.after[chosen]
    groups = [group for group, inside in zip(pair.groups, chosen.tolist(), strict=True) if inside]
    first, then = before >= pair.threshold, after >= pair.threshold
    positives = int(labels.sum())
    both = 0 < positives < len(labels)
    return Part(
        attribute=attribute,
        value=value,
        n=len(labels),
        n_positive=positives,
        changed=int(pair.changed[chosen].sum()),
        too_few=positives < TOO_FEW,
        auc=_difference(weighted_auc(labels, before), weighted_auc(labels, after), groups)
        if both
        else _undefined(),
        sensitivity=_difference(weighted_share(labels, first), weighted_share(labels, then), groups),
        specificity=_difference(weighted_share(~labels, ~first), weighted_share(~labels, ~then), groups),
        called_otherwise=float(np.mean(first != then)),
    )


def _difference(before: Statistic, after: Statistic, groups: Sequence[str | None]) -> Estimate:
    def change(weights: Floats) -> float | None:
        one, two = before(weights), after(weights)
        return None if one is None or two is None else two - one

    return cluster_bootstrap(change, groups)


def _undefined() -> Estimate:
    return Estimate(value=None, low=None, high=None, method="one class only")


def read_stress(folder: Path) -> StressRecord:
    """The record in `folder`.

    Raises:
        DataError: it is missing or no such record.
    """
    path = folder / RECORD
    try:
        return from_plain(StressRecord, read_json(path), RECORD)
    except (OSError, ValueError, UsageError) as error:
        raise DataError(f"{path}: no readable record of stress ({error})") from error


def table(folder: Path) -> str:
    """The record in `folder` as a Markdown table and a paragraph; ends with a newline.

    Raises:
        DataError: it cannot be read.
    """
    return markdown(read_stress(folder))


def markdown(record: StressRecord) -> str:
    """`record` as a Markdown table, its circumstances below; ends with a newline."""
    cells = [HEAD, ("---", *("---:",) * (len(HEAD) - 2), "---"), *rows(record)]
    return "\n".join([*lines(cells), "", circumstances(record)]) + "\n"


def rows(record: StressRecord) -> list[tuple[str, ...]]:
    """The cells of the table under `HEAD`, one row a change."""
    return [_row(change) for change in record.changes]


def circumstances(record: StressRecord) -> str:
    """What the table's figures are, and on what."""
    whole = record.changes[0].parts[0]
    return (
        f"{record.model} on {', '.join(record.sources)}, {record.split}: n = {whole.n}, {whole.n_positive} "
        f"malignant; AUC as it is {estimate(record.auc)}. Differences, changed − as it is, on "
        f"the same images, threshold {record.threshold:.3f}; 95 % intervals, {whole.auc.method}. Most "
        f"moved: the part with the largest change of AUC among those of {TOO_FEW} malignant images or more, "
        "where to look first and no finding by itself. "
        f"{record.engine}."
    )


def _row(change: Change) -> tuple[str, ...]:
    whole, *parts = change.parts
    values = Counter(part.attribute for part in parts)
    judged = [
        part
        for part in parts
        if not part.too_few and part.auc.value is not None and values[part.attribute] > 1
    ]
    worst = max(judged, key=lambda part: abs(part.auc.value or 0), default=None)
    return (
        change.name,
        f"{whole.changed} of {whole.n}",
        f"{whole.called_otherwise:.1%}",
        *(estimate(value, signed=True) for value in (whole.auc, whole.sensitivity, whole.specificity)),
        f"{worst.attribute} {worst.value}: {estimate(worst.auc, signed=True)}" if worst else NONE,
    )
