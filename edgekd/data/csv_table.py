"""A CSV table with one line per image, under the column names people use.

Of each field the first of these columns with a value counts:

    image_id   image_id, image, image_name, isic_id, id
    path       path, image_path, file, filename, file_name
    diagnosis  diagnosis, dx, class
    malignant  malignant, benign_malignant, label, target (1/0, true/false, yes/no, or a diagnosis)
    patient    patient_id, patient          lesion   lesion_id, lesion
    split      split, set, subset           age      age, age_approx, age_approximate
    sex        sex, gender
    site       site, localization, anatom_site_general, anatom_site_general_challenge

Paths are relative to the table's folder, or absolute. Without a path the image is looked for by its id (with
or without extension) in the table's folder and the folders in it. With a diagnosis *and* a malignant column,
the second is used where the diagnosis is empty or unknown to edgekd, and must agree with it elsewhere. An id
of the ISIC archive is one id in all its spellings (`edgekd.data.headers.canonical_id`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import final

from edgekd.config import SourceConfig, SourceKind
from edgekd.data.files import FileSource
from edgekd.data.headers import canonical_id
from edgekd.data.reading import (
    Record,
    duplicates,
    known,
    list_folder,
    parse_age,
    parse_sex,
    parse_site,
    read_records,
    some,
)
from edgekd.data.table import Row, Split, find_split
from edgekd.data.taxonomy import Diagnosis, find_diagnosis, parse_diagnosis
from edgekd.errors import DataError

ALIASES: dict[str, tuple[str, ...]] = {
    "image_id": ("image_id", "image", "image_name", "isic_id", "id"),
    "path": ("path", "image_path", "file", "filename", "file_name"),
    "diagnosis": ("diagnosis", "dx", "class"),
    "malignant": ("malignant", "benign_malignant", "label", "target"),
    "patient": ("patient_id", "patient"),
    "lesion": ("lesion_id", "lesion"),
    "split": ("split", "set", "subset"),
    "age": ("age", "age_approx", "age_approximate"),
    "sex": ("sex", "gender"),
    "site": ("site", "localization", "anatom_site_general", "anatom_site_general_challenge"),
}

_BINARY = {
    **dict.fromkeys(("1", "1.0", "true", "yes"), Diagnosis.MALIGNANT),
    **dict.fromkeys(("0", "0.0", "false", "no"), Diagnosis.BENIGN),
}


@final
class CsvSource(FileSource):
    """Images listed in a table; `root` of the configuration is the table itself."""

    def __init__(self, config: SourceConfig, *, malignant: tuple[str, ...]) -> None:
        super().__init__(config, malignant=malignant)
        self._table = self.root
        self.root = self._table.parent

    def rows(self) -> tuple[Row, ...]:
        """Every line of the table, sorted by image id.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        if self._table.is_dir():
            tables = sorted(path.name for path in self._table.glob("*.csv"))
            raise DataError(
                f"source {self.name}: expected a CSV table, {self._table} is a folder with {some(tables)}"
            )
        records = read_records(self._table)
        self._check_columns(records[0])
        paths = self._paths(records)
        rows = [self._row(record, path) for record, path in zip(records, paths, strict=True)]
        places = [record.where for record in records]
        duplicates("image_id", zip(places, (row.image_id for row in rows), strict=True))
        duplicates("path", zip(places, paths, strict=True))
        self._check_splits(rows)
        return tuple(sorted(rows, key=lambda row: row.image_id))

    def tables(self) -> tuple[Path, ...]:
        """The table."""
        return (self._table,)

    def _check_columns(self, first: Record) -> None:
        for fields, wanted in ((("image_id", "path"), "an image"), (("diagnosis", "malignant"), "a label")):
            names = [name for field in fields for name in ALIASES[field]]
            if not any(name in first.cells for name in names):
                raise DataError(
                    f"{self._table}: no column for {wanted} ({', '.join(names)}); "
                    f"found {', '.join(first.cells)}"
                )

    def _check_splits(self, rows: Sequence[Row]) -> None:
        without = [row.image_id for row in rows if row.split is None]
        if 0 < len(without) < len(rows):
            raise DataError(
                f"{self._table}: {len(without)} of {len(rows)} rows have no split: {some(without)}; "
                "give all of them one, or none"
            )

    def _paths(self, records: Sequence[Record]) -> list[str]:
        """The path of each record, every one of them found by listing its folder once."""
        given = [(_cell(record, "path") or "").replace("\\", "/") for record in records]
        paths = given if all(given) else self._found(records, given)
        for record, path in zip(records, paths, strict=True):
            if ".." in PurePosixPath(path).parts:
                raise DataError(f"{record.where}: path {path!r} leaves the table's folder; write it absolute")
        listed = {
            folder: set(list_folder(self.root / folder)[1]) if (self.root / folder).is_dir() else set()
            for folder in sorted({_folder(path) for path in paths})
        }
        missing = [
            (record.where, path)
            for record, path in zip(records, paths, strict=True)
            if PurePosixPath(path).name not in listed[_folder(path)]
        ]
        if missing:
            raise DataError(
                f"{missing[0][0]}: {len(missing)} of {len(paths)} images are not below {self.root}: "
                f"{some([path for _, path in missing])}"
            )
        return paths

    def _found(self, records: Sequence[Record], given: Sequence[str]) -> list[str]:
        """`given`, with the paths that are empty found by image id."""
        places = self._by_id()
        paths: list[str] = []
        for record, path in zip(records, given, strict=True):
            image_id = _cell(record, "image_id") or ""
            found = places.get(image_id, [])
            if not path and len(found) > 1:
                raise DataError(f"{record.where}: image {image_id} lies in two places: {', '.join(found)}")
            paths.append(path or (found[0] if found else image_id))
        return paths

    def _by_id(self) -> dict[str, list[str]]:
        folders, _ = list_folder(self.root)
        places: dict[str, list[str]] = {}
        for folder in ["", *folders]:
            for name in list_folder(self.root / folder)[1]:
                path = f"{folder}/{name}" if folder else name
                for image_id in (name, name.rpartition(".")[0]):
                    places.setdefault(image_id, []).append(path)
        return places

    def _row(self, record: Record, path: str) -> Row:
        parent = known(record.cells.get("parent", ""))
        if parent is not None:
            raise DataError(
                f"{record.where}: an image made from {parent}; synthetic images are read from their folder, "
                f"as a source of kind {SourceKind.SYNTHESISED}"
            )
        diagnosis = self._diagnosis(record)
        stem = path.rpartition(".")[0]
        return Row(
            image_id=canonical_id(_cell(record, "image_id") or "") or f"{self.name}/{stem.lstrip('/')}",
            path=path,
            diagnosis=diagnosis.value,
            malignant=diagnosis.value in self.malignant,
            patient=_cell(record, "patient"),
            lesion=_cell(record, "lesion"),
            split=_split(record),
            age=parse_age(_cell(record, "age") or "", record.where),
            sex=parse_sex(_cell(record, "sex") or "", record.where),
            site=parse_site(_cell(record, "site") or ""),
            source=self.name,
        )

    def _diagnosis(self, record: Record) -> Diagnosis:
        text, flag = _cell(record, "diagnosis"), _cell(record, "malignant")
        if flag is None:
            return parse_diagnosis(text or "", record.where)
        binary = _BINARY.get(flag.lower()) or parse_diagnosis(flag, record.where)
        diagnosis = find_diagnosis(text or "")
        if diagnosis is None:
            return binary
        if (diagnosis.value in self.malignant) != (binary.value in self.malignant):
            raise DataError(
                f"{record.where}: diagnosis {text!r} is {_word(diagnosis.value in self.malignant)} by "
                f"data.malignant, but the label column says {flag!r}; correct the table or data.malignant"
            )
        return diagnosis


def _cell(record: Record, field: str) -> str | None:
    """The first known value among the columns of `field`."""
    cells: Mapping[str, str] = record.cells
    values = (known(cells[name]) for name in ALIASES[field] if name in cells)
    return next((value for value in values if value is not None), None)


def _split(record: Record) -> Split | None:
    text = _cell(record, "split")
    if text is None:
        return None
    found = find_split(text)
    if found is None:
        raise DataError(f"{record.where}: split is {text!r}, expected {', '.join(Split)} or nothing")
    return found


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _word(malignant: bool) -> str:
    return "malignant" if malignant else "benign"
