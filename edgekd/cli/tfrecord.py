"""`edgekd data tfrecord`: the prepared images as TFRecord shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console, pipeline
from edgekd.cli.options import Json, Quiet, RunFolder, Verbose
from edgekd.locate import locate_data
from edgekd.pipeline import Station
from edgekd.runs import require_run

if TYPE_CHECKING:
    from edgekd.data.tfrecord.manifest import Manifest


def tfrecord(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="Folder of the shards; made when absent.", show_default=False)],
    jpeg: Annotated[
        int | None,
        typer.Option(
            help="JPEG of this quality, 1 to 100, instead of PNG; smaller, and the pixels change.",
            min=1,
            max=100,
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes every core.", min=0)] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write the prepared images of RUN as TFRecord shards with the features of SIIM-ISIC's, for tf.data.

    Example: edgekd data tfrecord runs/isic2017 --out shards
    """
    console.configure(quiet=quiet, verbose=verbose)
    from edgekd.data.tfrecord.write import write_tfrecords

    made = require_run(run)
    with made.locked():
        experiment = locate_data(pipeline.open_experiment(made), None)
        pipeline.make(made, experiment, Station.DATA)
        manifest = write_tfrecords(made.folder(Station.DATA), out, jpeg=jpeg, workers=workers)
    if as_json:
        console.emit_json(manifest)
        return
    console.emit_table(f"{out}, {manifest.image}", ("split", "shards", "images", "MB"), _lines(manifest))


def _lines(manifest: Manifest) -> list[tuple[str, ...]]:
    return [
        (
            split,
            str(sum(shard.split == split for shard in manifest.shards)),
            str(sum(counts.values())),
            f"{sum(shard.size_bytes for shard in manifest.shards if shard.split == split) / 1e6:.1f}",
        )
        for split, counts in manifest.counts.items()
    ]
