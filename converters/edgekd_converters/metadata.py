"""The model card inside a .tflite file.

A .tflite file is a FlatBuffer: tables that point forward by relative offsets. `embed_card` therefore puts a
new root table, with one more metadata entry and one more buffer, *in front of* the file and leaves the file
itself as it was. Weights keep their bytes and, because the front is a multiple of 16 bytes long, their
16-byte alignment, which a file packed anew by the Python FlatBuffers builder would lose.
`strip_card(embed_card(file, card)) == file`.

Layout: https://flatbuffers.dev/internals; the schema is TensorFlow's tensorflow/compiler/mlir/lite/schema.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekd.card import METADATA_NAME, ModelCard
from edgekd.errors import ModelError, UsageError

MAGIC = b"TFL3"
DAMAGED = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError)
"""What reading a damaged FlatBuffer from Python raises."""

_BUFFERS, _METADATA = 4, 6  # places of the fields of table Model
_ALIGN = 16
_MAX_ENTRIES = 1_000_000


def read_card(path: Path) -> ModelCard:
    """The card inside the .tflite file `path`.

    Raises:
        ModelError: the file is missing or damaged, or holds no card.
    """
    try:
        return find_card(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except (ModelError, UsageError) as error:
        raise ModelError(f"{path}: {error}") from error


def find_card(model: bytes) -> ModelCard:
    """The card inside the bytes of a .tflite file.

    Raises:
        ModelError: it is not a .tflite file, or holds no card.
        UsageError: the card is not of a known schema.
    """
    root = open_model(model)
    try:
        found = _find_entry(root)
        text = bytes(root.Buffers(found).DataAsNumpy()).decode() if found is not None else ""
    except DAMAGED as error:
        raise ModelError("damaged .tflite file") from error
    if not text:
        raise ModelError("no model card inside: not exported by edgekd, or stripped since")
    return ModelCard.from_json(text)


def open_model(model: bytes) -> Any:
    """The root table of a .tflite file.

    Raises:
        ModelError: these are not the bytes of a .tflite file.
    """
    if model[4:8] != MAGIC:
        raise ModelError(f"not a .tflite file: bytes 4 to 8 are {model[4:8]!r}, expected {MAGIC!r}")
    try:
        return schema.Model.GetRootAs(model, 0)
    except DAMAGED as error:
        raise ModelError("damaged .tflite file") from error


def embed_card(model: bytes, card: ModelCard) -> bytes:
    """The .tflite file `model` with `card` inside, in place of a card it held before.

    Raises:
        ModelError: `model` is not a .tflite file.
    """
    model = strip_card(model)
    root = open_model(model)
    try:
        front = _Front(root)
        return front.write(card.to_json().encode()) + model
    except DAMAGED as error:
        raise ModelError("damaged .tflite file") from error


def strip_card(model: bytes) -> bytes:
    """The .tflite file `model` without the card that `embed_card` put in front, byte for byte as it was.

    Raises:
        ModelError: `model` is not a .tflite file.
    """
    root = open_model(model)
    try:
        found = _find_entry(root)
        if found is None:
            return model
        buffer = root.Buffers(found)
        field = buffer._tab.Offset(4)
        end = _padded(buffer._tab.Vector(field) + buffer.DataLength())
    except DAMAGED as error:
        raise ModelError("damaged .tflite file") from error
    if model[end + 4 : end + 8] != MAGIC:
        raise ModelError("the card inside was not put there by edgekd: convert the model again")
    return model[end:]


def _find_entry(root: Any) -> int | None:
    """The number of the buffer that holds the card."""
    for number in range(min(root.MetadataLength(), _MAX_ENTRIES)):
        entry = root.Metadata(number)
        if entry.Name() == METADATA_NAME.encode():
            return int(entry.Buffer())
    return None


class _Front:
    """The bytes put in front of a file: a copy of its root table with one more buffer and metadata entry."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._bytes = bytearray(struct.pack("<I4s", 0, MAGIC))
        self._into_old: list[tuple[int, int]] = []

    def write(self, text: bytes) -> bytes:
        table = self._model_table()
        self._point(0, table)
        buffers = self._grown_vector(table, _BUFFERS)
        entries = self._grown_vector(table, _METADATA)
        entry = self._table(2)
        struct.pack_into("<I", self._bytes, entry + 8, self._root.BuffersLength())
        self._point(entries, entry)
        self._point(entry + 4, self._blob(METADATA_NAME.encode() + b"\0", length=len(METADATA_NAME)))
        buffer = self._table(1)
        self._point(buffers, buffer)
        self._point(buffer + 4, self._blob(text, length=len(text)))
        self._pad(0)
        for at, old in self._into_old:
            self._point(at, len(self._bytes) + old)
        return bytes(self._bytes)

    def _model_table(self) -> int:
        tab = self._root._tab
        vtable = tab.Pos - struct.unpack_from("<i", tab.Bytes, tab.Pos)[0]
        count = max((struct.unpack_from("<H", tab.Bytes, vtable)[0] - 4) // 2, _METADATA + 1)
        present = [n for n in range(count) if tab.Offset(4 + 2 * n) or n in (_BUFFERS, _METADATA)]
        table = self._table(count, present)
        struct.pack_into("<I", self._bytes, table + 4, self._root.Version())
        for n in present[1:] if present[0] == 0 else present:
            if n not in (_BUFFERS, _METADATA):
                self._into_old.append((table + 4 + 4 * n, tab.Indirect(tab.Pos + tab.Offset(4 + 2 * n))))
        return table

    def _table(self, count: int, present: list[int] | None = None) -> int:
        """The place of a new table of `count` four-byte fields, behind its vtable."""
        fields = range(count) if present is None else present
        offsets = [4 + 4 * n if n in fields else 0 for n in range(count)]
        vtable = len(self._bytes)
        self._bytes += struct.pack(f"<{2 + count}H", 4 + 2 * count, 4 + 4 * count, *offsets)
        self._bytes += bytes(-len(self._bytes) % 4)
        table = len(self._bytes)
        self._bytes += struct.pack("<i", table - vtable) + bytes(4 * count)
        return table

    def _grown_vector(self, table: int, field: int) -> int:
        """Copy a vector of tables with room for one more; the place of that last pointer."""
        tab = self._root._tab
        offset = tab.Offset(4 + 2 * field)
        count, begin = (tab.VectorLen(offset), tab.Vector(offset)) if offset else (0, 0)
        self._point(table + 4 + 4 * field, len(self._bytes))
        self._bytes += struct.pack("<I", count + 1)
        for n in range(count):
            self._into_old.append((len(self._bytes), tab.Indirect(begin + 4 * n)))
            self._bytes += bytes(4)
        self._bytes += bytes(4)
        return len(self._bytes) - 4

    def _blob(self, content: bytes, *, length: int) -> int:
        """The place of a vector or string of bytes, its first byte 16-byte aligned."""
        self._pad(4)
        place = len(self._bytes)
        self._bytes += struct.pack("<I", length) + content
        self._bytes += bytes(-len(self._bytes) % 4)
        return place

    def _pad(self, ahead: int) -> None:
        self._bytes += bytes(-(len(self._bytes) + ahead) % _ALIGN)

    def _point(self, at: int, target: int) -> None:
        struct.pack_into("<I", self._bytes, at, target - at)


def _padded(length: int) -> int:
    return length + -length % _ALIGN
