"""`Package`: the files of an .mlpackage folder of unknown origin."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edgekd.errors import ModelError
from edgekd.plain import file_digest

SUFFIX = ".mlpackage"
MANIFEST, DATA = "Manifest.json", "Data"
MODEL_PATH = "@model_path/"
"""What the place of the model file is called in references to its weights."""

MAX_BYTES = 1 << 30
_MAX_MODEL_BYTES = 64 << 20
_MAX_MANIFEST_BYTES = 1 << 20
_MAX_FILES = 1000


@dataclass(frozen=True, kw_only=True)
class Package:
    """An .mlpackage folder: its regular files (path from the folder → bytes) and which of them is the model.

    Only what is in `sizes` can be reached through it, so neither a path with `..` nor a link leads outside.
    """

    folder: Path
    sizes: dict[str, int]
    model: str

    @property
    def size_bytes(self) -> int:
        """The bytes of all files."""
        return sum(self.sizes.values())

    def sha256(self) -> str:
        """The digest of what `find * -type f | LC_ALL=C sort | xargs sha256sum` prints in the folder."""
        lines = [f"{file_digest(self.folder / path)}  {path}\n" for path in sorted(self.sizes)]
        return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()

    def read_model(self) -> bytes:
        """The bytes of the model file.

        Raises:
            ModelError: it is larger than 64 MiB or cannot be read.
        """
        return self._read(self.model, _MAX_MODEL_BYTES)

    def resolve(self, reference: str) -> Path:
        """The weight file that the model calls `reference` ("@model_path/weights/weight.bin").

        Raises:
            ModelError: there is no such file inside the package.
        """
        if reference.startswith(MODEL_PATH):
            path = posixpath.normpath(
                posixpath.join(posixpath.dirname(self.model), reference.removeprefix(MODEL_PATH))
            )
            if path in self.sizes:
                return self.folder / path
        raise ModelError(f"{self.folder}: the model refers to {reference!r}, which is not in the package")

    def _read(self, path: str, limit: int) -> bytes:
        if self.sizes[path] > limit:
            raise ModelError(f"{self.folder}: {path} has {self.sizes[path]} bytes, expected at most {limit}")
        try:
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise ModelError(f"{self.folder}: {path} cannot be read ({error.strerror})") from error


def open_package(folder: Path) -> Package:
    """The .mlpackage `folder`, which may come from anywhere.

    Raises:
        ModelError: it is no such folder, holds links or special files, more than 1000 files or 1 GiB, or its
            manifest names no model inside of it.
    """
    if not folder.is_dir():
        what = (
            "no such folder" if not folder.exists() else "a file, expected a folder; unpack an archive first"
        )
        raise ModelError(f"{folder}: {what}")
    sizes = dict(_regular_files(folder))
    total = sum(sizes.values())
    if total > MAX_BYTES:
        raise ModelError(f"{folder}: {total} bytes, expected a package of at most {MAX_BYTES}")
    if MANIFEST not in sizes:
        raise ModelError(f"{folder}: no {MANIFEST} in it, expected an .mlpackage folder")
    return Package(folder=folder, sizes=sizes, model=_model_path(folder, sizes))


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Put `folder` in front of every `ModelError` that does not name it."""
    try:
        yield
    except ModelError as error:
        text = str(error)
        raise ModelError(text if text.startswith(str(folder)) else f"{folder}: {text}") from error


def _regular_files(folder: Path) -> Iterator[tuple[str, int]]:
    waiting, seen = [folder], 0
    while waiting:
        here = waiting.pop()
        try:
            entries = sorted(_some(here, _MAX_FILES + 1 - seen), key=lambda entry: entry.name)
        except OSError as error:
            raise ModelError(f"{here}: cannot be read ({error.strerror})") from error
        seen += len(entries)
        if seen > _MAX_FILES:
            raise ModelError(f"{folder}: more than {_MAX_FILES} files, expected an .mlpackage folder")
        for entry in entries:
            mode = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(mode.st_mode):
                waiting.append(Path(entry.path))
            elif stat.S_ISREG(mode.st_mode):
                yield Path(entry.path).relative_to(folder).as_posix(), mode.st_size
            else:
                raise ModelError(f"{entry.path}: a link or special file, expected only plain files")


def _some(folder: Path, count: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry, _ in zip(entries, range(count), strict=False)]


def _model_path(folder: Path, sizes: dict[str, int]) -> str:
    if sizes[MANIFEST] > _MAX_MANIFEST_BYTES:
        raise ModelError(f"{folder}: {MANIFEST} has {sizes[MANIFEST]} bytes")
    try:
        manifest: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        path = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
        inside = str(PurePosixPath(DATA, path))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{folder}: {MANIFEST} names no root model") from error
    if inside not in sizes:
        raise ModelError(f"{folder}: {MANIFEST} names {path!r:.200}, which is not in the package")
    return inside
