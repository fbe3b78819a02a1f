"""`npm_package`: the files of one exact package of the npm registry, checked against its published sha512.

They lie below the cache (`EDGEKD_CACHE`, else ~/.cache/edgekd) once they were fetched; nothing is installed
and no code of the package is run here.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import os
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgekd.console import log
from edgekd.errors import MissingError, storage_errors
from edgekd.runtimes.environments import CACHE_VARIABLE, cache_folder

REGISTRY_VARIABLE = "NPM_CONFIG_REGISTRY"
_REGISTRY = "https://registry.npmjs.org"
_MAX_BYTES = 64 << 20
_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class NpmPackage:
    """One version of a package; `integrity` is the registry's own "sha512-<base64>" of its archive."""

    name: str
    version: str
    integrity: str

    @property
    def archive(self) -> str:
        """The file name of its archive, as in the registry."""
        return f"{self.name.rsplit('/', maxsplit=1)[-1]}-{self.version}.tgz"


def npm_package(package: NpmPackage) -> Mapping[str, bytes]:
    """The files of `package` by their path in it ("dist/index.js"), from the cache or else from the registry.

    Raises:
        MissingError: it is not in the cache and cannot be fetched, or is not the archive that is expected.
        StorageError: the cache cannot be written.
    """
    kept = cache_folder() / "npm" / package.archive
    if kept.is_file() and _integrity(archive := kept.read_bytes()) == package.integrity:
        return _files(archive)
    archive = _fetch(package)
    if (received := _integrity(archive)) != package.integrity:
        raise MissingError(
            f"npm's {package.name} {package.version}: the archive is {received}, expected "
            f"{package.integrity}: it is not used"
        )
    _keep(kept, archive)
    return _files(archive)


def _integrity(archive: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(archive).digest()).decode()}"


def _fetch(package: NpmPackage) -> bytes:
    registry = os.environ.get(REGISTRY_VARIABLE) or _REGISTRY
    url = f"{registry.rstrip('/')}/{package.name}/-/{package.archive}"
    log.info("fetching %s %s from npm (once)", package.name, package.version)
    try:
        if not url.startswith(("https://", "http://")):
            raise ValueError(f"{REGISTRY_VARIABLE} is no web address")
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - checked above
            return bytes(answer.read(_MAX_BYTES))
    except (OSError, urllib.error.URLError, http.client.HTTPException, ValueError) as error:
        raise MissingError(
            f"{url} cannot be fetched ({error}): connect to the network, or copy {package.archive} into "
            f"{cache_folder() / 'npm'} ({CACHE_VARIABLE} names another folder, {REGISTRY_VARIABLE} "
            "another registry)"
        ) from error


def _keep(path: Path, archive: bytes) -> None:
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(archive)
        Path(file.name).replace(path)


def _files(archive: bytes) -> dict[str, bytes]:
    """Read in memory, so that no member can be written anywhere; every path begins with one folder."""
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
        for member in members:
            content = members.extractfile(member) if member.isfile() else None
            if content is not None:
                found["/".join(PurePosixPath(member.name).parts[1:])] = content.read()
    return found
