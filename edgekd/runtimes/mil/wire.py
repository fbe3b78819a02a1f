"""`Message`: one level of a serialized protobuf message, read with bounds and a budget; and its writing.

`import coremltools` loads TensorFlow; reading and editing a few fields needs neither it nor protobuf.
Wire format: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgekd.errors import ModelError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DAMAGED = "damaged model file: a field ends outside of it"


@dataclass(slots=True)
class Budget:
    """How many more fields may be read, so that a malicious file cannot take for ever."""

    fields: int = 1_000_000

    def spend(self) -> None:
        """Count one field."""
        self.fields -= 1
        if self.fields < 0:
            raise ModelError("damaged model file: more fields than any model has")


class Message:
    """The fields of one serialized message.

    A field that occurs more than once counts as protobuf says: the last number, the parts of a message
    joined, all items of a list. A missing field is 0, "" or an empty message.

    Raises:
        ModelError: from every method, when the bytes are no such message.
    """

    __slots__ = ("_budget", "_fields")

    def __init__(self, data: bytes | memoryview, budget: Budget) -> None:
        self._budget = budget
        self._fields: dict[int, list[int | memoryview]] = {}
        for number, value, _, _ in _scan(memoryview(data)):
            budget.spend()
            self._fields.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def numbers(self) -> tuple[int, ...]:
        """The numbers of the fields that are there."""
        return tuple(self._fields)

    def integer(self, number: int) -> int:
        """A whole number; a negative one is read as the signed 64-bit value it stands for."""
        found = self._fields.get(number, [0])[-1]
        if not isinstance(found, int):
            raise ModelError(f"damaged model file: field {number} is no number")
        return _signed(found)

    def blobs(self, number: int) -> list[memoryview]:
        """All byte strings of a field, undecoded."""
        found = self._fields.get(number, [])
        if any(isinstance(value, int) for value in found):
            raise ModelError(f"damaged model file: field {number} is a number")
        return [value for value in found if isinstance(value, memoryview)]

    def joined(self, number: int) -> bytes:
        """All byte strings of a field in one: a message in parts, packed numbers."""
        return b"".join(self.blobs(number))

    def integers(self, number: int) -> list[int]:
        """A list of whole numbers, packed or not."""
        numbers: list[int] = []
        for value in self._fields.get(number, []):
            if isinstance(value, int):
                numbers.append(_signed(value))
                continue
            at = 0
            while at < len(value):
                self._budget.spend()
                item, at = _varint(value, at)
                numbers.append(_signed(item))
        return numbers

    def text(self, number: int) -> str:
        """A string; what is not UTF-8 in it is replaced."""
        found = self.blobs(number)
        return _text(found[-1]) if found else ""

    def texts(self, number: int) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(_text(value) for value in self.blobs(number))

    def message(self, number: int) -> Message:
        """The message in a field."""
        return Message(self.joined(number), self._budget)

    def messages(self, number: int) -> list[Message]:
        """A list of messages."""
        return [Message(value, self._budget) for value in self.blobs(number)]

    def mapping(self, number: int) -> dict[str, Message]:
        """A map from strings to messages."""
        return {entry.text(1): entry.message(2) for entry in self.messages(number)}


def encode(number: int, payload: bytes | str) -> bytes:
    """One field of bytes, text or a serialized message."""
    data = payload.encode() if isinstance(payload, str) else payload
    return _encode_varint(number << 3 | _BYTES) + _encode_varint(len(data)) + data


def replace(data: bytes, number: int, payloads: Sequence[bytes | str]) -> bytes:
    """The serialized message `data` with `payloads` as the only values of its field `number`.

    All other fields keep their bytes and order.

    Raises:
        ModelError: `data` is no serialized message.
    """
    view = memoryview(data)
    kept = [bytes(view[begin:end]) for found, _, begin, end in _scan(view) if found != number]
    return b"".join([*kept, *(encode(number, payload) for payload in payloads)])


def _scan(view: memoryview) -> Iterator[tuple[int, int | memoryview, int, int]]:
    """(number, value, begin, end) of every field."""
    at = 0
    while at < len(view):
        begin = at
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if not number:
            raise ModelError("damaged model file: a field has number 0")
        if kind == _VARINT:
            value, at = _varint(view, at)
            yield number, value, begin, at
            continue
        length, at = _length(view, at, kind)
        if length > len(view) - at:
            raise ModelError(_DAMAGED)
        at += length
        yield number, view[at - length : at], begin, at


def _length(view: memoryview, at: int, kind: int) -> tuple[int, int]:
    if kind == _BYTES:
        return _varint(view, at)
    if kind in (_FIXED32, _FIXED64):
        return 4 if kind == _FIXED32 else 8, at
    raise ModelError(f"damaged model file: a field of kind {kind}")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(view[at : at + 10]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ModelError(_DAMAGED)


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _encode_varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _text(value: memoryview) -> str:
    return bytes(value).decode(errors="replace")
