"""HAM10000: the official metadata table beside the images.

HAM10000_metadata.csv                   (also without .csv, as the Dataverse names it)
HAM10000_images_part_1/ …_part_2/       or HAM10000_images/; lower-case folder names are the same
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from edgekd.data.files import FileSource, check_layout
from edgekd.data.reading import (
    Record,
    duplicates,
    images_by_stem,
    known,
    list_folder,
    match_images,
    parse_age,
    parse_sex,
    parse_site,
    read_records,
)
from edgekd.data.table import Row
from edgekd.data.taxonomy import parse_diagnosis
from edgekd.errors import DataError

_COLUMNS = ("lesion_id", "image_id", "dx", "age", "sex", "localization")
_TABLES = ("HAM10000_metadata.csv", "HAM10000_metadata")
_FOLDERS = ("HAM10000_images", "HAM10000_images_part_1", "HAM10000_images_part_2")


@final
class Ham10000Source(FileSource):
    """The images of HAM10000; several may show one lesion, so they are divided by lesion."""

    def rows(self) -> tuple[Row, ...]:
        """Every image of the table, sorted by id.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        table = self._table()
        records = read_records(table, _COLUMNS)
        duplicates("image_id", ((record.where, record.cells["image_id"]) for record in records))
        images = self._images()
        match_images(table, (record.cells["image_id"] for record in records), images, self.root)
        return tuple(sorted((self._row(record, images) for record in records), key=lambda row: row.image_id))

    def tables(self) -> tuple[Path, ...]:
        """The metadata table."""
        return (self._table(),)

    def _table(self) -> Path:
        for name in _TABLES:
            if (self.root / name).is_file():
                return self.root / name
        check_layout(self.name, self.root, _TABLES[:1])
        raise DataError(f"{self.root / _TABLES[0]}: expected a table, found a folder")

    def _images(self) -> dict[str, str]:
        """Paths by image id; folders that differ only in case hold the same images, and one is read."""
        folders = {name.lower(): name for name in reversed(list_folder(self.root)[0])}
        found: dict[str, str] = {}
        for wanted in _FOLDERS:
            folder = folders.get(wanted.lower())
            if folder is None:
                continue
            for stem, name in images_by_stem(self.root / folder).items():
                found.setdefault(stem, f"{folder}/{name}")
        if not found:
            raise DataError(
                f"source {self.name}: expected {_FOLDERS[0]} or {_FOLDERS[1]} and {_FOLDERS[2]} "
                f"in {self.root}; found {', '.join(sorted(folders.values())) or 'no folder'}"
            )
        return found

    def _row(self, record: Record, images: dict[str, str]) -> Row:
        cells = record.cells
        diagnosis = parse_diagnosis(cells["dx"], record.where).value
        return Row(
            image_id=cells["image_id"],
            path=images[cells["image_id"]],
            diagnosis=diagnosis,
            malignant=diagnosis in self.malignant,
            lesion=known(cells["lesion_id"]),
            age=parse_age(cells["age"], record.where),
            sex=parse_sex(cells["sex"], record.where),
            site=parse_site(cells["localization"]),
            source=self.name,
        )
