"""`edgekd embed`: what a network knows of images, as points of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.options import Force, Json, Kind, Quiet, Verbose
from edgekd.errors import ModelError, UsageError
from edgekd.plain import file_digest, parse_enum

if TYPE_CHECKING:
    from edgekd.config import HairRemoval
    from edgekd.data.table import Split
    from edgekd.models.scaling import Scaling
    from edgekd.report.embedding import Embedding
    from edgekd.report.embedding_source import Chosen

_RUN, _DATA, _PREPARED = "experiment.json", "data", "dataset.json"
_OF_A_RUN = Path("distill", "model.keras")


def embed(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|MODEL",
            help="A run (its float student), or a .tflite, .keras or .h5 file.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|DIR",
            help="A run, a prepared data set or labelled images [default: those of the model's own run].",
            show_default=False,
        ),
    ] = None,
    kind: Kind = "",
    split: Annotated[str, typer.Option(help="Comma-separated: train, validation, test; or all.")] = "test",
    colour: Annotated[
        str, typer.Option(help="diagnosis, malignant, source, split or synthetic.")
    ] = "diagnosis",
    method: Annotated[str, typer.Option(help="umap, or pca: seconds, and nothing to install.")] = "umap",
    scaling: Annotated[
        str,
        typer.Option(
            help="What a float network of another origin expects: signed (-1 to 1), unit (0 to 1), own "
            "(0 to 255), torch or caffe.",
            show_default=False,
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same picture.", min=0)] = 0,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the CSV, the pictures and the record.")
    ] = Path("embedding"),
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what MODEL knows of each image before it decides, as a picture, a table and a record.

    Example: edgekd embed runs/quickstart --split all --colour split --out embedding
    """
    console.configure(quiet=quiet, verbose=verbose)
    from edgekd.report import embedding as made
    from edgekd.report.embedding_source import open_network, parse_splits
    from edgekd.report.projection import Method

    by, way = parse_enum(made.Colour, colour, "colour"), parse_enum(Method, method, "method")
    splits, model = parse_splits(split), source / _OF_A_RUN if source.is_dir() else source
    _check_out(out, made.RECORD, force=force)
    folder = _data_of(model) if data is None else data
    network = open_network(model, _scaling(scaling))
    chosen = _images(folder, kind, splits, network.input_px, _hair(model))
    origin = made.Origin(
        model=str(model), model_sha256=file_digest(model), data=str(folder), splits=tuple(splits)
    )
    values = network.extract(chosen.images, chosen.features)
    found = made.embed(values, chosen.rows, origin, method=way, seed=seed)
    made.write_embedding(found, out, by)
    if as_json:
        console.emit_json(found.record)
    else:
        _show(found, out)


def _check_out(out: Path, record: str, *, force: bool) -> None:
    if out.is_file():
        raise UsageError(f"{out} is a file, expected a folder")
    if (out / record).exists() and not force:
        raise UsageError(f"{out} holds an embedding: give --force to replace it, or another --out")


def _data_of(model: Path) -> Path:
    """The run that `model` lies in."""
    for folder in (*model.parents, *model.resolve().parents):
        if (folder / _RUN).is_file():
            return folder
    raise UsageError(f"{model} lies in no run: say which images with --data")


def _images(folder: Path, kind: str, splits: Sequence[Split], px: int, hair: HairRemoval | None) -> Chosen:
    from edgekd.config import DataConfig, HairRemoval
    from edgekd.data.detect import detect_kind, open_folder
    from edgekd.report.embedding_source import labelled_images, prepared_images

    for prepared in (folder, folder / _DATA):
        if (prepared / _PREPARED).is_file():
            return prepared_images(prepared, splits, px, hair)
    source = open_folder(folder, detect_kind(folder, kind), DataConfig.malignant)
    return labelled_images(source, splits, px, hair or HairRemoval.NONE)


def _hair(model: Path) -> HairRemoval | None:
    """What the card of `model` wants removed; None without a card."""
    from edgekd.assess import find_card
    from edgekd.config import HairRemoval

    try:
        card = find_card(model)
    except ModelError:
        return None
    known: HairRemoval = parse_enum(HairRemoval, card.hair_removal, "hair removal of the card")
    return known


def _scaling(name: str) -> Scaling | None:
    from edgekd.models.scaling import Scaling

    return parse_enum(Scaling, name, "scaling") if name else None


def _show(found: Embedding, out: Path) -> None:
    record = found.record
    console.emit_table(
        f"{record.model}: {record.method} of {record.dims} features of {record.n} images "
        f"({', '.join(record.splits)}), {record.n_malignant} malignant; trustworthiness "
        f"{record.trustworthiness:.3f}; {record.neighbours} nearest images of others, shares told right",
        ("label", "values", "in the features", "in the picture", "commonest"),
        [
            (
                one.by.value,
                str(one.values),
                *(f"{share:.3f}" for share in (one.in_features, one.in_embedding, one.largest_share)),
            )
            for one in record.neighbourhoods
        ],
    )
    console.emit_text(f"picture: {out / 'embedding.svg'}")
