"""`edgekd data fetch`: a published data set, downloaded, checked and unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.options import Json, Quiet, Verbose

if TYPE_CHECKING:
    from edgekd.data.fetch_catalogue import Collection


def fetch(
    data_set: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="isic2016, isic2017, isic2018, isic2019, isic2020 or ham10000.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", help="A folder for this data set.", show_default=False)
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the files and their sizes; ask no server.")
    ] = False,
    base_url: Annotated[
        str,
        typer.Option(
            "--base-url",
            metavar="URL",
            help="A mirror that holds the files by their names, instead of the publisher.",
            show_default=False,
        ),
    ] = "",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Download a published data set into DIR, check it and unpack it; repeated, it goes on where it ended.

    Example: edgekd data fetch isic2016 --to data/isic2016 --dry-run
    """
    console.configure(quiet=quiet, verbose=verbose)
    from edgekd.data.fetch_catalogue import find_collection

    collection = find_collection(data_set)
    if dry_run:
        _show_plan(collection, to, base_url, as_json=as_json)
        return
    from edgekd.data.fetch import fetch as get

    record = get(collection, to, base_url=base_url)
    if as_json:
        console.emit_json(record)
        return
    size = sum(one.size_bytes for one in record.files.values())
    console.emit_text(f"{to}: {collection.kind}, {len(record.files)} files, {_mb(size)}; {record.licence}")
    console.emit_text(f"next: edgekd data inspect {to}")


def _show_plan(collection: Collection, to: Path, base_url: str, *, as_json: bool) -> None:
    from edgekd.data.fetch import plan

    files = plan(collection, to, base_url=base_url)
    if as_json:
        told = {"data_set": collection.kind, "licence": collection.licence, "cite": collection.cite}
        console.emit_json({**told, "page": collection.page, "files": files})
        return
    console.emit_table(
        f"{collection.kind}: {collection.licence}; cite {collection.cite}",
        ("file", "bytes", "checksum", "state", "address"),
        [
            (
                one.name,
                f"{'' if one.exact else 'about '}{one.size_bytes:,}",
                one.digest.partition(":")[0] or "of the first download",
                "there" if one.there else "to fetch",
                one.url,
            )
            for one in files
        ],
    )
    missing = sum(one.size_bytes for one in files if not one.there)
    console.emit_text(f"to fetch: about {_mb(missing)}, and as much again to unpack the archives")
    console.emit_text(f"by hand: from {collection.page} into {to}, then repeat the command")


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.2f} MB"
