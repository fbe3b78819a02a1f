"""What a killed training goes on from: one file, written whole after every epoch."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.console import log
from edgekd.errors import storage_errors
from edgekd.plain import canonical_json

FOLDER = "checkpoint"
_FILE = "state.npz"
_HEAD = "head"

Arrays = Sequence[NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """The state of a training after its last whole epoch.

    `identity` is a digest of what is being trained: another one's checkpoint is never resumed. `history`
    holds one record per epoch done; `arrays` the groups of variables by name.
    """

    identity: str
    history: tuple[Mapping[str, Any], ...]
    arrays: Mapping[str, Arrays]


def write_checkpoint(out: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` below `out`, whole or not at all.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    folder = out / FOLDER
    head = {
        "identity": checkpoint.identity,
        "history": checkpoint.history,
        "sizes": {name: len(group) for name, group in checkpoint.arrays.items()},
    }
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{_FILE}.part"
        with part.open("wb") as file:
            named: dict[str, Any] = {_HEAD: np.array(canonical_json(head)), **_named(checkpoint.arrays)}
            np.savez(file, **named)
        part.replace(folder / _FILE)


def read_checkpoint(out: Path, identity: str) -> Checkpoint | None:
    """The checkpoint of `identity` below `out`; None where there is no usable one."""
    path = out / FOLDER / _FILE
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            head = json.loads(str(stored[_HEAD]))
            arrays = {
                name: [stored[f"{name}/{n}"] for n in range(size)] for name, size in head["sizes"].items()
            }
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        log.warning("%s is not readable (%s): training begins anew", path, error)
        return None
    if head["identity"] != identity:
        log.warning("%s belongs to another training: training begins anew", path)
        return None
    return Checkpoint(identity=identity, history=tuple(head["history"]), arrays=arrays)


def file_bytes(out: Path) -> bytes:
    """The checkpoint file below `out`; nothing where there is none."""
    path = out / FOLDER / _FILE
    return path.read_bytes() if path.is_file() else b""


def put_bytes(out: Path, data: bytes) -> None:
    """Make `data`, from `file_bytes`, the checkpoint below `out`, or the lack of one when it is empty.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    remove_checkpoint(out)
    if not data:
        return
    with storage_errors(out / FOLDER):
        (out / FOLDER).mkdir(parents=True)
        (out / FOLDER / _FILE).write_bytes(data)


def remove_checkpoint(out: Path) -> None:
    """Remove the checkpoint below `out`, which a finished station no longer needs."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def _named(arrays: Mapping[str, Arrays]) -> dict[str, NDArray[Any]]:
    return {f"{name}/{n}": array for name, group in arrays.items() for n, array in enumerate(group)}
