"""A folder of TFRecord shards as a source: edgekd's own, or any in the SIIM-ISIC layout.

    ROOT/train00-2071.tfrec  ROOT/test00-687.tfrec …     divided as their names begin
    ROOT/train/*.tfrec  ROOT/validation/*.tfrec …        divided by folder
    ROOT/*.tfrecord                                      divided by edgekd

Records without a label (SIIM-ISIC's test files) are left out, and counted in the log. TensorFlow is not used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from edgekd.config import SourceConfig
from edgekd.console import log, progress
from edgekd.data.files import root_of
from edgekd.data.headers import canonical_id
from edgekd.data.leaks import Dropped
from edgekd.data.reading import duplicates
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import malignant_names
from edgekd.data.tfrecord.example import parse
from edgekd.data.tfrecord.framing import record_at, records
from edgekd.data.tfrecord.layout import IMAGE, NAME, ROW, Reader, read_codes
from edgekd.data.tfrecord.manifest import CODES, find_shards, promised
from edgekd.errors import DataError, ImageError
from edgekd.imaging.decode import decode


@final
class TfRecordSource:
    """Images and labels in TFRecord files.

    The path of a row is its file and the byte its record begins at: `train00-2071.tfrec@81920`. All records
    are read once, checksums included; the rows are kept while the files stay as they are.
    """

    def __init__(self, config: SourceConfig, *, malignant: tuple[str, ...]) -> None:
        self.name = config.name
        self.root = root_of(config)
        self._malignant = malignant_names(malignant)
        self._known: tuple[str, tuple[Row, ...]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}

    def rows(self) -> tuple[Row, ...]:
        """Every record with a label, sorted by id; no image is decoded.

        Raises:
            DataError: no shard, or one that is damaged or cut off, or a record that is no labelled image or
                repeats an id; the file and record are named.
        """
        content = self.fingerprint()
        if self._known is None or self._known[0] != content:
            self._known = (content, self._read())
        return self._known[1]

    def left_out(self) -> tuple[Dropped, ...]:
        """None: what has no label is no row anywhere."""
        return ()

    def image(self, row: Row) -> NDArray[np.uint8]:
        """The upright image of `row`, RGB [H, W, 3].

        Raises:
            ImageError: unreadable, or no longer where it was.
        """
        file, _, begin = row.path.rpartition("@")
        try:
            features = parse(record_at(self.root / file, int(begin)))
            name, image = features[NAME][0], features[IMAGE][0]
        except (OSError, ValueError, OverflowError, LookupError) as error:
            raise ImageError(row.path, f"the record cannot be read ({error})") from error
        own = isinstance(name, bytes) and canonical_id(name.decode(errors="replace")) == row.image_id
        if not own or not isinstance(image, bytes):
            raise ImageError(
                row.path, f"the record is no longer that of {row.image_id}: the file was changed"
            )
        return decode(image, row.path)

    def fingerprint(self) -> str:
        """The sha256 over the names, sizes and modification times of all files; contents are not read.

        Raises:
            DataError: no shard, or an unfinished or incomplete export.
        """
        whole = hashlib.sha256(type(self).__name__.encode())
        for name in (CODES, *sorted(find_shards(self.name, self.root))):
            path = self.root / name
            if path.exists():
                stat = path.stat()
                whole.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return whole.hexdigest()

    def _read(self) -> tuple[Row, ...]:
        shards = find_shards(self.name, self.root)
        codes = read_codes(self.root)
        reader = Reader(source=self.name, malignant=self._malignant, codes=codes)
        rows: list[Row] = []
        total = strange = 0
        with progress(f"read {self.name}", len(shards), "shards") as advance:
            for file, split in shards.items():
                for own, row in self._shard(file, split, reader):
                    total, strange = total + 1, strange + (not own)
                    rows += [row] if row else []
                advance(1, "")
        self._tell(total, len(rows), 0 if codes else strange)
        duplicates("image_name", ((str(self.root / row.path), row.image_id) for row in rows))
        return tuple(sorted(rows, key=lambda row: row.image_id))

    def _shard(self, file: str, split: Split | None, reader: Reader) -> Iterator[tuple[bool, Row | None]]:
        """Of each record, whether edgekd wrote it, and its row if it has a label."""
        number = -1
        for number, (begin, data) in enumerate(records(self.root / file)):
            where = f"{self.root / file}, record {number} (byte {begin})"
            try:
                features = parse(data)
            except ValueError as error:
                raise DataError(f"{where}: {error}") from error
            yield ROW in features, reader.row(features, where, split=split, path=f"{file}@{begin}")
        if promised(file) not in (None, number + 1):
            raise DataError(
                f"{self.root / file}: {number + 1} records, its name says {promised(file)}: "
                "copy the file again"
            )

    def _tell(self, total: int, labelled: int, uncoded: int) -> None:
        """Log what is left out or unknown.

        Raises:
            DataError: no record has a label.
        """
        if labelled == 0:
            raise DataError(f"{self.root}: none of {total} records has a target or a diagnosis that is known")
        if labelled < total:
            log.warning("%s: %d of %d records have no label, left out", self.root, total - labelled, total)
        if uncoded:
            log.warning(
                "%s: no codes.json says what the numbers of %d records mean: sex, site and diagnosis beyond "
                "the target are unknown",
                self.root,
                uncoded,
            )
