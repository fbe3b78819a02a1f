"""`Upload`: an image file and a few fields out of a request, read into memory under limits.

Nothing is written to a file: the multipart reader of the framework would put uploads above a megabyte into
one, so the parts are put together here (python-multipart splits them).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from edgekd.serve.limits import Limits
from edgekd.serve.refusal import Reason, Refusal

IMAGE = "image"
FORM = "multipart/form-data"
RAW = (
    *("image/jpeg", "image/png", "image/bmp", "image/webp", "image/tiff"),
    "application/octet-stream",
)
"""The content types of a request whose body is the image file itself; which kind it is, its bytes say."""

_FORM_SPARE_BYTES = 1 << 16  # what may stand around the image in a form: boundaries, heads of parts, fields
_MAX_PARTS = 16
_MAX_FIELD_BYTES = 256

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


@dataclass(kw_only=True)
class Upload:
    """The bytes of an image file and the fields that came with it, by name."""

    image: bytes
    fields: dict[str, str] = field(default_factory=dict)


class GoneError(Exception):
    """The client closed the connection: there is nobody to answer."""


class Held:
    """How many bytes of uploads are in memory, all requests together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.now = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A function that takes bytes more; they are given back at the end.

        Raises:
            Refusal: from that function: all uploads together would be too many bytes.
        """
        mine = 0

        def take(count: int) -> None:
            nonlocal mine
            if self.now + count > self._limit:
                raise Refusal(Reason.BUSY, "too many uploads at once: try again later", retry_after_s=1)
            self.now += count
            mine += count

        try:
            yield take
        finally:
            self.now -= mine


async def read_upload(
    content_type: str | None,
    content_length: str | None,
    receive: Receive,
    limits: Limits,
    take: Callable[[int], None],
) -> Upload:
    """The upload in the body of a request.

    Raises:
        Refusal: of another type, malformed, too large, too slow, or `take` refuses.
        GoneError: the client left.
    """
    kind, options = parse_options_header(content_type)
    form = kind.decode("latin-1") == FORM
    if not form and kind.decode("latin-1") not in RAW:
        raise Refusal(Reason.MEDIA_TYPE, f"expected the content type {FORM} or one of {', '.join(RAW)}")
    most = limits.max_bytes + (_FORM_SPARE_BYTES if form else 0)
    if content_length is not None and int(content_length) > most:
        raise _too_large(limits)
    parts = _Form(options.get(b"boundary"), limits) if form else _Raw()
    try:
        async with asyncio.timeout(limits.receive_s):
            await _read(receive, parts, most, limits, take)
    except TimeoutError:
        raise Refusal(Reason.TOO_SLOW, f"the body did not arrive in {limits.receive_s:g} s") from None
    upload = parts.upload()
    if not upload.image:
        raise Refusal(Reason.BAD_REQUEST, "the image is empty (0 bytes)")
    return upload


async def _read(
    receive: Receive, parts: _Form | _Raw, most: int, limits: Limits, take: Callable[[int], None]
) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        body, more = message.get("body", b""), message.get("more_body", False)
        size += len(body)
        if size > most:
            raise _too_large(limits)
        take(len(body))
        parts.write(body)


class _Raw:
    """A body that is the image file itself."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, body: bytes) -> None:
        self._chunks.append(body)

    def upload(self) -> Upload:
        return Upload(image=b"".join(self._chunks))


class _Form:
    """A body of parts: the file `image`, and fields."""

    def __init__(self, boundary: bytes | None, limits: Limits) -> None:
        if not boundary or len(boundary) > 70:  # RFC 2046 allows 70 characters
            raise Refusal(Reason.BAD_REQUEST, f"{FORM} without a boundary of 1 to 70 characters")
        self._limits = limits
        self._parts: dict[str, list[bytes]] = {}
        self._size = 0
        self._ended = False
        self._head: dict[bytes, bytes] = {}
        self._header: tuple[list[bytes], list[bytes]] = ([], [])
        self._name = ""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header[0].append(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].append(data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._named,
                "on_part_data": self._data,
                "on_end": self._end,
            },
            max_header_count=8,
            max_header_size=1024,
        )

    def write(self, body: bytes) -> None:
        try:
            self._parser.write(body)
        except FormParserError as error:
            raise Refusal(Reason.BAD_REQUEST, f"malformed {FORM}: {error}") from None

    def upload(self) -> Upload:
        if not self._ended:
            raise Refusal(Reason.BAD_REQUEST, f"malformed {FORM}: it ends before its last boundary")
        if IMAGE not in self._parts:
            raise Refusal(Reason.BAD_REQUEST, f"no part {IMAGE!r}: it is to hold the image file")
        image = b"".join(self._parts.pop(IMAGE))
        try:
            fields = {name: b"".join(chunks).decode() for name, chunks in self._parts.items()}
        except UnicodeDecodeError:
            raise Refusal(Reason.BAD_REQUEST, "a field is not UTF-8") from None
        return Upload(image=image, fields=fields)

    def _begin(self) -> None:
        self._head, self._header, self._size = {}, ([], []), 0
        if len(self._parts) >= _MAX_PARTS:
            raise Refusal(Reason.BAD_REQUEST, f"more than {_MAX_PARTS} parts")

    def _header_end(self) -> None:
        name, value = (b"".join(chunks) for chunks in self._header)
        self._head[name.lower()] = value
        self._header = ([], [])

    def _named(self) -> None:
        _, options = parse_options_header(self._head.get(b"content-disposition"))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if not self._name or self._name in self._parts:
            raise Refusal(Reason.BAD_REQUEST, "a part without a name, or a name twice")
        self._parts[self._name] = []

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        most = self._limits.max_bytes if self._name == IMAGE else _MAX_FIELD_BYTES
        if self._size > most and self._name == IMAGE:
            raise _too_large(self._limits)
        if self._size > most:
            raise Refusal(Reason.BAD_REQUEST, f"a field of more than {_MAX_FIELD_BYTES} bytes")
        self._parts[self._name].append(data[start:end])

    def _end(self) -> None:
        self._ended = True


def _too_large(limits: Limits) -> Refusal:
    return Refusal(Reason.TOO_LARGE, f"an image file may have at most {limits.max_bytes:,} bytes here")
