"""HTTP/1.1 as uvicorn speaks it, with the limits that it leaves to a proxy in front.

Added: a time for the head of a request to arrive, an end to a body that nobody reads any more (the answer was
given early, as to an upload that is too large), a number of connections, and an answer for a client that
closes its sending side early. The reader is h11, which refuses what could be read in two ways (two different
Content-Length, Content-Length beside chunks, folded or malformed heads).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgekd.serve.limits import Limits
from edgekd.serve.refusal import STATUS, Reason

_LINGER_S = 2.0
_PHRASE = {400: "Bad Request", 408: "Request Timeout", 429: "Too Many Requests"}


def limited(limits: Limits) -> type[H11Protocol]:
    """The protocol class for these limits."""
    return type("LimitedProtocol", (_Protocol,), {"limits": limits})


class _Protocol(H11Protocol):
    limits: Limits

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._drained = 0
        self._said_all = False
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
        if self._draining() or self._lingering:
            self._drained += len(data)
            if self._drained > self.limits.max_bytes:
                self.transport.abort()
                return
        if self._lingering:
            return
        super().data_received(data)
        self._watch()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether to stay for writing: a client that has said all may wait for its answers."""
        self._said_all = True
        return not self._lingering and self._still_owed()

    def on_response_complete(self) -> None:
        self._drained = 0
        super().on_response_complete()
        if not self.transport.is_closing() and (not self._said_all or self._still_owed()):
            self._watch()

    def _still_owed(self) -> bool:
        """Whether a client that sends no more is owed an answer; else it is told what is missing."""
        waiting = self.cycle is not None and not self.cycle.response_complete
        if waiting and self._in_body():
            self._close_with(Reason.BAD_REQUEST, "the body ends before the length its head promised")
        elif not waiting and self.conn.trailing_data[0]:
            self._close_with(Reason.BAD_REQUEST, "the head of the request is not whole")
        elif not waiting:
            self.transport.close()
        return waiting and not self._lingering and not self.transport.is_closing()

    def send_400_response(self, msg: str) -> None:
        """The answer to what is no HTTP; none where another answer has gone out already."""
        del msg
        self._close_with(Reason.BAD_REQUEST, "no HTTP/1.1 that could be read, or a head too large")

    def _draining(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete and self._in_body()

    def _in_body(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY

    def _watch(self) -> None:
        """Set a time for what is awaited from the client, where none runs already."""
        if self._lingering:
            return
        in_head = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
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
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_refusal(reason, detail))
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._linger()

    def _linger(self) -> None:
        """Close for writing, and read on for a while without looking.

        To close on bytes that are still coming resets the connection, and the answer may be lost with it.
        """
        self._lingering = True
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
