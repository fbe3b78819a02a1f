"""Every error edgekd raises on purpose; each class owns its exit code.

    EdgekdError                     exit code 1 (never raised itself)
    ├── UsageError              2   an option, name or combination that cannot be meant
    │   ├── UnknownNameError    2   …with the nearest known names
    │   └── RunBusyError        2   another process works in this run folder
    ├── ContractError           3   parity, sensitivity, size or latency failed
    ├── MissingError            4   something is not there or cannot be read
    │   ├── DataError           4   a table, label or split
    │   ├── ImageError          4   one image, named
    │   ├── ModelError          4   a model file that cannot be read or run
    │   ├── MissingExtraError   4   a package that is an extra, with its pip line
    │   └── StorageError        4   the disk is full or cannot be written
    └── DeviceError             5   a device is absent, or the work fell back to the CPU

A message says what was received, what was expected and what to do, in one line.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar


class EdgekdError(Exception):
    """Base of every error meant for the user; `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class UsageError(EdgekdError):
    """The request cannot be meant: a wrong option, value or combination."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not in the list, with the nearest names as a suggestion."""

    def __init__(self, kind: str, received: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(received, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(names)}"
        super().__init__(f"unknown {kind} {received!r}: {hint}")


class RunBusyError(UsageError):
    """Another process holds the lock of this run folder."""


class ContractError(EdgekdError):
    """A promise about an artefact does not hold: parity, sensitivity, size or latency."""

    exit_code = 3


class MissingError(EdgekdError):
    """Something needed is not there, or cannot be read."""

    exit_code = 4


class DataError(MissingError):
    """A data set that is incomplete or contradicts itself."""


class ImageError(MissingError):
    """One image that cannot be used; `path` names it, `reason` says why."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = str(path)
        self.reason = reason
        super().__init__(f"{path}: {reason}")

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return type(self), (self.path, self.reason)


class ModelError(MissingError):
    """A model file or model weights that cannot be found, read or run."""


class MissingExtraError(MissingError):
    """A package of an extra is not installed; the message is the pip line."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; get it with: pip install 'edgekd[{extra}]'")


class StorageError(MissingError):
    """The disk is full, or a folder cannot be written."""


class DeviceError(EdgekdError):
    """A requested device is absent, or it handed the work back to the CPU."""

    exit_code = 5


_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn "no space left", "read-only" and "permission denied" below `path` into a `StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _STORAGE:
            where = error.filename or path
            raise StorageError(
                f"cannot write {where}: {error.strerror}; make room (or choose another --out) "
                "and repeat the command, finished work is kept"
            ) from error
        raise
