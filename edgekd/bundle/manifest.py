"""`Manifest`: what a bundle is, and the sha256 of every file in it."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgekd.bundle.strict import MAX_BYTES, MAX_FILES, check_name, digest_of, parse_json, read_plain, shown
from edgekd.errors import ContractError, EdgekdError
from edgekd.plain import from_plain, to_plain, write_text

SCHEMA = "edgekd.bundle/1"
MANIFEST, SIGNATURE = "manifest.json", "model.sig"
CARD, GOLDEN = "card.json", "golden/golden.json"
UNLISTED = (MANIFEST, SIGNATURE)
"""The files a manifest does not list: itself, and what is signed over it."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Platform(enum.StrEnum):
    """Where a bundle goes."""

    ANDROID = "android"
    IOS = "ios"
    WEB = "web"


class Verdict(enum.StrEnum):
    """What `verify` said of the model; `none`: it was not verified here."""

    PASSED = "passed"
    UNDECIDED = "undecided"
    FAILED = "failed"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """The sha256 (hexadecimal) and the size of one file."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What lies in a bundle (schema edgekd.bundle/1).

    `model` (a file, or the folder of a package), `card` and `golden` are names in the bundle. `verdict` is
    that of the station verify; only with --unverified is it anything but `passed`. `tools` are the versions
    of what made the bytes. `files` are all files but manifest.json and a signature, sorted by name.
    """

    schema: str = SCHEMA
    platform: Platform
    name: str
    precision: str
    model: str
    card: str = CARD
    golden: str = GOLDEN
    verdict: Verdict
    tools: dict[str, str]
    files: dict[str, FileFacts]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ContractError(f"schema is {shown(self.schema)!r}, expected {SCHEMA!r}")
        if len(self.files) > MAX_FILES:
            raise ContractError(f"{len(self.files)} files, at most {MAX_FILES} are read")
        for name, facts in self.files.items():
            _check_facts(name, facts)
        _check_distinct(self.files)
        _check_total(self.files)
        lost = [name for name in (self.card, self.golden) if name not in self.files]
        if lost or not self.model_files():
            raise ContractError(f"it does not list {shown(lost[0] if lost else self.model)}, which it names")

    def model_files(self) -> tuple[str, ...]:
        """The file that is the model, or the files of the package that is."""
        inside = f"{self.model}/"
        return tuple(name for name in self.files if name == self.model or name.startswith(inside))


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, FileFacts]:
    """The facts of the files `names` in `folder`, sorted by name.

    Raises:
        ValueError: one is no plain file.
    """
    return {name: _describe(folder / name) for name in sorted(names)}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle `folder`, which may come from anywhere.

    Raises:
        ContractError: there is none, it is not of this schema, or it contradicts itself.
    """
    try:
        data = read_plain(folder / MANIFEST)
        plain = parse_json(data)
        if isinstance(plain, dict) and isinstance(plain.get("files"), dict):
            _check_count(plain["files"])
        manifest = from_plain(Manifest, plain, "manifest")
    except (ValueError, EdgekdError) as error:
        raise ContractError(f"{MANIFEST}: {shown(str(error))}") from None
    if _text(manifest).encode() != data:
        raise ContractError(f"{MANIFEST}: it was altered, this is not how edgekd writes it")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest` into the bundle `folder`, whole or not at all."""
    write_text(folder / MANIFEST, _text(manifest))


def _text(manifest: Manifest) -> str:
    """The one text of a manifest, so that no byte of it is free."""
    return json.dumps(to_plain(manifest), indent=2, sort_keys=True) + "\n"


def _describe(path: Path) -> FileFacts:
    size = path.lstat().st_size
    return FileFacts(sha256=digest_of(path, size), size_bytes=size)


def _check_count(files: dict[str, object]) -> None:
    """Before a million entries are made into objects."""
    if len(files) > MAX_FILES:
        raise ContractError(f"{len(files)} files, at most {MAX_FILES} are read")


def _check_facts(name: str, facts: FileFacts) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise ContractError(str(error)) from None
    if name in UNLISTED:
        raise ContractError(f"it lists {name}, which it cannot know")
    if not _SHA256.fullmatch(facts.sha256) or facts.size_bytes < 0:
        raise ContractError(f"{shown(name)}: expected a sha256 in hexadecimal and a size")


def _check_distinct(names: Iterable[str]) -> None:
    """No two names that are one on Windows or macOS, no file that is the folder of another."""
    folded = [name.casefold() for name in names]
    folders = {
        "/".join(parts[:n]) for parts in (one.split("/") for one in folded) for n in range(1, len(parts))
    }
    if len(set(folded)) != len(folded) or folders & set(folded):
        raise ContractError("two names in it are the same file on some systems")


def _check_total(files: dict[str, FileFacts]) -> None:
    total = sum(facts.size_bytes for facts in files.values())
    if total > MAX_BYTES:
        raise ContractError(f"{total} bytes in all, at most {MAX_BYTES} are read")
