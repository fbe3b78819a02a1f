"""Whether a folder is a bundle, whole and unaltered; it may come from anywhere."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from edgekd.bundle.card_inside import embedded_card
from edgekd.bundle.check_golden import GoldenCheck, check_golden
from edgekd.bundle.manifest import MANIFEST, SIGNATURE, UNLISTED, Manifest, read_manifest
from edgekd.bundle.signature import check_signature
from edgekd.bundle.strict import digest_of, list_files, parse_json, read_plain, shown
from edgekd.card import ModelCard
from edgekd.errors import ContractError, EdgekdError, MissingError
from edgekd.plain import from_plain

SCHEMA = "edgekd.bundle_check/1"
_MOST_TOLD = 50


class Signed(enum.StrEnum):
    """What is known of the signature of a bundle."""

    ABSENT = "absent"
    NOT_CHECKED = "not checked"
    VALID = "valid"
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle whose files are all there and those of its manifest."""

    folder: Path
    manifest: Manifest
    card: ModelCard

    @property
    def model(self) -> Path:
        """The model: a file, or the folder of a package."""
        return self.folder / self.manifest.model

    @property
    def model_sha256(self) -> str:
        """The sha256 of the model file; empty for a package, which is several files."""
        facts = self.manifest.files.get(self.manifest.model)
        return facts.sha256 if facts else ""

    @property
    def golden(self) -> Path:
        """golden.json."""
        return self.folder / self.manifest.golden


@dataclass(frozen=True, kw_only=True)
class BundleCheck:
    """What checking a folder showed (schema edgekd.bundle_check/1); null where it did not come to that.

    `problems` is everything that is wrong, one line each; `files` and `size_bytes` count what the manifest
    lists.
    """

    schema: str = SCHEMA
    folder: str
    passed: bool
    problems: tuple[str, ...]
    platform: str | None = None
    name: str | None = None
    precision: str | None = None
    verdict: str | None = None
    files: int | None = None
    size_bytes: int | None = None
    signature: Signed | None = None
    golden: GoldenCheck | None = None


def open_bundle(folder: Path) -> Bundle:
    """The bundle `folder`, every byte compared with its manifest; the model is not run.

    Raises:
        MissingError: there is no such folder.
        ContractError: it is no bundle, or was altered; the first problem is named.
    """
    bundle, wrong = _open(folder)
    if bundle is None or wrong:
        raise ContractError(f"{folder}: {wrong[0]}")
    return bundle


def check_files(folder: Path) -> list[str]:
    """What is wrong with the files and the card of the bundle `folder`; the model is not run.

    Raises:
        MissingError: there is no such folder.
    """
    return _open(folder)[1]


def problems(folder: Path, key: Path | None = None) -> list[str]:
    """Everything that is wrong with the bundle `folder`, one line each; `key` demands its signature."""
    return list(check(folder, key).problems)


def check(folder: Path, key: Path | None = None) -> BundleCheck:
    """Check every byte of the bundle `folder`, its signature where `key` is given, and its golden set.

    Nothing of a folder that is not what its manifest says is run.

    Raises:
        MissingError: there is no such folder, or the key cannot be read.
        MissingExtraError: a signature is to be checked and the extra `sign` is not installed.
    """
    bundle, wrong = _open(folder)
    if bundle is None or wrong:
        return _result(folder, bundle, wrong)
    signed = Signed.NOT_CHECKED if (folder / SIGNATURE).exists() else Signed.ABSENT
    if key is not None:
        signed = Signed.VALID
        try:
            check_signature(folder, key, {MANIFEST, *bundle.manifest.files})
        except ContractError as error:
            return _result(folder, bundle, [str(error)], Signed.INVALID)
    golden, wrong = check_golden(folder, bundle.manifest, bundle.card)
    return _result(folder, bundle, wrong, signed, golden)


def _open(folder: Path) -> tuple[Bundle | None, list[str]]:
    """The bundle as far as it can be read, and what is wrong with its files and its card."""
    if not folder.is_dir():
        raise MissingError(f"{folder}: no such folder, expected a bundle made by edgekd bundle")
    sizes, wrong = list_files(folder)
    if MANIFEST not in sizes:
        return None, wrong if wrong and not sizes else [*wrong, f"{MANIFEST} is missing: this is no bundle"]
    try:
        manifest = read_manifest(folder)
    except ContractError as error:
        return None, [*wrong, str(error)]
    wrong += _compare(folder, manifest, sizes)
    try:
        card = _read_card(folder, manifest)
        wrong += [] if wrong else _contradictions(folder, manifest, card)
    except ContractError as error:
        return None, [*wrong, str(error)]
    return Bundle(folder=folder, manifest=manifest, card=card), wrong


def _compare(folder: Path, manifest: Manifest, sizes: dict[str, int]) -> list[str]:
    """The files that are missing, extra, of another size or of other bytes."""
    wrong = [f"{name} is missing" for name in manifest.files if name not in sizes]
    wrong += [
        f"{name} is not in the manifest"
        for name in sizes
        if name not in manifest.files and name not in UNLISTED
    ]
    for name, facts in manifest.files.items():
        if name in sizes:
            wrong += _altered(folder, name, facts.sha256, facts.size_bytes)
    return wrong


def _altered(folder: Path, name: str, sha256: str, size: int) -> list[str]:
    try:
        altered = digest_of(folder / name, size) != sha256
    except ValueError as error:
        return [f"{name} was altered: {error}"]
    return [f"{name} was altered: its sha256 is not the manifest's"] if altered else []


def _read_card(folder: Path, manifest: Manifest) -> ModelCard:
    try:
        return from_plain(ModelCard, parse_json(read_plain(folder / manifest.card)), "card")
    except (ValueError, EdgekdError) as error:
        raise ContractError(f"{manifest.card}: {shown(str(error))}") from None


def _contradictions(folder: Path, manifest: Manifest, card: ModelCard) -> list[str]:
    """Where manifest, card and the card inside the model do not say the same."""
    wrong = [
        f"{manifest.card}: {field} is {shown(told)}, the manifest says {shown(said)}"
        for field, told, said in (
            ("name", card.name, manifest.name),
            ("precision", card.precision, manifest.precision),
        )
        if told != said
    ]
    if card.operating_point is None:
        wrong.append(f"{manifest.card}: no operating point, nothing can be called")
    inside = embedded_card(folder / manifest.model)
    if inside is not None and inside != card:
        wrong.append(f"{manifest.model}: the card inside is not {manifest.card}")
    return wrong


def _result(
    folder: Path,
    bundle: Bundle | None,
    wrong: list[str],
    signed: Signed | None = None,
    golden: GoldenCheck | None = None,
) -> BundleCheck:
    more = len(wrong) - _MOST_TOLD
    told = [*wrong[:_MOST_TOLD], *([f"and {more} more"] if more > 0 else [])]
    manifest = bundle.manifest if bundle else None
    return BundleCheck(
        folder=str(folder),
        passed=not wrong,
        problems=tuple(told),
        platform=manifest.platform if manifest else None,
        name=manifest.name if manifest else None,
        precision=manifest.precision if manifest else None,
        verdict=manifest.verdict if manifest else None,
        files=len(manifest.files) if manifest else None,
        size_bytes=sum(facts.size_bytes for facts in manifest.files.values()) if manifest else None,
        signature=signed,
        golden=golden,
    )
