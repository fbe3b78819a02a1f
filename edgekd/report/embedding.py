"""Images as points of a plane: what a network knows of them, projected, and how far that can be believed.

    <out>/embedding.csv      one row an image: where it lies and what it is
    <out>/embedding.svg .png the picture
    <out>/embedding.json     schema edgekd.embedding/1, written last

A projection tears and glues: two clusters may lie far apart and be neighbours, a gap may be made by the
method. The record therefore says how many of the nearest neighbours in the plane are near in the network's
features (trustworthiness), and how well neighbours tell a label in the features and in the plane.
"""

from __future__ import annotations

import csv
import enum
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.data.leaks import components, group_links
from edgekd.data.table import Row
from edgekd.drawing import draw, draw_png
from edgekd.errors import DataError, ModelError, UsageError, storage_errors
from edgekd.metrics.neighbours import agreement, nearest, trustworthiness
from edgekd.plain import write_json, write_text
from edgekd.report.embedding_figure import Picture, height_inches, picture_painter
from edgekd.report.projection import METHODS, Method
from edgekd.runtimes.base import Engine
from edgekd.runtimes.features import Extracted

SCHEMA = "edgekd.embedding/1"
TABLE, RECORD, SVG, PNG = "embedding.csv", "embedding.json", "embedding.svg", "embedding.png"
COLUMNS = ("image_id", "x", "y", "diagnosis", "malignant", "split", "source", "synthetic")
FEWEST = 10
_NEIGHBOURS = 10


class Colour(enum.StrEnum):
    """What the colours of the picture stand for."""

    DIAGNOSIS = "diagnosis"
    MALIGNANT = "malignant"
    SOURCE = "source"
    SPLIT = "split"
    SYNTHETIC = "synthetic"


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """How well the nearest neighbours tell one label of an image: shares of the images told right.

    `by` names the label, `values` how many it takes; `largest_share` is what always answering the commonest
    would get. Neighbours are never of the same patient or lesion.
    """

    by: Colour
    values: int
    largest_share: float
    in_features: float
    in_embedding: float


@dataclass(frozen=True, kw_only=True)
class EmbeddingRecord:
    """How embedding.csv was made, and how far it can be believed (schema edgekd.embedding/1).

    The `dims` features of each of `n` images are what `layer` of the `model` reads, as `engine` computed
    them. `explained_variance` are the shares of their variance in x and y (null but for pca).
    `trustworthiness` (1: all neighbours in the plane are neighbours in the features, about 0.5: chance) and
    `neighbourhoods` are of the `neighbours` nearest images.
    """

    schema: str = SCHEMA
    model: str
    model_sha256: str
    layer: str
    dims: int
    engine: Engine
    data: str
    splits: tuple[str, ...]
    n: int
    n_malignant: int
    n_synthetic: int
    method: Method
    seed: int
    parameters: Mapping[str, str]
    explained_variance: tuple[float, ...] | None
    versions: Mapping[str, str]
    neighbours: int
    trustworthiness: float
    neighbourhoods: tuple[Neighbourhood, ...]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"embedding: schema is {self.schema!r}, expected {SCHEMA!r}")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the features come from: the model file, what it is called, and the images' folder and splits."""

    model: str
    model_sha256: str
    data: str
    splits: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """`points` float32 [n, 2] of the images `rows`, and the record."""

    points: NDArray[np.float32]
    rows: tuple[Row, ...]
    record: EmbeddingRecord


def embed(found: Extracted, rows: Sequence[Row], origin: Origin, *, method: Method, seed: int) -> Embedding:
    """The features `found` of the images `rows` in a plane; the same for the same `seed` and versions.

    Raises:
        DataError: fewer than `FEWEST` images, or most of them of one patient.
        ModelError: the features are the same for every image.
        MissingExtraError: umap-learn is not installed.
    """
    _check(found, rows)
    made = METHODS[method](found.values, seed)
    groups = components([row.image_id for row in rows], group_links(rows))
    k = _neighbours(groups)
    near = [nearest(points, k=k, groups=groups) for points in (found.values, made.points)]
    record = EmbeddingRecord(
        model=origin.model,
        model_sha256=origin.model_sha256,
        layer=found.layer,
        dims=found.values.shape[1],
        engine=found.engine,
        data=origin.data,
        splits=origin.splits,
        n=len(rows),
        n_malignant=sum(row.malignant for row in rows),
        n_synthetic=sum(_is_synthetic(row) for row in rows),
        method=method,
        seed=seed,
        parameters=made.parameters,
        explained_variance=made.explained_variance,
        versions={name: version(name) for name in ("edgekd", "numpy", *made.packages)},
        neighbours=k,
        trustworthiness=trustworthiness(found.values, made.points, k=k),
        neighbourhoods=tuple(_neighbourhoods(rows, near[0], near[1])),
    )
    return Embedding(points=made.points, rows=tuple(rows), record=record)


def write_embedding(embedding: Embedding, out: Path, colour: Colour) -> None:
    """Write table, picture (coloured by `colour`) and record into the folder `out`, which is made.

    Raises:
        StorageError: it cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    paint, height = _picture(embedding, colour)
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / TABLE, _table(embedding))
        write_text(out / SVG, draw(paint, height_inches=height))
        (out / PNG).write_bytes(draw_png(paint, height_inches=height))
        write_json(out / RECORD, embedding.record)


def labels(rows: Sequence[Row], colour: Colour) -> list[str]:
    """What each of `rows` is by `colour`, in words."""
    return [_LABELS[colour](row) for row in rows]


_LABELS: Mapping[Colour, Callable[[Row], str]] = {
    Colour.DIAGNOSIS: lambda row: row.diagnosis,
    Colour.MALIGNANT: lambda row: "malignant" if row.malignant else "benign",
    Colour.SOURCE: lambda row: row.source,
    Colour.SPLIT: lambda row: row.split.value if row.split else "no split",
    Colour.SYNTHETIC: lambda row: "synthetic" if _is_synthetic(row) else "photograph",
}


_WORDS: Mapping[Colour, str] = {
    **{colour: colour.value for colour in Colour},
    Colour.MALIGNANT: "malignant or benign",
    Colour.SYNTHETIC: "synthetic or photograph",
}


def _is_synthetic(row: Row) -> bool:
    return row.parent is not None


def _check(found: Extracted, rows: Sequence[Row]) -> None:
    if len(rows) < FEWEST:
        raise DataError(f"{len(rows)} images, expected {FEWEST} or more: choose other splits with --split")
    if not np.ptp(found.values, axis=0).any():
        raise ModelError(f"what {found.layer} reads is the same for all {len(rows)} images: a dead network")


def _neighbours(groups: NDArray[np.int64]) -> int:
    """How many neighbours every image has outside of its group, at most 10 and fewer than half of all."""
    outside = len(groups) - int(np.bincount(groups).max())
    if outside == 0:
        raise DataError(f"all {len(groups)} images are of one patient or lesion: none to compare with")
    return min(_NEIGHBOURS, outside, (len(groups) - 1) // 2)


def _neighbourhoods(
    rows: Sequence[Row], in_features: NDArray[np.int64], in_embedding: NDArray[np.int64]
) -> list[Neighbourhood]:
    """One for every label that takes more than one value."""
    found = []
    for colour in Colour:
        values, numbers = np.unique(labels(rows, colour), return_inverse=True)
        if len(values) > 1:
            found.append(
                Neighbourhood(
                    by=colour,
                    values=len(values),
                    largest_share=float(np.bincount(numbers).max() / len(rows)),
                    in_features=agreement(in_features, numbers),
                    in_embedding=agreement(in_embedding, numbers),
                )
            )
    return found


def _picture(embedding: Embedding, colour: Colour) -> tuple[Callable[..., None], float]:
    record = embedding.record
    told = next((one for one in record.neighbourhoods if one.by is colour), None)
    neighbours = (
        ""
        if told is None
        else f" The {record.neighbours} nearest tell {_WORDS[colour]} right for {told.in_embedding:.0%} of "
        f"the images here and for {told.in_features:.0%} in the network's {record.dims} features; always "
        f"answering the commonest, {told.largest_share:.0%}."
    )
    splits = ", ".join(record.splits)
    picture = Picture(
        points=embedding.points,
        labels=labels(embedding.rows, colour),
        malignant={row.diagnosis for row in embedding.rows if row.malignant} if colour == "diagnosis" else (),
        title=f"{record.method.upper()} of {record.n} images by {_WORDS[colour]} ({splits})",
        caption=f"{_READING[record.method](record)} Trustworthiness {record.trustworthiness:.2f} "
        f"(1: all neighbours here are neighbours in the network, 0.5: chance).{neighbours}",
        ticks=record.explained_variance is not None,
    )
    return picture_painter(picture), height_inches(picture)


def _pca_reading(record: EmbeddingRecord) -> str:
    first, second = record.explained_variance or (0.0, 0.0)
    return (
        f"x and y: the directions of largest variance, {first:.0%} and {second:.0%} of it in {record.dims} "
        "features. What lies apart is apart; what overlaps need not be, and distances between clusters mean "
        "nothing by themselves."
    )


_READING: Mapping[Method, Callable[[EmbeddingRecord], str]] = {
    Method.UMAP: lambda _: (
        "Distances between clusters mean nothing, nor do their sizes and gaps: only who lies beside whom."
    ),
    Method.PCA: _pca_reading,
}


def _table(embedding: Embedding) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row, (x, y) in zip(embedding.rows, embedding.points.tolist(), strict=True):
        place = (row.image_id, f"{x:.5f}", f"{y:.5f}", row.diagnosis, int(row.malignant))
        writer.writerow((*place, row.split or "", row.source, int(_is_synthetic(row))))
    return text.getvalue()
