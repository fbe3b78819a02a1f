"""Images made by a generator from the training photographs of a run (`edgekd data synthesise`).

    DIR/table.csv           one row per image; the column `parent` names the photograph it was made from
    DIR/images/*.png        the images
    DIR/synthesis.json      the record: generator, run, which photographs the generator was trained on

Such images are trained on and never measured on. A synthetic image shows what its parent shows, and a little
of everything its generator saw: where either is not a training photograph of the data set that the images
are to join, they would carry a measured image into training. The first are left out (`edgekd.data.parents`),
the second is refused (`require_unseen`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from edgekd.data.files import FileSource, check_layout
from edgekd.data.leaks import Link, leak_drops
from edgekd.data.parents import apart
from edgekd.data.reading import list_folder, some
from edgekd.data.table import Row, Split, read_table
from edgekd.data.taxonomy import parse_diagnosis
from edgekd.errors import DataError, UsageError
from edgekd.plain import file_digest, from_plain, read_json

SCHEMA = "edgekd.synthesis/1"
RECORD, TABLE, IMAGES = "synthesis.json", "table.csv", "images"
_AGAIN = "make them again (edgekd data synthesise)"


@dataclass(frozen=True, kw_only=True)
class SynthesisRecord:
    """`synthesis.json`: how synthetic images came about.

    `training` is a digest of all that the generator depends on; `seen` lists the photographs it was trained
    on. Of the run before: `data_table_sha256` of its table, `train_ids_sha256` of the ids of its training
    photographs (sorted, one a line), and how many are `benign` and `malignant`. The generator was trained
    for `epochs` in `steps` steps and made `images`.
    """

    schema: str
    run: str
    data_table_sha256: str
    training: str
    generator_sha256: str
    table_sha256: str
    train_ids_sha256: str
    seen: tuple[str, ...]
    diagnosis: str
    px: int
    epochs: int
    steps: int
    seed: int
    benign: int
    malignant: int
    images: int
    config: Mapping[str, Any]
    tools: Mapping[str, str]


def read_record(folder: Path) -> SynthesisRecord:
    """The record of the synthetic images in `folder`.

    Raises:
        DataError: it is missing or cannot be read.
    """
    path = folder / RECORD
    try:
        record = from_plain(SynthesisRecord, read_json(path), RECORD)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from error
    except (ValueError, UsageError) as error:
        raise DataError(f"{path}: {error}; {_AGAIN}") from error
    if record.schema != SCHEMA:
        raise DataError(f"{path}: schema is {record.schema!r}, expected {SCHEMA!r}; {_AGAIN}")
    return record


@final
class SynthesisedSource(FileSource):
    """What `edgekd data synthesise` left in a folder; every row has a parent and is in train."""

    def rows(self) -> tuple[Row, ...]:
        """Every synthetic image, sorted by id.

        Raises:
            DataError: something is missing, was changed since, or is not marked as synthetic.
        """
        check_layout(self.name, self.root, (RECORD, TABLE, IMAGES))
        table = self.root / TABLE
        if file_digest(table) != read_record(self.root).table_sha256:
            raise DataError(f"{table}: not the table that {RECORD} speaks of; {_AGAIN}")
        rows = read_table(table)
        self._require_images(row.path for row in rows)
        return tuple(sorted((self._mine(row, table) for row in rows), key=lambda row: row.image_id))

    def tables(self) -> tuple[Path, ...]:
        """The table and the record."""
        return (self.root / TABLE, self.root / RECORD)

    def seen(self) -> tuple[str, ...]:
        """The photographs the generator was trained on."""
        return read_record(self.root).seen

    def _mine(self, row: Row, table: Path) -> Row:
        if row.parent is None or row.split is not Split.TRAIN:
            raise DataError(f"{table}: image {row.image_id} has no parent, or is not in train; {_AGAIN}")
        diagnosis = parse_diagnosis(row.diagnosis, f"{table}, image {row.image_id}").value
        return replace(row, diagnosis=diagnosis, malignant=diagnosis in self.malignant, source=self.name)

    def _require_images(self, paths: Iterable[str]) -> None:
        there = {f"{IMAGES}/{name}" for name in list_folder(self.root / IMAGES)[1]}
        missing = sorted(set(paths) - there)
        if missing:
            raise DataError(f"{self.root}: {len(missing)} images are gone: {some(missing)}; {_AGAIN}")


def require_unseen(sources: Iterable[object], rows: Sequence[Row], links: Sequence[Link] = ()) -> None:
    """Refuse synthetic images whose generator saw anything but training photographs of this data set.

    `rows` have their splits; `links` are those between images (`leaks.image_links`), where leaks are to be
    dropped: a photograph that must leave train for them counts as one that is not there.

    Raises:
        DataError: the generator saw an image that is validated or tested on, shows what such an image shows,
            or is not in the data set, so that nobody can tell.
    """
    readers = [source for source in sources if isinstance(source, SynthesisedSource)]
    if not readers:
        return
    photographs, _ = apart(rows)
    place = {row.image_id: str(row.split) for row in photographs}
    if links:
        place |= dict.fromkeys(_leaking(photographs, links), "left out")
    for reader in readers:
        wrong = [image_id for image_id in reader.seen() if place.get(image_id) != Split.TRAIN]
        if wrong:
            where = place.get(wrong[0], "not in this data set")
            raise DataError(
                f"source {reader.name}: its generator was trained on {len(wrong)} photographs that are not "
                f"trained on here ({wrong[0]} is {where}): use the sources, split and seed of the run they "
                "came from, or make the images again from this run (edgekd data synthesise)"
            )


def _leaking(photographs: Sequence[Row], links: Sequence[Link]) -> set[str]:
    """The photographs that must go for what photographs alone share; synthetic images take nobody along."""
    known = {row.image_id for row in photographs}
    among = [link for link in links if link.first in known and link.second in known]
    return {dropped.image_id for dropped in leak_drops(photographs, among)}
