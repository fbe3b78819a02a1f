"""The table of labelled images: one row per image, whatever layout it came from."""

from __future__ import annotations

import csv
import enum
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from edgekd.data.reading import Record, duplicates, parse_age, read_records
from edgekd.errors import DataError
from edgekd.plain import write_text


class Split(enum.StrEnum):
    """The three parts of a data set."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


_SPLIT_NAMES = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}


def find_split(text: str) -> Split | None:
    """The split `text` names (train, training, val, valid, validation, test, testing; any case), if any."""
    return _SPLIT_NAMES.get(text.strip().lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One labelled image.

    `image_id` is unique in a table; `path` is the file, with forward slashes, relative to the folder of its
    `source`. `age` is in years. `patient` and `lesion` are ids that mean the same in every source. `parent`
    is the image a synthetic one was made from, and None for a photograph: a row with a parent cannot be in
    validation or test. None: unknown; `split` None: not divided yet.

    Raises:
        DataError: a row with a parent is in validation or test.
    """

    image_id: str
    path: str
    diagnosis: str
    malignant: bool
    patient: str | None = None
    lesion: str | None = None
    split: Split | None = None
    age: float | None = None
    sex: str | None = None
    site: str | None = None
    source: str
    parent: str | None = None

    def __post_init__(self) -> None:
        if self.parent is not None and self.split not in (None, Split.TRAIN):
            raise DataError(
                f"image {self.image_id} was made from {self.parent} and is in {self.split}: synthetic images "
                "may be trained on, never measured on"
            )


COLUMNS = tuple(field.name for field in fields(Row))
_PARENT = "parent"  # the one column that older tables lack


def image_key(image_id: str) -> int:
    """A whole number in [0, 2⁶³) that stays with `image_id` for ever: the head of its sha256."""
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big") >> 1


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write `rows` as CSV (UTF-8, `\\n`) to `path`, whole or not at all; an empty cell is unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(row, name)) for name in COLUMNS] for row in rows)
    write_text(path, text.getvalue())


def read_table(path: Path) -> tuple[Row, ...]:
    """The rows `write_table` wrote to `path`; without a column `parent` all of them are photographs.

    Raises:
        DataError: missing, empty, other columns, or a cell that cannot be meant; file and line are named.
    """
    records = read_records(path, [name for name in COLUMNS if name != _PARENT])
    rows = tuple(_row(record) for record in records)
    duplicates("image_id", ((record.where, row.image_id) for record, row in zip(records, rows, strict=True)))
    return rows


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _row(record: Record) -> Row:
    cells = record.cells
    if cells["malignant"] not in ("0", "1"):
        raise DataError(f"{record.where}: malignant is {cells['malignant']!r}, expected 0 or 1")
    for name in ("image_id", "path", "diagnosis", "source"):
        if not cells[name]:
            raise DataError(f"{record.where}: {name} is empty")
    return Row(
        image_id=cells["image_id"],
        path=cells["path"],
        diagnosis=cells["diagnosis"],
        malignant=cells["malignant"] == "1",
        patient=cells["patient"] or None,
        lesion=cells["lesion"] or None,
        split=_split(record),
        age=parse_age(cells["age"], record.where),
        sex=cells["sex"] or None,
        site=cells["site"] or None,
        source=cells["source"],
        parent=cells.get(_PARENT) or None,
    )


def _split(record: Record) -> Split | None:
    text = record.cells["split"]
    if text and text not in set(Split):
        raise DataError(f"{record.where}: split is {text!r}, expected {', '.join(Split)} or nothing")
    if record.cells.get(_PARENT) and text not in ("", Split.TRAIN):
        raise DataError(f"{record.where}: an image with a parent is in {text}, expected train or nothing")
    return Split(text) if text else None
