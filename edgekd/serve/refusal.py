"""`Refusal`: an answer other than 200, raised where it is known and sent in one place."""

from __future__ import annotations

import enum
import json

from starlette.responses import Response


class Reason(enum.StrEnum):
    """The word a program can act on; each has one HTTP status."""

    BAD_REQUEST = "bad_request"
    NO_KEY = "no_key"
    NOT_FOUND = "not_found"
    METHOD = "method_not_allowed"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"
    MEDIA_TYPE = "media_type"
    NO_IMAGE = "no_usable_image"
    BUSY = "busy"
    BUG = "bug"
    NO_WORKER = "no_worker"


STATUS: dict[Reason, int] = {
    Reason.BAD_REQUEST: 400,
    Reason.NO_KEY: 401,
    Reason.NOT_FOUND: 404,
    Reason.METHOD: 405,
    Reason.TOO_SLOW: 408,
    Reason.TOO_LARGE: 413,
    Reason.MEDIA_TYPE: 415,
    Reason.NO_IMAGE: 422,
    Reason.BUSY: 429,
    Reason.BUG: 500,
    Reason.NO_WORKER: 503,
}
"""The HTTP status of each reason."""


class Refusal(Exception):  # noqa: N818 - an answer, not an error
    """A request not answered as asked: `reason`, `detail` in one line, seconds until it may be repeated."""

    def __init__(self, reason: Reason, detail: str, *, retry_after_s: int | None = None) -> None:
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s
        super().__init__(detail)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.reason]

    def response(self) -> Response:
        """The refusal as JSON, with the headers its status asks for."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        if self.reason is Reason.NO_KEY:
            headers["WWW-Authenticate"] = "Bearer"
        body = json.dumps({"error": self.reason.value, "detail": self.detail})
        return Response(body, self.status, headers, media_type="application/json")
