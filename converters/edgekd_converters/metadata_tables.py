"""FlatBuffer tables by field number: written from, and read into, plain values.

What a schema of a page needs, without its generated module: texts, bytes, float vectors, tables and vectors
of tables. Reading trusts nothing: every length has a limit.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias, Union

from flatbuffers import number_types
from flatbuffers.builder import Builder
from flatbuffers.table import Table

Value: TypeAlias = Union[str, int, tuple[float, ...], list["Fields"], "Fields"]
Fields: TypeAlias = Mapping[int, Value]
"""A table: field number → a text, a byte, floats, a vector of tables, or a table."""

_MAX_ITEMS = 100
_MAX_TEXT_BYTES = 1 << 16


def build(fields: Fields, identifier: bytes) -> bytes:
    """The FlatBuffer whose root is `fields`, with a four-byte file identifier."""
    builder = Builder(1024)
    builder.Finish(_write_table(builder, fields), identifier)
    return bytes(builder.Output())


def root(data: bytes) -> Table:
    """The root table of a FlatBuffer."""
    return Table(data, struct.unpack_from("<I", data)[0])


def text(table: Table, field: int) -> str:
    """The text in `field`; empty if there is none.

    Raises:
        ValueError: it is longer than 64 KiB or not UTF-8.
    """
    place = table.Offset(4 + 2 * field)
    if not place:
        return ""
    _limit(table.VectorLen(place), _MAX_TEXT_BYTES)
    return bytes(table.String(table.Pos + place)).decode()


def byte(table: Table, field: int) -> int:
    """The byte in `field`; 0 if there is none."""
    place = table.Offset(4 + 2 * field)
    return int(table.Get(number_types.Uint8Flags, table.Pos + place)) if place else 0


def floats(table: Table, field: int) -> tuple[float, ...]:
    """The float32 numbers in `field`.

    Raises:
        ValueError: there are more than a hundred.
    """
    place = table.Offset(4 + 2 * field)
    if not place:
        return ()
    count = _limit(table.VectorLen(place), _MAX_ITEMS)
    return struct.unpack_from(f"<{count}f", table.Bytes, table.Vector(place))


def child(table: Table, field: int) -> Table | None:
    """The table in `field`."""
    place = table.Offset(4 + 2 * field)
    return Table(table.Bytes, table.Indirect(table.Pos + place)) if place else None


def children(table: Table, field: int) -> list[Table]:
    """The tables of the vector in `field`.

    Raises:
        ValueError: there are more than a hundred.
    """
    place = table.Offset(4 + 2 * field)
    if not place:
        return []
    begin, count = table.Vector(place), _limit(table.VectorLen(place), _MAX_ITEMS)
    return [Table(table.Bytes, table.Indirect(begin + 4 * number)) for number in range(count)]


def _limit(length: int, most: int) -> int:
    if length > most:
        raise ValueError(f"{length} items, expected at most {most}")
    return length


def _write_table(builder: Builder, fields: Fields) -> int:
    places = {n: _write(builder, value) for n, value in fields.items() if not isinstance(value, int)}
    builder.StartObject(max(fields, default=-1) + 1)
    for number, value in fields.items():
        if isinstance(value, int):
            builder.PrependInt8Slot(number, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, places[number], 0)
    return int(builder.EndObject())


def _write(builder: Builder, value: str | tuple[float, ...] | list[Fields] | Fields) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Mapping):
        return _write_table(builder, value)
    places = value if isinstance(value, tuple) else [_write_table(builder, item) for item in value]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        if isinstance(value, tuple):
            builder.PrependFloat32(place)
        else:
            builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())
