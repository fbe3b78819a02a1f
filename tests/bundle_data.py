"""A small bundle that was really made: its model answers channel means, so nothing has to be trained."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Any

from edgekd.bundle.make import Wishes, write_bundle
from edgekd.bundle.manifest import MANIFEST, Manifest, Platform, describe_files, read_manifest, write_manifest
from edgekd.bundle.source import Contents, contents_of_model
from edgekd.card import ModelCard, OperatingPoint
from edgekd_converters.metadata import embed_card
from tiny_tflite import average_pool

PX = 16
CARD = ModelCard(
    name="tiny",
    precision="int8",
    input_px=PX,
    labels=("mel", "nv", "bkl"),
    malignant=("mel",),
    operating_point=OperatingPoint(rule="sensitivity_at_least(0.9)", threshold=-1.0, fitted_on="validation"),
    temperature=1.5,
    limits=("INVENTED for tests.",),
    provenance={"edgekd": "0.1.0"},
)


class _Keep:
    """Holds the temporary folder of this session."""


_keep = _Keep()


@functools.cache
def _root() -> Path:
    folder = Path(tempfile.mkdtemp())
    weakref.finalize(_keep, shutil.rmtree, folder, ignore_errors=True)
    return folder


def write_model(folder: Path, card: ModelCard = CARD, **changed: Any) -> Path:
    """A .tflite file with `card` inside and beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = {"px": PX, "scale": 1 / 16, "zero_point": 128} | changed
    (folder / "model.tflite").write_bytes(embed_card(average_pool(**changed), card))
    (folder / "card.json").write_text(card.to_json())
    return folder / "model.tflite"


@functools.cache
def contents() -> Contents:
    """What goes into the bundle: somebody's model, golden pictures that are drawn."""
    return contents_of_model(write_model(_root() / "model"), None, unverified=True)


@functools.cache
def made() -> Path:
    """The bundle, made once per session; never change it."""
    folder = _root() / "bundle"
    write_bundle(folder, Platform.ANDROID, contents(), Wishes())
    return folder


def copy(target: Path) -> Path:
    """A bundle of one's own, to be spoiled."""
    return Path(shutil.copytree(made(), target / "bundle"))


def relist(bundle: Path, **changed: Any) -> Manifest:
    """Write the manifest anew over what lies in `bundle` now, as somebody would who altered it on purpose."""
    known = json.loads((bundle / MANIFEST).read_text())
    names = [
        path.relative_to(bundle).as_posix()
        for path in bundle.rglob("*")
        if path.is_file() and path.name not in (MANIFEST, "model.sig")
    ]
    facts = {k: v for k, v in known.items() if k not in ("files", "platform", "verdict")} | changed
    manifest = Manifest(
        **facts,
        platform=Platform(known["platform"]),
        verdict=read_manifest(made()).verdict,
        files=describe_files(bundle, names),
    )
    write_manifest(bundle, manifest)
    return manifest


def edit_json(path: Path, **changed: Any) -> None:
    """Set fields of the JSON object in `path`."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@functools.cache
def keys() -> tuple[Path, Path, Path]:
    """A private key, its public half, and the public half of another one (P-256, PEM)."""
    folder = _root() / "keys"
    folder.mkdir()
    for name in ("one", "other"):
        make_key(folder / f"{name}.pem", folder / f"{name}.pub")
    return folder / "one.pem", folder / "one.pub", folder / "other.pub"


def make_key(private: Path, public: Path, *, curve: str = "prime256v1") -> None:
    """A new key pair, by OpenSSL's own program."""
    run = ["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", str(private)]
    subprocess.run(run, check=True, capture_output=True)
    run = ["openssl", "ec", "-in", str(private), "-pubout", "-out", str(public)]
    subprocess.run(run, check=True, capture_output=True)
