"""`Gate`: what every request passes first and last: keys, a full queue, the access log, the counts, bugs.

It stands before the framework, so that what is refused for want of a place costs next to nothing: under twice
the load that can be answered, half of all requests are. For the same reason a picture goes straight to its
`predict`; the framework describes that route, and answers its other methods.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgekd.console import log
from edgekd.serve.keys import Keys
from edgekd.serve.metrics import Metrics
from edgekd.serve.pool import Pool
from edgekd.serve.refusal import Reason, Refusal
from edgekd.serve.upload import GoneError

PREDICT, CARD, HEALTH, READY, METRICS, OPENAPI = (
    *("/api/predict", "/api/card", "/healthz", "/readyz", "/metrics", "/openapi.json"),
)
ROUTES = frozenset({"/", PREDICT, CARD, HEALTH, READY, METRICS, OPENAPI})
_OPEN = frozenset({"/", HEALTH, READY, OPENAPI})
_GONE = 499  # as nginx writes it: the client left before the answer

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Predict = Callable[[Request], Awaitable[Response]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Gate:
    """An ASGI application around `inner`; `predict` answers a POST to `PREDICT`."""

    def __init__(
        self, inner: Application, predict: Predict, *, pool: Pool, keys: Keys, metrics: Metrics
    ) -> None:
        self._inner, self._predict = inner, predict
        self._pool, self._keys, self._metrics = pool, keys, metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._check(scope)
            if _is_predict(scope):
                response = await self._predict(Request(scope, receive))
                await response(scope, receive, watched)
            else:
                await self._inner(scope, receive, watched)
        except Refusal as refusal:
            await refusal.response()(scope, receive, watched)
        except GoneError:
            status = _GONE
        except Exception as error:  # a bug; its message might quote the picture, so only its place is told
            log.error("a bug of edgekd: %s", _place(error))
            if not status:
                bug = Refusal(Reason.BUG, "a bug of edgekd; its place is in the log of the service")
                await bug.response()(scope, receive, watched)
        self._note(scope, status, time.perf_counter() - began)

    def _check(self, scope: Message) -> None:
        path = scope["path"]
        if self._keys and path not in _OPEN and not self._keys.opens(scope["headers"]):
            raise Refusal(Reason.NO_KEY, "expected a valid API key: Authorization: Bearer KEY")
        if _is_predict(scope) and self._pool.full:
            raise self._pool.busy()

    def _note(self, scope: Message, status: int, seconds: float) -> None:
        """Log and count the route: no query, no address, no name of a file, no path of the client's own."""
        route = scope["path"] if scope["path"] in ROUTES else "(no such path)"
        self._metrics.answered(route, status, seconds)
        log.info("%s %s %d %.1f ms", _method(scope["method"]), route, status, 1e3 * seconds)


def _is_predict(scope: Message) -> bool:
    return bool(scope["path"] == PREDICT and scope["method"] == "POST")


def _method(text: str) -> str:
    return text if text in {"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"} else "?"


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
    return f"{type(error).__name__} at {' > '.join(places)}"
