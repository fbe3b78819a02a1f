"""The zip archive at the end of a .tflite file, where standard metadata keeps its label files.

A zip is read from its end: a directory lists the files with their places, counted from the start of the whole
file. Bytes put in front of a model therefore move every place; `shift_zip` writes the places anew.

Layout: APPNOTE.TXT of PKWARE, sections 4.3.7 (local header), 4.3.12 (directory) and 4.3.16 (end).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from edgekd.errors import ModelError

_LOCAL, _ENTRY, _END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_LOCAL_FORMAT, _ENTRY_FORMAT, _END_FORMAT = "<4s5H3I2H", "<4s6H3I5H2I", "<4s4H2IH"
_LOCAL_SIZE, _ENTRY_SIZE, _END_SIZE = (
    struct.calcsize(text) for text in (_LOCAL_FORMAT, _ENTRY_FORMAT, _END_FORMAT)
)
_ENTRY_PLACE = 42  # of a file's place within its line of the directory
_END_PLACE = 16  # of the directory's place within the end record
_LONGEST_COMMENT = 0xFFFF
_VERSION, _STORED, _FIRST_DAY = 20, 0, 0x21  # 2.0; not compressed; 1 January 1980
_MAX_FILES = 1000


@dataclass(frozen=True)
class ZipEntry:
    """One file: `line` is where the directory lists it, `place` what is written there as its own place."""

    name: str
    method: int
    size: int
    place: int
    line: int


@dataclass(frozen=True)
class Zip:
    """An archive found: its first byte, what its written places lack, and where its end record is."""

    entries: tuple[ZipEntry, ...]
    begin: int
    prefix: int
    end: int


def write_zip(name: str, content: bytes, *, at: int) -> bytes:
    """An archive of one uncompressed file, to stand `at` bytes into a file; without time or owner.

    Uncompressed, because readers of metadata hand the bytes out as they lie.
    """
    path, size = name.encode(), len(content)
    facts = (0, _STORED, 0, _FIRST_DAY, zlib.crc32(content), size, size, len(path), 0)
    local = struct.pack(_LOCAL_FORMAT, _LOCAL, _VERSION, *facts) + path + content
    line = struct.pack(_ENTRY_FORMAT, _ENTRY, _VERSION, _VERSION, *facts, 0, 0, 0, 0, at) + path
    end = struct.pack(_END_FORMAT, _END, 0, 0, 1, 1, len(line), at + len(local), 0)
    return local + line + end


def find_zip(data: bytes) -> Zip | None:
    """The archive that `data` ends with, or None; no byte of its files is read.

    Raises:
        struct.error, ValueError: the archive is damaged or lists more than a thousand files.
    """
    end = data.rfind(_END, max(0, len(data) - _END_SIZE - _LONGEST_COMMENT))
    if end < 0 or len(data) < end + _END_SIZE:
        return None
    _, _, _, _, count, size, place, comment = struct.unpack_from(_END_FORMAT, data, end)
    begin = end - size
    if end + _END_SIZE + comment != len(data) or begin < 0 or data[begin : begin + 4] != _ENTRY:
        return None
    if count > _MAX_FILES:
        raise ValueError(f"{count} files in the archive at the end")
    entries = tuple(_entries(data, begin, count))
    prefix = begin - place
    first = min(entry.place for entry in entries) + prefix
    if first < 0 or data[first : first + 4] != _LOCAL:
        raise ValueError("the archive at the end points outside of itself")
    return Zip(entries, first, prefix, end)


def shift_zip(data: bytes, by: int) -> bytes:
    """`data` with the places in the archive at its end, if there is one, written `by` bytes further.

    Raises:
        struct.error, ValueError: the archive is damaged.
    """
    found = find_zip(data)
    if found is None:
        return data
    moved = bytearray(data)
    for place in (*(entry.line + _ENTRY_PLACE for entry in found.entries), found.end + _END_PLACE):
        struct.pack_into("<I", moved, place, struct.unpack_from("<I", moved, place)[0] + by)
    return bytes(moved)


def read_zipped(data: bytes, name: str, *, limit: int) -> bytes:
    """The bytes of the file `name` in the archive that `data` ends with.

    Raises:
        ModelError: there is no such file, or it is compressed or longer than `limit` bytes.
        struct.error, ValueError: the archive is damaged.
    """
    found = find_zip(data)
    entry = next((entry for entry in found.entries if entry.name == name), None) if found else None
    if found is None or entry is None:
        raise ModelError(f"the metadata names a file {name!r} that is not in the archive at the end")
    if entry.method != _STORED or entry.size > limit:
        raise ModelError(f"file {name!r} in the archive: expected at most {limit} bytes, not compressed")
    at = entry.place + found.prefix
    if at < 0 or data[at : at + 4] != _LOCAL:
        raise ValueError("a file of the archive is not where the directory says")
    *_, path, extra = struct.unpack_from(_LOCAL_FORMAT, data, at)
    begin = at + _LOCAL_SIZE + path + extra
    return data[begin : begin + entry.size]


def _entries(data: bytes, at: int, count: int) -> list[ZipEntry]:
    entries = []
    for _ in range(count):
        fields = struct.unpack_from(_ENTRY_FORMAT, data, at)
        if fields[0] != _ENTRY:
            raise ValueError("the directory of the archive at the end is damaged")
        path, extra, comment = fields[10:13]
        name = data[at + _ENTRY_SIZE : at + _ENTRY_SIZE + path].decode(errors="replace")
        entries.append(ZipEntry(name, method=fields[4], size=fields[9], place=fields[-1], line=at))
        at += _ENTRY_SIZE + path + extra + comment
    return entries
