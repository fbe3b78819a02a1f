"""Synthetic images go where the photograph they were made from is trained on, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgekd.data.leaks import Dropped, Reason
from edgekd.data.table import Row, Split


def apart(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The photographs among `rows`, and the synthetic images."""
    return [row for row in rows if row.parent is None], [row for row in rows if row.parent is not None]


def follow_parents(
    synthetic: Sequence[Row], photographs: Sequence[Row]
) -> tuple[tuple[Row, ...], tuple[Dropped, ...]]:
    """The rows of `synthetic` that may be trained on, and those left out.

    `photographs` have their splits. A synthetic image whose parent is a photograph in train joins it there,
    as a picture of the same lesion and patient whatever its own row says; where the parent is in validation
    or test, is not there, or is synthetic itself, the image is left out.
    """
    place = {row.image_id: row for row in photographs}
    joined: list[Row] = []
    left_out: list[Dropped] = []
    for row in synthetic:
        parent = place.get(row.parent or "")
        if parent is not None and parent.split is Split.TRAIN:
            joined.append(replace(row, split=Split.TRAIN, lesion=parent.lesion, patient=parent.patient))
        else:
            left_out.append(_orphan(row, parent))
    return tuple(joined), tuple(left_out)


def _orphan(row: Row, parent: Row | None) -> Dropped:
    return Dropped(
        image_id=row.image_id,
        source=row.source,
        split=row.split,
        reason=Reason.SYNTHESISED_FROM,
        partner=row.parent or "",
        partner_split=None if parent is None else parent.split,
    )
