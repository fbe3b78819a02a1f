"""A zip archive from elsewhere, unpacked as one folder: whole or not at all, and nowhere else.

Refused before anything is written: names that leave the folder, links, encrypted members, one name twice, a
name that is file and folder, more than `MAX_MEMBERS` files, and more than `MAX_GROWTH` times the archive's
own size (and `SLACK_BYTES`), which no archive of photographs reaches.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgekd.console import progress
from edgekd.errors import DataError, StorageError

MAX_MEMBERS = 200_000
MAX_GROWTH = 20
SLACK_BYTES = 64 << 20

_BLOCK = 1 << 20
_ENCRYPTED = 0x1
_LONGEST_NAME = 255  # bytes, of every file system in use
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError)

Members = Mapping[PurePosixPath, zipfile.ZipInfo]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A folder of files, hidden ones not counted."""

    folder: str
    files: int
    size_bytes: int


def unpack(archive: Path, target: Path) -> Tree:
    """Unpack the zip file `archive` as the folder `target`, and say what is in it.

    Members below a folder of that name keep their place, others are put into it. A folder that is already
    there must hold every member at its size; nothing in it is touched.

    Raises:
        DataError: no whole zip archive, one with hostile members, or `target` holds something else.
        StorageError: there is no room for it.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            members = _members(archive, bundle.infolist(), target.name)
            if target.exists():
                _compare(archive, members, target)
            else:
                _write(bundle, members, target)
    except _DAMAGED as error:
        raise DataError(
            f"{archive}: not a whole zip archive ({error}); delete it and repeat the command"
        ) from error
    sizes = [info.file_size for info in members.values()]
    return Tree(folder=target.name, files=len(sizes), size_bytes=sum(sizes))


def tree_of(target: Path) -> Tree | None:
    """What the folder `target` holds; None where there is none."""
    if not target.is_dir():
        return None
    files = [path for path in target.rglob("*") if path.is_file() and not _ignored(path.relative_to(target))]
    return Tree(folder=target.name, files=len(files), size_bytes=sum(path.stat().st_size for path in files))


def _members(
    archive: Path, infos: list[zipfile.ZipInfo], folder: str
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The files of the archive by their path below `folder`."""
    found: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in infos:
        path = _checked(archive, info)
        if info.is_dir() or _ignored(path):
            continue
        inside = PurePosixPath(*path.parts[1:]) if path.parts[0] == folder and len(path.parts) > 1 else path
        if inside in found:
            raise _hostile(archive, info, "comes twice")
        found[inside] = info
    _check_whole(archive, found)
    return found


def _checked(archive: Path, info: zipfile.ZipInfo) -> PurePosixPath:
    """The path of a member that stays where it is unpacked."""
    path = PurePosixPath(info.filename)
    if not path.parts or path.is_absolute() or ".." in path.parts or set("\\:\0") & set(info.filename):
        raise _hostile(archive, info, "would leave the folder it is unpacked into")
    if max(len(part.encode()) for part in path.parts) > _LONGEST_NAME:
        raise _hostile(archive, info, "has too long a name")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise _hostile(archive, info, "is a link")
    if info.flag_bits & _ENCRYPTED:
        raise _hostile(archive, info, "is encrypted")
    return path


def _check_whole(archive: Path, members: Members) -> None:
    for path, info in members.items():
        if any(parent in members for parent in path.parents):
            raise _hostile(archive, info, "lies below a file")
    size, packed = sum(info.file_size for info in members.values()), archive.stat().st_size
    if size > packed * MAX_GROWTH + SLACK_BYTES or len(members) > MAX_MEMBERS:
        raise DataError(
            f"{archive}: {len(members):,} files of {size:,} bytes would come out of {packed:,}; expected "
            f"at most {MAX_MEMBERS:,} files and {MAX_GROWTH} times the size: nothing was unpacked"
        )
    if not members:
        raise DataError(f"{archive}: there is no file in it")


def _hostile(archive: Path, info: zipfile.ZipInfo, why: str) -> DataError:
    return DataError(f"{archive}: the member {info.filename!r} {why}: nothing was unpacked")


def _ignored(path: PurePosixPath | Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _compare(archive: Path, members: Members, target: Path) -> None:
    sizes = {path: info.file_size for path, info in members.items()}
    other = [path for path, size in sizes.items() if not _has(target / path, size)]
    if other:
        raise DataError(
            f"{target}: {len(other)} of {len(sizes)} files of {archive.name} are missing or of another size, "
            f"{other[0]} first; move the folder away and repeat the command"
        )


def _has(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes


def _write(bundle: zipfile.ZipFile, members: Members, target: Path) -> None:
    size, free = sum(info.file_size for info in members.values()), shutil.disk_usage(target.parent).free
    if free < size:
        raise StorageError(
            f"{target}: {size:,} bytes are to be unpacked and {free:,} are free; make room and repeat the "
            "command, what was downloaded is kept"
        )
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    with progress(f"unpack {target.name}", len(members), "files") as advance:
        for path, info in members.items():
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(info) as packed, (part / path).open("wb") as file:
                shutil.copyfileobj(packed, file, _BLOCK)
            advance(1, "")
    part.replace(target)
