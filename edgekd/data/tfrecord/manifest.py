"""What lies in a folder of TFRecord shards: which files, of which split, and whether they are all there.

OUT/train00000-512.tfrec …          shards, `<split><number>-<records>.tfrec`, as SIIM-ISIC's are named
OUT/validation… OUT/test…
OUT/codes.json                      what the numbers in the records mean
OUT/manifest.json                   written last: records, bytes, sha256 and classes of every shard
OUT/.unfinished                     until then: the key of what is being written
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekd.data.reading import some
from edgekd.data.table import Split, find_split
from edgekd.errors import DataError, UsageError
from edgekd.plain import from_plain

SCHEMA = "edgekd.tfrecord/1"
MANIFEST, UNFINISHED, CODES = "manifest.json", ".unfinished", "codes.json"
SUFFIXES = frozenset({".tfrec", ".tfrecord", ".tfrecords"})

_SPLIT = re.compile(r"(training|train|validation|valid|val|testing|test)(?![a-z])", re.IGNORECASE)
_COUNTED = re.compile(r"[a-z]+\d+-(\d+)\.tfrec", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One file: how many records of each diagnosis it holds, and the sha256 of its bytes."""

    file: str
    split: Split
    records: int
    size_bytes: int
    sha256: str
    diagnoses: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`manifest.json`. `image` is png or jpeg; `counts` images by split and diagnosis."""

    schema: str
    key: str
    image: str
    jpeg_quality: int | None
    tools: Mapping[str, str]
    codes_sha256: str
    counts: Mapping[str, Mapping[str, int]]
    shards: tuple[Shard, ...]


def read_manifest(root: Path) -> Manifest | None:
    """The manifest of the export in `root`; None where there is none, or another program's.

    Raises:
        DataError: it cannot be read.
    """
    path = root / MANIFEST
    try:
        plain = json.loads(path.read_bytes())
        if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
            return None
        return from_plain(Manifest, plain)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, UsageError) as error:
        raise DataError(f"{path} cannot be read: {error}; write the shards again") from error


def find_shards(source: str, root: Path) -> dict[str, Split | None]:
    """The shards below `root` with their split, by path: from its folder, else from its name.

    Raises:
        DataError: there is none, an export is unfinished or incomplete, or only some names tell a split.
    """
    if not root.is_dir():
        raise DataError(f"source {source}: no folder {root}; expected one with *.tfrec or *.tfrecord files")
    found: dict[str, Split | None] = {name: _split_of(name) for name in _shard_names(root)}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and find_split(path.name)):
        split = find_split(folder.name)
        found |= {f"{folder.name}/{name}": split for name in _shard_names(folder)}
    if not found:
        raise DataError(f"source {source}: no *.tfrec or *.tfrecord files in {root}")
    _check_complete(root, found)
    without = [name for name, split in found.items() if split is None]
    if 0 < len(without) < len(found):
        raise DataError(
            f"{root}: the names of {some(without)} tell no split, those of others do; let all of them begin "
            "with train, validation or test, or none"
        )
    return found


def promised(name: str) -> int | None:
    """How many records the name of a shard says it holds; None where it says nothing."""
    match = _COUNTED.fullmatch(name.rpartition("/")[2])
    return int(match[1]) if match else None


def _shard_names(folder: Path) -> list[str]:
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _split_of(name: str) -> Split | None:
    match = _SPLIT.match(name)
    return find_split(match[1]) if match else None


def _check_complete(root: Path, found: Iterable[str]) -> None:
    if (root / UNFINISHED).exists():
        raise DataError(f"{root}: the export was interrupted; repeat edgekd data tfrecord to finish it")
    manifest = read_manifest(root)
    missing = {shard.file for shard in manifest.shards} - set(found) if manifest else set()
    if missing:
        raise DataError(f"{root}: {len(missing)} shards of its manifest are missing: {some(sorted(missing))}")
