"""Getting a published data set: every file downloaded, checked and unpacked where its reader expects it.

    DIR/fetch.json      what was got: address, size, sha256 and unpacked folder of each file
    DIR/<name>          the files as published; archives may be deleted once they are unpacked
    DIR/<name>.part     what has arrived of a file that is not whole yet

Where a publisher gives no checksum, the sha256 of the first download is kept and every later one checked.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekd.console import log
from edgekd.data.fetch_catalogue import Collection, RemoteFile
from edgekd.data.fetch_http import NotThereError, UnreachableError, check_url, download, finish, forget
from edgekd.data.fetch_unpack import Tree, tree_of, unpack
from edgekd.errors import DataError, UsageError, storage_errors
from edgekd.plain import from_plain, read_json, write_json

SCHEMA = "edgekd.fetch/1"
RECORD = "fetch.json"

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One file as it arrived; `unpacked` is what came out of an archive."""

    url: str
    size_bytes: int
    sha256: str
    unpacked: Tree | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One file to get; `size_bytes` is rounded unless `exact`, `digest` is empty where none is published."""

    name: str
    url: str
    size_bytes: int
    exact: bool
    digest: str
    there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRecord:
    """`fetch.json`: the data set, its terms, and its files by name."""

    schema: str = SCHEMA
    data_set: str
    licence: str
    cite: str
    files: Mapping[str, Fetched] = field(default_factory=dict)


def fetch(collection: Collection, to: Path, *, base_url: str = "", pause_s: float = 1.0) -> FetchRecord:
    """Get what is missing of `collection` into the folder `to`, and say what is there.

    `base_url`: a mirror that holds the files by their names, instead of the publisher; `pause_s` before a
    broken connection is made again.

    Raises:
        DataError: nothing answers, a file is not there or is not the one published; what arrived is kept and
            the message says what to download by hand.
        UsageError: `to` holds another data set or is a file, or `base_url` is no address.
        StorageError: the disk is full or cannot be written.
    """
    urls = {file.name: _urls(collection, file, base_url) for file in collection.files}
    if to.exists() and not to.is_dir():
        raise UsageError(f"{to} is a file, expected a folder for {collection.kind}")
    with storage_errors(to):
        to.mkdir(parents=True, exist_ok=True)
        record = read_record(collection, to)
        log.info("%s: %s; cite %s", collection.kind, collection.licence, collection.cite)
        for file in collection.files:
            try:
                got = _fetch(file, urls[file.name], to, record.files.get(file.name), pause_s)
            except (NotThereError, UnreachableError) as error:
                raise DataError(f"{error}. {_by_hand(collection, to, record.files)}") from error
            record = replace(record, files={**record.files, file.name: got})
            write_json(to / RECORD, record)
    return record


def read_record(collection: Collection, to: Path) -> FetchRecord:
    """What `fetch.json` in `to` says, or an empty record.

    Raises:
        UsageError: `to` holds another data set.
        DataError: `fetch.json` cannot be read.
    """
    empty = FetchRecord(data_set=collection.kind.value, licence=collection.licence, cite=collection.cite)
    path = to / RECORD
    if not path.exists():
        return empty
    try:
        record = from_plain(FetchRecord, read_json(path))
    except (OSError, ValueError, UsageError) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete it and repeat the command") from error
    if record.data_set != collection.kind.value:
        raise UsageError(f"{to} holds {record.data_set}; choose a folder of its own for {collection.kind}")
    return record


def plan(collection: Collection, to: Path, *, base_url: str = "") -> tuple[Planned, ...]:
    """Every file of `collection`, its address, and whether it lies in `to` already; nothing is asked for.

    Raises:
        UsageError: `to` holds another data set, or `base_url` is no address.
        DataError: `fetch.json` cannot be read.
    """
    known = read_record(collection, to).files
    return tuple(
        Planned(
            name=file.name,
            url=_urls(collection, file, base_url)[0],
            size_bytes=file.size_bytes,
            exact=file.exact,
            digest=file.digest,
            there=_is_there(file, to, known.get(file.name)),
        )
        for file in collection.files
    )


def _urls(collection: Collection, file: RemoteFile, base_url: str) -> list[str]:
    if base_url:
        return [f"{check_url(base_url)}/{file.name}"]
    return [f"{host}/{file.address or file.name}" for host in collection.hosts]


def _is_there(file: RemoteFile, to: Path, known: Fetched | None) -> bool:
    return (to / file.name).is_file() or _is_unpacked(file, to, known)


def _is_unpacked(file: RemoteFile, to: Path, known: Fetched | None) -> bool:
    """Whether the folder of an archive holds as many files and bytes as came out of it."""
    return known is not None and known.unpacked is not None and tree_of(to / file.folder) == known.unpacked


def _fetch(file: RemoteFile, urls: Sequence[str], to: Path, known: Fetched | None, pause_s: float) -> Fetched:
    if known is not None and _is_unpacked(file, to, known):
        return known
    target = to / file.name
    if target.exists():
        url = known.url if known else ""
        sha256 = _checked(target, file, known)
    else:
        url, sha256 = _arrived(file, urls, target, known, pause_s)
    return Fetched(
        url=url,
        size_bytes=target.stat().st_size,
        sha256=sha256,
        unpacked=unpack(target, to / file.folder) if file.folder else None,
    )


def _arrived(
    file: RemoteFile, urls: Sequence[str], target: Path, known: Fetched | None, pause_s: float
) -> tuple[str, str]:
    """Download `target`, checked; from which address it came, and its sha256."""
    part = target.with_name(f"{target.name}.part")
    url = _download(urls, part, file.size_bytes, pause_s)
    try:
        sha256 = _checked(part, file, known)
    except DataError as error:
        forget(part)
        raise DataError(f"{error}; {url} gave it and it was deleted") from error
    finish(part, target)
    return url, sha256


def _download(urls: Sequence[str], part: Path, size_bytes: int, pause_s: float) -> str:
    """Download from the first of `urls` that has the file, and say which."""
    for url in urls[:-1]:
        try:
            download(url, part, size_bytes=size_bytes, pause_s=pause_s)
        except NotThereError as error:
            log.info("%s; trying the next address", error)
        else:
            return url
    download(urls[-1], part, size_bytes=size_bytes, pause_s=pause_s)
    return urls[-1]


def _checked(path: Path, file: RemoteFile, known: Fetched | None) -> str:
    """The sha256 of `path`, which is what was published, and what was fetched before.

    Raises:
        DataError: it is not.
    """
    size = path.stat().st_size
    if file.exact and size != file.size_bytes:
        raise DataError(f"{path}: {size:,} bytes, expected {file.size_bytes:,}")
    algorithm = file.digest.partition(":")[0]
    sums = _digests(path, {"sha256", algorithm or "sha256"})
    if file.digest and f"{algorithm}:{sums[algorithm]}" != file.digest:
        raise DataError(f"{path}: its {algorithm} is {sums[algorithm]}, published is {file.digest}")
    if known is not None and sums["sha256"] != known.sha256:
        raise DataError(
            f"{path}: its sha256 is {sums['sha256']}, and was {known.sha256} when it was first fetched; "
            f"if a new version is what you want, delete {RECORD}"
        )
    if not _plausible(path, file):
        raise DataError(f"{path}: not {'a whole zip archive' if file.folder else 'a table'}")
    return sums["sha256"]


def _plausible(path: Path, file: RemoteFile) -> bool:
    """No page of a server that has an excuse, and no archive without its end."""
    if file.folder:
        return zipfile.is_zipfile(path)
    with path.open("rb") as table:
        return not table.read(64).lstrip().startswith(b"<")


def _digests(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
    sums = {name: hashlib.new(name, usedforsecurity=name != "md5") for name in algorithms}
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            for one in sums.values():
                one.update(block)
    return {name: one.hexdigest() for name, one in sums.items()}


def _by_hand(collection: Collection, to: Path, files: Mapping[str, Fetched]) -> str:
    missing = [file.name for file in collection.files if not _is_there(file, to, files.get(file.name))]
    return (
        f"To do it by hand: download {', '.join(missing)} from {collection.page} into {to} and repeat the "
        "command, which checks and unpacks them"
    )
