"""API keys: from a file or the environment, compared in constant time, held as digests only."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from pathlib import Path

from edgekd.console import log
from edgekd.errors import MissingError, UsageError

VARIABLE = "EDGEKD_API_KEYS"
SHORTEST = 16


class Keys:
    """The keys that open the service; without any it is open to everybody who reaches it."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def opens(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether `Authorization: Bearer KEY` or `X-API-Key: KEY` among `headers` holds a key.

        Every key is compared, and digests are: neither which one fits nor how much of it shows in the time.
        """
        given = _digest(_given(headers))
        fits = [hmac.compare_digest(given, digest) for digest in self._digests]
        return any(fits)


def read_keys(path: Path | None) -> Keys:
    """The keys in the file `path`, one a line (`#` begins a comment), else in the variable `EDGEKD_API_KEYS`.

    Raises:
        MissingError: the file cannot be read.
        UsageError: it holds no key, or one is too short to be guarded by.
    """
    if path is None:
        keys = os.environ.get(VARIABLE, "").replace(",", " ").split()
        return Keys(_checked(keys, VARIABLE))
    try:
        text = path.read_text(encoding="utf-8")
        if path.stat().st_mode & 0o077:
            log.warning("%s can be read by others: chmod 600 it", path)
    except (OSError, UnicodeDecodeError) as error:
        raise MissingError(f"{path}: no file of API keys that can be read ({error})") from error
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    keys = [line for line in lines if line]
    if not keys:
        raise UsageError(f"{path}: holds no API key; write one a line, or leave --keys out")
    return Keys(_checked(keys, str(path)))


def _checked(keys: list[str], where: str) -> list[str]:
    for number, key in enumerate(keys, start=1):
        if len(key) < SHORTEST or not key.isascii() or " " in key:
            raise UsageError(
                f"{where}: key {number} is no word of {SHORTEST} characters or more; make one with "
                "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
    return keys


def _given(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == b"x-api-key":
            return value
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
    return b""


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
