"""What the readers share: CSV tables line by line, folders of images, and cells as values."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.console import log
from edgekd.data.headers import canonical_id, resemblance
from edgekd.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
MAX_AGE_YEARS = 120

_UNKNOWN = frozenset({"", "unknown", "n/a", "na", "nan", "none", "null", "unk", "not reported", "-", "?"})
_SEXES = {"m": "male", "male": "male", "f": "female", "female": "female", "other": "other"}
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a CSV table: `cells` by column name; `where` names the file and the line."""

    where: str
    cells: Mapping[str, str]


def read_records(path: Path, columns: Sequence[str] = ()) -> tuple[Record, ...]:
    """The lines of the CSV table `path` (UTF-8, with or without byte-order mark), cells stripped.

    Raises:
        DataError: missing, not UTF-8, no header, no rows, a line of odd length, or one of `columns` absent.
    """
    records = tuple(_records(path, columns))
    if not records:
        raise DataError(f"{path}: the table has a header and no rows")
    return records


def records_by_id(path: Path, key: str, columns: Sequence[str] = ()) -> dict[str, Record]:
    """The lines of the CSV table `path` by the canonical image id in its column `key`.

    Raises:
        DataError: as `read_records`, or an image comes twice, in whatever spelling; both lines are named.
    """
    found: dict[str, Record] = {}
    for record in read_records(path, (key, *columns)):
        written = record.cells[key]
        first = found.setdefault(canonical_id(written), record)
        if first is not record:
            before = first.cells[key]
            spelled = "" if before == written else f", as {before!r}"
            raise DataError(f"{record.where}: {key} {written!r} was already used ({first.where}{spelled})")
    return found


def read_cells(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each line of the CSV table `path` that is not empty: file and line, and its cells, stripped.

    Raises:
        DataError: missing, not UTF-8, or not comma-separated.
    """
    lines = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        for cells in lines:
            if any(cells):
                yield f"{path}, line {lines.line_num}", [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DataError(f"{path}, line {lines.line_num}: {error}; expected comma-separated values") from error


def _records(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    lines = read_cells(path)
    _, header = next(lines, ("", []))
    _check_header(path, header, columns)
    for where, cells in lines:
        if len(cells) != len(header):
            raise DataError(f"{where}: {len(cells)} cells, the header has {len(header)}")
        yield Record(where, dict(zip(header, cells, strict=True)))


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read the table ({error.strerror})") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save the table as UTF-8"
        ) from error


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    if not header:
        raise DataError(f"{path}: the table is empty")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{path}, line 1: column {twice!r} comes twice")
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"{path}, line 1: no column {', '.join(missing)}; found {', '.join(header)}{resemblance(header)}"
        )


def known(text: str) -> str | None:
    """`text`, or None where it only says that nothing is known ("unknown", "N/A", empty …)."""
    return None if text.lower() in _UNKNOWN else text


def require_group(record: Record, column: str, group: str) -> str:
    """The id in `column` of the `group` (patient, lesion) whose images belong together.

    Raises:
        DataError: it is unknown.
    """
    found = known(record.cells[column])
    if found is None:
        raise DataError(
            f"{record.where}: {column} is {record.cells[column]!r}; expected an id, for without it images of "
            f"one {group} may be trained on and tested on"
        )
    return found


def parse_age(text: str, where: str) -> float | None:
    """An age in years, 0 to 120, or None where unknown.

    0 is an age: the ISIC archive rounds to five years and leaves unknown ages empty. The zeros of its tables
    are small children: in ISIC 2020 one patient of 0, 0 and 10 years, in ISIC 2019 54 images without a single
    melanoma or carcinoma, one lesion of them seen at 0 and at 5 years.

    Raises:
        DataError: no number, or out of range.
    """
    if known(text) is None:
        return None
    try:
        age = float(text)
    except ValueError:
        age = -1.0
    if not 0 <= age <= MAX_AGE_YEARS:
        raise DataError(f"{where}: age is {text!r}, expected years from 0 to {MAX_AGE_YEARS} or nothing")
    return age


def parse_sex(text: str, where: str) -> str | None:
    """`male`, `female` or `other`, or None where unknown.

    Raises:
        DataError: anything else.
    """
    if known(text) is None:
        return None
    if text.lower() not in _SEXES:
        raise DataError(f"{where}: sex is {text!r}, expected male, female, other or nothing")
    return _SEXES[text.lower()]


def parse_site(text: str) -> str | None:
    """A site of the body in lower case, or None where unknown."""
    return None if known(text) is None else text.lower()


def duplicates(what: str, items: Iterable[tuple[str, str]]) -> None:
    """Refuse a second item of the same value among (where, value) `items`.

    Raises:
        DataError: both places are named.
    """
    seen: dict[str, str] = {}
    for where, value in items:
        first = seen.setdefault(value, where)
        if first is not where:
            raise DataError(f"{where}: {what} {value!r} was already used ({first})")


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """The sorted names of the sub-folders and of the images of `folder`; hidden names are left out.

    Raises:
        DataError: the folder is missing or cannot be read.
    """
    folders: list[str] = []
    images: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith((".", "__MACOSX")):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif Path(entry.name).suffix.lower() in IMAGE_SUFFIXES:
                    images.append(entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot read the folder ({error.strerror})") from error
    return sorted(folders), sorted(images)


def images_by_stem(folder: Path, ignore_suffix: str = "", key: Callable[[str], str] = str) -> dict[str, str]:
    """The images of `folder` by the `key` of their name without extension, by default that name itself.

    Names ending in `ignore_suffix` are left out.

    Raises:
        DataError: the folder is missing, holds no image, or two images of one key.
    """
    folders, names = list_folder(folder)
    found: dict[str, str] = {}
    for name in names:
        stem = name.rpartition(".")[0]
        if ignore_suffix and stem.endswith(ignore_suffix):
            continue
        first = found.setdefault(key(stem), name)
        if first is not name:
            raise DataError(f"{folder}: {first} and {name} have the same name; keep one")
    if not found:
        hint = f"; found the folders {some(folders)}" if folders else ""
        raise DataError(f"{folder}: no images here{hint}")
    return found


def match_images(table: Path, ids: Iterable[str], images: Mapping[str, str], folder: Path) -> None:
    """Refuse rows of `table` without an image in `folder`; log images without a row.

    Raises:
        DataError: how many images are missing, and the first of them.
    """
    wanted = set(ids)
    missing = sorted(wanted - images.keys())
    if missing:
        raise DataError(
            f"{table}: {len(missing)} of {len(wanted)} images are not in {folder}: {some(missing)}"
        )
    unused = sorted(images.keys() - wanted)
    if unused:
        log.warning("%s: %d images without a row in %s: %s", folder, len(unused), table.name, some(unused))


def some(names: Sequence[str]) -> str:
    """The first three of `names`, and … where there are more."""
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} …" if len(names) > _SHOWN else shown or "nothing"
