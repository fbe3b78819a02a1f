"""Reading what may come from anywhere: JSON without surprises, names that stay in the folder, plain files.

Every refusal is a `ValueError` with one short line; a name that is shown went through `shown`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

MAX_JSON_BYTES = 4 << 20
MAX_FILES = 4096
MAX_BYTES = 2 << 30
"""The most a bundle may hold, in bytes of all files together."""

_MAX_NAME, _MAX_DEPTH, _SHOWN = 240, 16, 200
_CHUNK = 1 << 20
# Letters, digits and . _ @ + - as every file system, zip and phone knows them; no part is "." or "..".
_PART = re.compile(r"\.?[A-Za-z0-9_](?:[A-Za-z0-9._@+-]*[A-Za-z0-9_])?")


def shown(text: object) -> str:
    """`text` as it may be printed: ASCII, in one line, not long."""
    line = ascii(text)[1:-1] if isinstance(text, str) else ascii(str(text))[1:-1]
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def check_name(name: str) -> None:
    """Nothing, when `name` is a file below the folder: relative, with forward slashes, and harmless.

    Raises:
        ValueError: it could mean a file elsewhere, or not the same file on every system.
    """
    parts = name.split("/")
    if len(name) > _MAX_NAME or len(parts) > _MAX_DEPTH or not all(map(_PART.fullmatch, parts)):
        raise ValueError(f"no name of a file in a bundle (letters, digits, ._@+- between /): {shown(name)}")


def read_plain(path: Path, *, limit: int = MAX_JSON_BYTES) -> bytes:
    """The bytes of the plain file `path`, at most `limit`.

    Raises:
        ValueError: it is missing, no plain file, or larger.
    """
    with open_plain(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"larger than {limit >> 20} MiB")
    return data


def parse_json(data: bytes) -> Any:
    """The JSON value `data`; every number in it is finite.

    Raises:
        ValueError: it is not JSON in UTF-8, or says a name twice.
    """
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_finite, parse_float=_finite
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({shown(error)})") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; readers differ in which of two equal names they take, so there may be none."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shown(text)} is not a finite number")
    return value


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """The plain file `path`, open for reading; a link is not followed, a pipe or device not waited for.

    Raises:
        ValueError: it cannot be opened or is no plain file.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise ValueError(getattr(error, "strerror", None) or shown(error)) from None
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise ValueError("not a plain file")
        yield file


def digest_of(path: Path, size: int) -> str:
    """The sha256 of the plain file `path`, which must have `size` bytes, in hexadecimal.

    Raises:
        ValueError: it is no plain file, or has another size.
    """
    with open_plain(path) as file:
        if (found := os.fstat(file.fileno()).st_size) != size:
            raise ValueError(f"{found} bytes, the manifest says {size}")
        sha256 = hashlib.sha256()
        left = size
        while left and (chunk := file.read(min(left, _CHUNK))):
            sha256.update(chunk)
            left -= len(chunk)
    return sha256.hexdigest()


def list_files(folder: Path) -> tuple[dict[str, int], list[str]]:
    """The plain files below `folder` by name with their sizes in bytes, and what is wrong with the rest.

    Wrong are links, pipes, devices, empty folders and names that `check_name` refuses; links are not
    followed. Of more files than a bundle holds none is returned.
    """
    sizes: dict[str, int] = {}
    wrong: list[str] = []
    for name, entry in _walk(folder, "", 0):
        if len(sizes) + len(wrong) > MAX_FILES:
            return {}, [f"more than {MAX_FILES} files: no bundle of edgekd"]
        try:
            check_name(name)
            mode = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(mode.st_mode):
                raise ValueError(f"{shown(name)} is {_kind(mode.st_mode)}, expected a plain file")
            sizes[name] = mode.st_size
        except (OSError, ValueError) as error:
            wrong.append(shown(error))
    total = sum(sizes.values())
    if total > MAX_BYTES:
        wrong.append(f"{total} bytes in all, at most {MAX_BYTES} are read")
    return sizes, wrong


def _walk(folder: Path | str, prefix: str, depth: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every entry below `folder` that is no folder, and folders that are empty or too deep; sorted."""
    with os.scandir(folder) as entries:
        found = sorted(_first(entries), key=lambda entry: entry.name)
    for entry in found:
        name = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False) and depth < _MAX_DEPTH and _has_entries(entry.path):
            yield from _walk(entry.path, f"{name}/", depth + 1)
        else:
            yield name, entry


def _first(entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    for _, entry in zip(range(MAX_FILES + 2), entries, strict=False):
        yield entry


def _has_entries(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return next(entries, None) is not None


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "an empty folder", stat.S_IFIFO: "a pipe"}
    return kinds.get(stat.S_IFMT(mode), "a device or socket")
