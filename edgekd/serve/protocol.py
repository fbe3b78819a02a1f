"""HTTP/1.1 as uvicorn speaks it, with the limits that it leaves to a proxy in front.

Added: a time for the head of a request to arrive and a size it may have, an end to a body that nobody reads
any more (the answer was given early, as to an upload that is too large), a number of connections, and an
answer for a client that closes its sending side early. The reader is llhttp (of Node.js, through httptools),
strict: it refuses what could be read in two ways (two Content-Length, Content-Length beside chunks, folded or
malformed heads); what it lets pass of that kind is refused here. A reader in Python (h11) took more of the
processor's time than all else between a picture and its worker.
"""

from __future__ import annotations

import asyncio
import enum
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edgekd.serve.limits import Limits
from edgekd.serve.refusal import STATUS, Reason

_LINGER_S = 2.0
_MAX_HEAD_BYTES = 16 * 1024
_VERSIONS = ("1.0", "1.1")  # llhttp also reads 0.9, a path alone, and 2.0
_PHRASE = {400: "Bad Request", 408: "Request Timeout", 429: "Too Many Requests"}


def limited(limits: Limits) -> type[HttpToolsProtocol]:
    """The protocol class for these limits."""
    return type("LimitedProtocol", (_Protocol,), {"limits": limits})


class _Part(enum.Enum):
    """What of a request the next byte belongs to; IDLE: it would begin one."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()


class _Protocol(HttpToolsProtocol):
    """One connection. `cycle` is the last request whose head is there; those before it are answered first."""

    limits: Limits

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._part = _Part.IDLE
        self._head_bytes = 0  # of what the reader has told of this head
        self._raw_head_bytes = 0  # of what came in the middle of it, told or not
        self._hosts = 0
        self._drained = 0
        self._said_all = False
        self._deaf = False  # nothing that comes is read as HTTP any more
        self._broken = False  # and what has come was none: told once the requests before it are answered
        self._lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._close_with(Reason.BUSY, "too many connections: try again later")
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._draining() or self._deaf:
            self._drained += len(data)
            if self._drained > self.limits.max_bytes:
                self.transport.abort()
                return
        if self._deaf:
            return
        in_head = self._part is _Part.HEAD
        super().data_received(data)
        if in_head and self._part is _Part.HEAD:
            self._raw_head_bytes += len(data)
            if self._raw_head_bytes > _MAX_HEAD_BYTES:
                self.send_400_response("")
        self._watch()

    def on_message_begin(self) -> None:
        """The first byte of a request is there."""
        self._part = _Part.HEAD
        self._head_bytes = self._raw_head_bytes = self._hosts = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the path and query is there."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header is there; those that follow a body in chunks are left out.

        Raises:
            ValueError: too much of them, or a coding of the body that is not known here.
        """
        self._count(len(name) + len(value) + len(": \r\n"))
        if self._part is _Part.BODY:
            return
        kind = name.lower()
        self._hosts += kind == b"host"
        if kind == b"transfer-encoding" and value.lower() != b"chunked":
            raise ValueError("no coding but chunked is read")
        super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        """The head is there.

        Raises:
            ValueError: it is of another version, or names no host, or two (RFC 9112, 3.2).
        """
        version = self.parser.get_http_version()
        if version not in _VERSIONS or self._hosts > 1 or (version == "1.1" and not self._hosts):
            raise ValueError(f"HTTP {version} with {self._hosts} Host")
        self._part = _Part.BODY
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there."""
        self._part = _Part.IDLE
        super().on_message_complete()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether to stay for writing: a client that has said all may wait for its answers."""
        self._said_all = True
        return not self._lingering and self._still_owed()

    def on_response_complete(self) -> None:
        self._drained = 0
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._broken and not self._owed():
            self._tell_broken()
        elif not self._said_all or self._still_owed():
            self._watch()

    def send_400_response(self, msg: str) -> None:
        """The answer to what is no HTTP, after those to the requests before it; none amid another answer."""
        del msg
        self._deaf = True
        if self._owed() and not self._in_own_body():
            self._broken = True
        else:
            self._tell_broken()

    def _unsupported_upgrade_warning(self) -> None:
        """Another protocol was asked for: the request is answered, what follows is no HTTP."""
        self._deaf = True
        self.cycle.keep_alive = False

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > _MAX_HEAD_BYTES:
            raise ValueError("a head too large")

    def _tell_broken(self) -> None:
        self._close_with(Reason.BAD_REQUEST, "no HTTP/1.1 that could be read, or a head too large")

    def _still_owed(self) -> bool:
        """Whether a client that sends no more is owed an answer; else it is told what is missing."""
        waiting = self._owed()
        if waiting and self._in_own_body():
            self._close_with(Reason.BAD_REQUEST, "the body ends before the length its head promised")
        elif not waiting and self._part is _Part.HEAD:
            self._close_with(Reason.BAD_REQUEST, "the head of the request is not whole")
        elif not waiting:
            self.transport.close()
        return waiting and not self._lingering and not self.transport.is_closing()

    def _owed(self) -> bool:
        """Whether an answer is still to come, or on its way."""
        return self.cycle is not None and not self.cycle.response_complete

    def _in_own_body(self) -> bool:
        """Whether the body that arrives is that of the request which is being answered."""
        return self._part is _Part.BODY and not self.pipeline

    def _draining(self) -> bool:
        return self._part is _Part.BODY and not self._owed()

    def _watch(self) -> None:
        """Set a time for what is awaited from the client, where none runs already."""
        if self._lingering:
            return
        in_head = self._part is _Part.HEAD and not self._owed()
        fresh = self.cycle is None
        if not (in_head or fresh or self._draining()):
            self._unwatch()
        elif self._timer is None:
            seconds = self.limits.receive_s if self._draining() else self.limits.header_s
            self._timer = self.loop.call_later(seconds, self._too_slow)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._draining():
            self.transport.abort()
        else:
            self._close_with(Reason.TOO_SLOW, f"the head did not arrive in {self.limits.header_s:g} s")

    def _close_with(self, reason: Reason, detail: str) -> None:
        """Send a refusal without the application, unless an answer has begun, and close."""
        if self._lingering or self.transport.is_closing():
            return
        if not (self._draining() or (self._owed() and self.cycle.response_started)):
            self.transport.write(_refusal(reason, detail))
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._linger()

    def _linger(self) -> None:
        """Close for writing, and read on for a while without looking.

        To close on bytes that are still coming resets the connection, and the answer may be lost with it.
        """
        self._lingering = self._deaf = True
        self.transport.write_eof()
        self.flow.resume_reading()
        self._unwatch()
        self._timer = self.loop.call_later(_LINGER_S, self.transport.abort)


def _refusal(reason: Reason, detail: str) -> bytes:
    status = STATUS[reason]
    body = json.dumps({"error": reason.value, "detail": detail}).encode()
    head = [
        f"HTTP/1.1 {status} {_PHRASE[status]}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(["Retry-After: 1"] if reason is Reason.BUSY else []),
    ]
    return "\r\n".join([*head, "", ""]).encode("ascii") + body
