"""Named entries put in front of a .tflite file: what the card and the standard metadata are kept in.

A .tflite file is a FlatBuffer: tables that point forward by relative offsets. A *front* is a copy of the root
table with more metadata entries and buffers; it stands before the file and leaves the file itself as it was.
Weights keep their bytes and, because the front is a multiple of 16 bytes long, their 16-byte alignment, which
a file packed anew by the Python FlatBuffers builder would lose. Only an archive appended to the file has its
places written anew, see `metadata_zip`.

There is one front, its entries in the order of their names: in whatever order entries are embedded, the bytes
are the same, and taking one out leaves the file as if it had never been in.

Layout: https://flatbuffers.dev/internals; the schema is TensorFlow's tensorflow/compiler/mlir/lite/schema.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekd.errors import ModelError
from edgekd_converters.metadata_zip import shift_zip

MAGIC = b"TFL3"
DAMAGED = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError)
"""What reading a damaged FlatBuffer from Python raises."""
MAX_BYTES = 1 << 30

_BUFFERS, _METADATA = 4, 6  # places of the fields of table Model
_ALIGN = 16
_MAX_ENTRIES = 1_000_000


def read_model(path: Path) -> bytes:
    """The bytes of a model file that may come from anywhere.

    Raises:
        ModelError: it is missing, no ordinary file, or larger than 1 GiB.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ModelError(f"{path}: cannot be read (not an ordinary file)")
        if found.st_size > MAX_BYTES:
            raise ModelError(f"{path}: {found.st_size} bytes, expected a model of at most {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error


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


def find_entry(model: bytes, name: str) -> bytes | None:
    """The bytes of the metadata entry `name` of a .tflite file, whoever wrote it; None without one.

    Raises:
        ModelError: `model` is not a .tflite file.
    """
    root = open_model(model)
    try:
        for number in range(_count(root.MetadataLength())):
            if root.Metadata(number).Name() == name.encode():
                return _content(root, number)
    except DAMAGED as error:
        raise ModelError("damaged .tflite file") from error
    return None


def embed_entry(model: bytes, name: str, content: bytes) -> bytes:
    """The .tflite file `model` with `content` as its entry `name`, in place of one embedded before.

    Raises:
        ModelError: `model` is not a .tflite file, or holds an entry `name` of another writer.
    """
    entries, base = _peel(model)
    _refuse_foreign(base, name)
    return _put(entries | {name: content}, base)


def strip_entry(model: bytes, name: str) -> bytes:
    """The .tflite file `model` without the entry `name` that was embedded, byte for byte as it was before.

    Raises:
        ModelError: `model` is not a .tflite file, or the entry is of another writer.
    """
    entries, base = _peel(model)
    if name not in entries:
        _refuse_foreign(base, name)
        return model
    del entries[name]
    return _put(entries, base)


def _refuse_foreign(base: bytes, name: str) -> None:
    if find_entry(base, name) is not None:
        raise ModelError(f"the entry {name} inside was not put there by edgekd: convert the model again")


def _peel(model: bytes) -> tuple[dict[str, bytes], bytes]:
    """The entries of the front of a file, and the file behind it."""
    root = open_model(model)
    try:
        total = _count(root.MetadataLength())
        end = _front_end(root, total - 1) if total else 0
        if not end or model[end + 4 : end + 8] != MAGIC:
            return {}, model
        known = open_model(model[end:]).MetadataLength()
        entries = {root.Metadata(n).Name().decode(): _content(root, n) for n in range(known, total)}
        return entries, shift_zip(model[end:], -end)
    except DAMAGED as error:
        raise ModelError("damaged .tflite file") from error


def _put(entries: Mapping[str, bytes], base: bytes) -> bytes:
    if not entries:
        return base
    root = open_model(base)
    try:
        _refuse_outside(root)
        front = _Front(root).write(sorted(entries.items()))
        return front + shift_zip(base, len(front))
    except DAMAGED as error:
        raise ModelError("damaged .tflite file") from error


def _refuse_outside(root: Any) -> None:
    # Only files beyond 2 GB do this; their places count from the start of the file, which a front moves.
    if any(root.Buffers(number).Offset() > 1 for number in range(_count(root.BuffersLength()))):
        raise ModelError("keeps its weights outside of the FlatBuffer: such a file takes no metadata")


def _count(length: int) -> int:
    if length > _MAX_ENTRIES:
        raise ValueError(f"{length} items")
    return length


def _content(root: Any, number: int) -> bytes:
    buffer = root.Buffers(root.Metadata(number).Buffer())
    return bytes(buffer.DataAsNumpy()) if buffer.DataLength() else b""


def _front_end(root: Any, number: int) -> int:
    """Where a front ends whose last entry is `number`; 0 if that entry has no bytes."""
    buffer = root.Buffers(root.Metadata(number).Buffer())
    field = buffer._tab.Offset(4)
    return _padded(buffer._tab.Vector(field) + buffer.DataLength()) if field else 0


class _Front:
    """The bytes put in front of a file: a copy of its root table with more buffers and metadata entries."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._bytes = bytearray(struct.pack("<I4s", 0, MAGIC))
        self._into_old: list[tuple[int, int]] = []

    def write(self, entries: list[tuple[str, bytes]]) -> bytes:
        table = self._model_table()
        self._point(0, table)
        buffers = self._grown_vector(table, _BUFFERS, len(entries))
        metadata = self._grown_vector(table, _METADATA, len(entries))
        for number, (name, content) in enumerate(entries):
            self._entry(metadata + 4 * number, name, self._root.BuffersLength() + number)
            self._buffer(buffers + 4 * number, content)
        self._pad(0)
        for at, old in self._into_old:
            self._point(at, len(self._bytes) + old)
        return bytes(self._bytes)

    def _entry(self, pointer: int, name: str, number: int) -> None:
        entry = self._table(2)
        struct.pack_into("<I", self._bytes, entry + 8, number)
        self._point(pointer, entry)
        text = name.encode()
        self._point(entry + 4, self._blob(text + b"\0", length=len(text)))

    def _buffer(self, pointer: int, content: bytes) -> None:
        buffer = self._table(1)
        self._point(pointer, buffer)
        self._point(buffer + 4, self._blob(content, length=len(content)))

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
        self._bytes += bytes(-len(self._bytes) % 4)
        fields = range(count) if present is None else present
        offsets = [4 + 4 * n if n in fields else 0 for n in range(count)]
        vtable = len(self._bytes)
        self._bytes += struct.pack(f"<{2 + count}H", 4 + 2 * count, 4 + 4 * count, *offsets)
        self._bytes += bytes(-len(self._bytes) % 4)
        table = len(self._bytes)
        self._bytes += struct.pack("<i", table - vtable) + bytes(4 * count)
        return table

    def _grown_vector(self, table: int, field: int, more: int) -> int:
        """Copy a vector of tables with room for `more`; the place of the first of those pointers."""
        tab = self._root._tab
        offset = tab.Offset(4 + 2 * field)
        count, begin = (_count(tab.VectorLen(offset)), tab.Vector(offset)) if offset else (0, 0)
        self._point(table + 4 + 4 * field, len(self._bytes))
        self._bytes += struct.pack("<I", count + more)
        for n in range(count):
            self._into_old.append((len(self._bytes), tab.Indirect(begin + 4 * n)))
            self._bytes += bytes(4)
        self._bytes += bytes(4 * more)
        return len(self._bytes) - 4 * more

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
