"""TFRecord files: one record after the other, each with its length and two checksums.

    uint64 length · uint32 crc(length) · length bytes · uint32 crc(bytes)          little-endian throughout

crc is CRC-32C, rotated and offset as in TensorFlow's lib/hash/crc32c.h: ((c >> 15) | (c << 17)) + 0xa282ead8.
A file of the GZIP or ZLIB kind is not read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from edgekd.errors import DataError
from edgekd.imaging.decode import MAX_BYTES as MAX_IMAGE_BYTES

MAX_BYTES = MAX_IMAGE_BYTES + (1 << 20)
"""The longest record that is read: the largest image, and a mebibyte of what is known about it."""

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_HEAD = _LENGTH.size + _CRC.size


def write_record(file: BinaryIO, data: bytes) -> None:
    """Append `data` to `file` as one record."""
    for part in frame(data):
        file.write(part)


def frame(data: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before `data`, `data`, and what stands behind it."""
    length = _LENGTH.pack(len(data))
    return length + _CRC.pack(_masked_crc(length)), data, _CRC.pack(_masked_crc(data))


def records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every record of `path` with the byte it begins at; one is in memory at a time.

    Raises:
        DataError: the file cannot be read, holds no record, is cut off or damaged; the record is named.
    """
    number, begin = 0, 0
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while begin < size or number == 0:
                data = _read(file, size - begin)
                yield begin, data
                number, begin = number + 1, file.tell()
    except OSError as error:
        raise DataError(f"{path}: cannot read the file ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}, record {number} (byte {begin}): {error}") from error


def record_at(path: Path, begin: int) -> bytes:
    """The record of `path` that begins at byte `begin`.

    Raises:
        OSError: the file cannot be read.
        ValueError: no whole record begins there.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(begin)
        return _read(file, size - begin)


def _read(file: BinaryIO, left: int) -> bytes:
    """The record `file` stands before, `left` bytes before the end; its word alone allocates nothing."""
    head = file.read(_HEAD)
    if len(head) < _HEAD:
        raise ValueError(
            f"cut off: {len(head)} bytes left, a record begins with {_HEAD}; copy the file again"
        )
    (length,), (crc,) = _LENGTH.unpack_from(head), _CRC.unpack_from(head, _LENGTH.size)
    if _masked_crc(head[: _LENGTH.size]) != crc:
        packed = "gzip data, unpack it first" if head[:2] == b"\x1f\x8b" else "damaged, or no TFRecord file"
        raise ValueError(f"the checksum of its length is wrong: {packed}")
    if length > MAX_BYTES:
        raise ValueError(f"a record of {length:,} bytes, the limit is {MAX_BYTES:,}")
    rest = file.read(length + _CRC.size) if length + _CRC.size <= left - _HEAD else b""
    if len(rest) < length + _CRC.size:
        raise ValueError(
            f"cut off: a record of {length:,} bytes, {left - _HEAD:,} are left; copy the file again"
        )
    data = rest[:length]
    if _masked_crc(data) != _CRC.unpack_from(rest, length)[0]:
        raise ValueError("its checksum is wrong: the file is damaged, copy it again")
    return data


def _masked_crc(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
