"""One file over HTTP, resumed where the last attempt ended.

What has arrived lies in `<name>.part`, and beside it `<name>.part.json` says from which address and of which
version (its ETag, or else its date). Only if the server still has that version are more bytes appended, by a
range request (RFC 9110, sections 13.1.5 and 14); otherwise the file is begun anew.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from edgekd.console import log, progress
from edgekd.errors import DataError, EdgekdError, RunBusyError, StorageError, UsageError
from edgekd.plain import from_plain, read_json, write_json

_BLOCK = 1 << 20
_MB = 10**6
_ATTEMPTS = 5
_TIMEOUT_S = 60.0
_AGENT = "edgekd"  # Dataverse refuses the name urllib gives itself
_LATER = (408, 425, 429, 500, 502, 503, 504)


class NotThereError(DataError):
    """The server answers and does not give this file."""


class UnreachableError(DataError):
    """No server answers, or not for long enough."""


class _CutError(Exception):
    """The connection ended before the file did; what arrived is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """What `.part.json` remembers: the address, and version and size of the file there, where told."""

    url: str
    version: str = ""
    size_bytes: int | None = None


def check_url(url: str) -> str:
    """`url` without a slash at its end.

    Raises:
        UsageError: it is not an address of a web server.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"the address is {url!r}, expected http://… or https://…")
    return url.rstrip("/")


def download(url: str, part: Path, *, size_bytes: int, pause_s: float = 1.0) -> None:
    """Get all of `url` into `part`, which may hold the beginning of it.

    `size_bytes` is what to expect until the server tells. A connection that breaks is made again, up to five
    times in a row without a new byte, after `pause_s` seconds and twice as long each time.

    Raises:
        NotThereError: the server does not give the file.
        UnreachableError: no answer, or the connection keeps breaking; what arrived is kept.
        RunBusyError: another process is getting the same file.
        StorageError: there is no room for it.
    """
    with _locked(part) as file:
        failures, began = 0, _size(file)
        while True:
            before = _size(file)
            try:
                _receive(url, part, file, size_bytes, patient=before > began)
                return
            except _CutError as error:
                failures = 1 if _size(file) > before else failures + 1
                if failures == _ATTEMPTS:
                    raise UnreachableError(
                        f"{url}: the connection broke {failures} times in a row ({error}); {_size(file):,} "
                        f"bytes are kept in {part}, repeat the command to go on from there"
                    ) from error
                log.info("%s: %s after %d bytes; going on", part.stem, error, _size(file))
            time.sleep(pause_s * 2 ** (failures - 1))


def finish(part: Path, target: Path) -> None:
    """Give the whole and checked `part` its name."""
    part.replace(target)
    _note(part).unlink(missing_ok=True)


def forget(part: Path) -> None:
    """Delete `part` and what is remembered about it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunBusyError(f"{part}: another process is getting this file") from error
        yield file


def _receive(url: str, part: Path, file: BinaryIO, size_bytes: int, *, patient: bool) -> None:
    """Append what is missing.

    Raises:
        _CutError: not all of it came.
    """
    begun = _recall(part, url)
    offset = _usable(begun, _size(file))
    if offset == begun.size_bytes:
        return
    with _answer(begun, offset, patient=patient) as response:
        start = _continued(response, begun, offset)
        file.truncate(start or 0)
        if start is None:
            raise _CutError("the file has changed")
        length = response.headers.get("Content-Length", "")
        total = _size(file) + int(length) if length.isdecimal() else None
        write_json(_note(part), _Begun(url=url, version=_version(response), size_bytes=total))
        rest = max(0, (total or size_bytes) - _size(file))
        _check_room(part, rest)
        with progress(part.stem, max(1, rest // _MB), "MB") as advance:
            _copy(response, file, advance)
    if total is not None and _size(file) != total:
        raise _CutError("the connection ended early")


def _answer(begun: _Begun, offset: int, *, patient: bool) -> http.client.HTTPResponse:
    """The answer to a request for what comes after `offset`, or for everything if the version has changed."""
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    request = urllib.request.Request(begun.url, headers=headers)  # noqa: S310 - see check_url
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        request.add_header("If-Range", begun.version)
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _LATER:
            raise _CutError(f"the server answers {error.code} {error.reason}") from error
        raise NotThereError(f"{begun.url}: the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        if patient or isinstance(error.reason, TimeoutError | ConnectionResetError):
            raise _CutError(str(error.reason)) from error
        raise UnreachableError(f"{begun.url}: cannot be reached ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(str(error) or type(error).__name__) from error
    return answer


def _usable(begun: _Begun, size_bytes: int) -> int:
    """How many of the `size_bytes` there are can be gone on from: all, or none."""
    known = bool(begun.version) and (begun.size_bytes is None or size_bytes <= begun.size_bytes)
    return size_bytes if known else 0


def _continued(response: http.client.HTTPResponse, begun: _Begun, offset: int) -> int | None:
    """How many bytes come before the body of `response`: `offset`, 0 if it is all, None if it is neither."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    told = response.headers.get("Content-Range", "")
    same = told.startswith(f"bytes {offset}-") and _version(response) in ("", begun.version)
    return offset if same else None


def _copy(response: http.client.HTTPResponse, file: BinaryIO, advance: Callable[[int, str], None]) -> None:
    received = 0
    while True:
        try:
            block = response.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _CutError(str(error) or type(error).__name__) from error
        if not block:
            return
        file.write(block)
        file.flush()
        advance((received + len(block)) // _MB - received // _MB, "")
        received += len(block)


def _version(response: http.client.HTTPResponse) -> str:
    """The strong ETag of what is sent, or else its date, or nothing."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _check_room(part: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < size_bytes:
        raise StorageError(
            f"{part}: {size_bytes:,} bytes are still to come and {free:,} are free; make room and repeat the "
            "command, what has arrived is kept"
        )


def _recall(part: Path, url: str) -> _Begun:
    """What is remembered about `part`; of another address, nothing is."""
    try:
        begun = from_plain(_Begun, read_json(_note(part)))
    except (OSError, ValueError, EdgekdError):
        begun = _Begun(url=url)
    return begun if begun.url == url else _Begun(url=url)


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
