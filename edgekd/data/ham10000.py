"""HAM10000: the official metadata table beside the images.

HAM10000_metadata.csv                   (also without .csv, as the Dataverse names it)
HAM10000_images_part_1/ …_part_2/       or HAM10000_images/; lower-case folder names are the same
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from edgekd.data.files import FileSource, check_layout
from edgekd.data.headers import canonical_id
from edgekd.data.reading import (
    Record,
    images_by_stem,
    list_folder,
    match_images,
    parse_age,
    parse_sex,
    parse_site,
    records_by_id,
    require_group,
)
from edgekd.data.table import Row
from edgekd.data.taxonomy import parse_diagnosis
from edgekd.errors import DataError

_COLUMNS = ("lesion_id", "dx", "age", "sex", "localization")
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
        records = records_by_id(table, "image_id", _COLUMNS)
        images = self._images()
        match_images(table, records, images, self.root)
        return tuple(self._row(image_id, record, images) for image_id, record in sorted(records.items()))

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
            for image_id, name in images_by_stem(self.root / folder, key=canonical_id).items():
                found.setdefault(image_id, f"{folder}/{name}")
        if not found:
            raise DataError(
                f"source {self.name}: expected {_FOLDERS[0]} or {_FOLDERS[1]} and {_FOLDERS[2]} "
                f"in {self.root}; found {', '.join(sorted(folders.values())) or 'no folder'}"
            )
        return found

    def _row(self, image_id: str, record: Record, images: dict[str, str]) -> Row:
        cells = record.cells
        diagnosis = parse_diagnosis(cells["dx"], record.where).value
        return Row(
            image_id=image_id,
            path=images[image_id],
            diagnosis=diagnosis,
            malignant=diagnosis in self.malignant,
            lesion=require_group(record, "lesion_id", "lesion"),
            age=parse_age(cells["age"], record.where),
            sex=parse_sex(cells["sex"], record.where),
            site=parse_site(cells["localization"]),
            source=self.name,
        )
