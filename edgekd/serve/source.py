"""`Served`: the model to be served, out of a bundle, a run or a file, and the digests it is known by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from edgekd import assess
from edgekd.bundle.check import open_bundle
from edgekd.bundle.manifest import MANIFEST
from edgekd.card import ModelCard
from edgekd.config import Precision
from edgekd.errors import ModelError, UsageError
from edgekd.plain import file_digest, parse_enum

_MODEL = "model.tflite"


@dataclass(frozen=True, kw_only=True)
class Served:
    """A .tflite file and its card; digests are sha256 in hexadecimal, the card's of its bytes as sent."""

    path: Path
    card: ModelCard
    card_json: str
    model_sha256: str

    @property
    def card_sha256(self) -> str:
        """The digest of `card_json`, which is what /api/card sends."""
        return hashlib.sha256(self.card_json.encode()).hexdigest()


def open_source(source: Path, *, precision: str = "", card: Path | None = None) -> Served:
    """The model of `source`: a bundle (every byte is checked), a run (its `precision`) or a .tflite file.

    Raises:
        ContractError: the bundle is not what its manifest says.
        ModelError: there is no model, no card, or it is no .tflite file.
        UsageError: no such source, or a precision where there is nothing to choose.
    """
    if (source / MANIFEST).is_file():
        _only(source, "a bundle", precision=precision, card=card)
        return _from_bundle(source)
    if source.is_dir():
        _only(source, "a run", card=card)
        return _from_run(source, precision)
    _only(source, "a file", precision=precision)
    if not source.is_file() or source.suffix != ".tflite":
        raise ModelError(f"{source}: expected a bundle, a run folder or a .tflite file")
    return _served(source, assess.find_card(source, card))


def _from_bundle(folder: Path) -> Served:
    bundle = open_bundle(folder)
    if bundle.model.suffix != ".tflite":
        platform, name = bundle.manifest.platform, bundle.model.name
        raise ModelError(f"{folder} is a bundle for {platform}: its {name} is no .tflite file")
    text = (folder / bundle.manifest.card).read_text(encoding="utf-8")
    return _served(bundle.model, bundle.card, text)


def _from_run(folder: Path, precision: str) -> Served:
    chosen = parse_enum(Precision, precision, "precision") if precision else None
    files = sorted(folder.glob(f"export/*/{_MODEL}"))
    found = {path.parent.name: path for path in files}
    wanted = chosen.value if chosen else Precision.INT8.value if Precision.INT8.value in found else ""
    if not wanted and len(found) == 1:
        (wanted,) = found
    if wanted not in found:
        there = f"there are {', '.join(found)}: choose one with --precision" if found else "there are none"
        raise ModelError(
            f"{folder}: no .tflite file {f'of precision {wanted} ' if wanted else ''}in export/, {there}; "
            f"edgekd export {folder} makes them"
        )
    return _served(found[wanted], assess.find_card(found[wanted]))


def _served(path: Path, card: ModelCard, text: str = "") -> Served:
    return Served(
        path=path.resolve(), card=card, card_json=text or card.to_json(), model_sha256=file_digest(path)
    )


def _only(source: Path, kind: str, *, precision: str = "", card: Path | None = None) -> None:
    if precision or card:
        option = "--precision" if precision else "--card"
        raise UsageError(f"{source} is {kind}: {option} says nothing there")
