"""Frames between the server and its workers: what is meant as JSON, then bytes (an image file).

4 bytes  length of the JSON text      little-endian, unsigned
4 bytes  length of the bytes
JSON in UTF-8, then the bytes
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any, Protocol

_HEAD = struct.Struct("<II")


class Stream(Protocol):
    """A blocking stream of bytes, both ways."""

    def read(self, size: int, /) -> bytes:
        """`size` bytes, fewer only at the end."""

    def write(self, data: bytes, /) -> int:
        """Take `data`, all of it."""

    def flush(self) -> None:
        """Send what was taken."""


def pack(meaning: Any, data: bytes = b"") -> list[bytes]:
    """The parts of one frame, to be written one after another."""
    text = json.dumps(meaning, separators=(",", ":"), allow_nan=False).encode()
    return [_HEAD.pack(len(text), len(data)) + text, data]


def receive(stream: Stream) -> tuple[Any, bytes]:
    """The next frame of a blocking `stream`.

    Raises:
        EOFError: the other side is gone.
    """
    text_size, data_size = _HEAD.unpack(_exactly(stream, _HEAD.size))
    return json.loads(_exactly(stream, text_size)), _exactly(stream, data_size)


async def receive_async(reader: asyncio.StreamReader) -> tuple[Any, bytes]:
    """The next frame of `reader`.

    Raises:
        EOFError: the other side is gone (`asyncio.IncompleteReadError`).
        ConnectionError: the other side was killed.
    """
    text_size, data_size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    body = await reader.readexactly(text_size + data_size)
    return json.loads(body[:text_size]), body[text_size:]


def _exactly(stream: Stream, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
