"""`write_bundle`: the folder itself, whole or not there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekd.bundle.golden import write_golden
from edgekd.bundle.manifest import (
    CARD,
    MANIFEST,
    SIGNATURE,
    UNLISTED,
    Manifest,
    Platform,
    describe_files,
    read_manifest,
    write_manifest,
)
from edgekd.bundle.signature import open_key, sign
from edgekd.bundle.source import Contents, model_name
from edgekd.bundle.strict import list_files
from edgekd.bundle.texts import licence_text, write_guide
from edgekd.card import ModelCard
from edgekd.errors import ContractError, ModelError, UsageError, storage_errors
from edgekd.plain import write_text
from edgekd.runs import tool_versions
from edgekd_converters.metadata import embed_card

LICENSE = "LICENSE"


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How a bundle is made.

    `key`: signed with this private key. `licence`: the file with the licence of the model. `space`: as a
    folder for Hugging Face Spaces (web only). `force`: in place of a bundle somebody added files to.
    `owned`: its place belongs to a run folder, whatever lies there was made here.
    """

    key: Path | None = None
    licence: Path | None = None
    space: bool = False
    force: bool = False
    owned: bool = False


def check_wanted(platform: Platform, contents: Contents) -> None:
    """Nothing, when an application on `platform` can use this card and model.

    Raises:
        ContractError: the card has no operating point.
        ModelError: the model is of another kind, or needs what that platform does not do.
    """
    if contents.model.suffix != Path(model_name(platform)).suffix:
        raise ModelError(f"{contents.model}: {platform} takes a {Path(model_name(platform)).suffix}")
    if contents.card.operating_point is None:
        raise ContractError(
            f"{contents.model}: its card has no operating point, so nothing can be called: verify it, or "
            "write the threshold into the card"
        )
    if platform is Platform.WEB:
        from edgekd.bundle.web_bundle import check_web

        check_web(contents.card)


def write_bundle(
    folder: Path, platform: Platform, contents: Contents, wishes: Wishes
) -> tuple[Manifest, bool]:
    """Make the bundle `folder`: its manifest, and whether it was made (False: it was there, byte for byte).

    It is made beside its place and moved there when whole. A signature is always made anew.

    Raises:
        UsageError: `folder` is there and is something else than a bundle, or holds more than one.
        ContractError, ModelError: as `check_wanted`; the model cannot be run, or its answers are not finite.
        MissingExtraError: it is to be signed and the extra `sign` is not installed.
        MissingError: the key cannot be read.
        StorageError: it cannot be written.
    """
    check_wanted(platform, contents)
    if wishes.key is not None:
        open_key(wishes.key)  # before any work is done
    work, old = (folder.with_name(f".{folder.name}.{part}") for part in ("tmp", "old"))
    with storage_errors(folder):
        _recover(folder, old)
        _require_ours(folder, wishes)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            manifest = _fill(work, platform, contents, wishes)
            if wishes.key is None and _same(work, folder):
                return manifest, False
            if wishes.key is not None:
                sign(work, wishes.key)
            _promote(work, folder, old)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return manifest, True


def _fill(work: Path, platform: Platform, contents: Contents, wishes: Wishes) -> Manifest:
    model = work / model_name(platform)
    _copy_model(contents, model)
    write_text(work / CARD, contents.card.to_json())
    golden = write_golden(work, model, contents.card, contents.pictures)
    write_text(work / LICENSE, licence_text(contents.card, contents.sources, wishes.licence))
    more = _FINISH[platform](work, contents, wishes)
    found, wrong = list_files(work)
    if wrong:
        raise ContractError(f"the bundle cannot be made: {wrong[0]}")
    manifest = Manifest(
        platform=platform,
        name=contents.card.name,
        precision=contents.card.precision,
        model=model.name,
        verdict=contents.verdict,
        tools={**tool_versions(("edgekd",)), golden.engine.name: golden.engine.version, **more},
        files=describe_files(work, found),
    )
    write_manifest(work, manifest)
    return manifest


def _copy_model(contents: Contents, target: Path) -> None:
    if contents.model.is_dir():
        _copy_package(contents, target)
    elif contents.embed:
        target.write_bytes(embed_card(contents.model.read_bytes(), contents.card))
    else:
        shutil.copyfile(contents.model, target)


def _copy_package(contents: Contents, target: Path) -> None:
    from edgekd_converters.coreml_card import embed_card_coreml

    shutil.copytree(contents.model, target, symlinks=True)
    if contents.embed:
        embed_card_coreml(target, contents.card)


def _finish_phone(platform: Platform) -> Callable[[Path, Contents, Wishes], dict[str, str]]:
    def finish(work: Path, contents: Contents, wishes: Wishes) -> dict[str, str]:
        del wishes
        write_guide(work, platform, contents.card, contents.verdict)
        return {}

    return finish


def _finish_web(work: Path, contents: Contents, wishes: Wishes) -> dict[str, str]:
    from edgekd.bundle.web_bundle import write_web

    card: ModelCard = contents.card
    return dict(write_web(work, card, space=wishes.space))


_FINISH: Mapping[Platform, Callable[[Path, Contents, Wishes], dict[str, str]]] = {
    Platform.ANDROID: _finish_phone(Platform.ANDROID),
    Platform.IOS: _finish_phone(Platform.IOS),
    Platform.WEB: _finish_web,
}


def _require_ours(folder: Path, wishes: Wishes) -> None:
    """Refuse to put a bundle where something else lies; never is anything deleted that is no bundle."""
    if wishes.owned or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        known = read_manifest(folder)
    except ContractError as error:
        raise UsageError(f"{folder} is there already and is no bundle: choose another --out") from error
    files, wrong = list_files(folder)
    if not wishes.force and (wrong or set(files) - {*known.files, *UNLISTED}):
        raise UsageError(f"{folder} holds more than its bundle: choose another --out, or --force to lose it")


def _same(made: Path, folder: Path) -> bool:
    """Whether `folder` holds exactly the files of `made`, unsigned."""
    if not (folder / MANIFEST).is_file() or (folder / SIGNATURE).exists():
        return False
    names, wrong = list_files(folder)
    wanted, _ = list_files(made)
    if wrong or names != wanted:
        return False
    return describe_files(folder, names) == describe_files(made, wanted)


def _promote(work: Path, folder: Path, old: Path) -> None:
    shutil.rmtree(old, ignore_errors=True)
    if folder.is_dir():
        folder.rename(old)
    elif folder.exists():
        folder.unlink()
    work.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _recover(folder: Path, old: Path) -> None:
    """Finish the renames a kill may have interrupted."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if old.is_dir() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
