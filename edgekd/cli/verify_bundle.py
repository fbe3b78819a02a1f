"""`edgekd verify-bundle`: whether a bundle is whole, unaltered and answers as it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.options import Json, Quiet
from edgekd.errors import ContractError

if TYPE_CHECKING:
    from edgekd.bundle.check import BundleCheck


def verify_bundle(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A bundle, from anywhere.", show_default=False)
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="PUB",
            help="Demand a signature by the owner of this public key (PEM).",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check every byte of the bundle DIR, its signature, and its golden pictures through the engine.

    Missing, altered and extra files are refused, and so are links and names that leave the folder. Then the
    pixels are made again, the model runs, and logits, scores and calls are compared. Exit code 3 when
    anything is wrong, a line for each.

    Example: edgekd verify-bundle runs/quickstart/bundle/android

    Example: edgekd verify-bundle app/src/main/assets/bundle --key key.pub
    """
    console.configure(quiet=quiet)
    from edgekd.bundle.check import check

    found = check(folder, key)
    if as_json:
        console.emit_json(found)
    else:
        for line in found.problems or _told(found):
            console.emit_text(line)
    if not found.passed:
        count = len(found.problems)
        raise ContractError(f"{folder}: {count} problem{'s' if count != 1 else ''}; do not use this bundle")


def _told(found: BundleCheck) -> tuple[str, ...]:
    """What a good bundle is, in a few lines."""
    golden = found.golden
    lines = [
        f"{found.folder}: {found.name}, {found.precision}, for {found.platform}",
        f"files      {found.files} as the manifest says, {(found.size_bytes or 0) / 1e6:.2f} MB",
        f"verdict    {found.verdict}",
        f"signature  {found.signature}{'' if found.signature != 'not checked' else ': give --key PUB'}",
    ]
    if golden is not None:
        differing = (
            "all logits equal"
            if golden.largest_logit_difference == 0
            else f"logits within {golden.largest_logit_difference:.3g}"
        )
        lines += [f"golden     {golden.pictures} pictures: all bytes equal, {differing}"]
        lines += [f"engine     {golden.engine}"]
        lines += [] if golden.exact else [f"made with  {golden.made_with}"]
    return tuple(lines)
