"""What an embedding is made of: a model file as a network that tells its features, and labelled images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.config import HairRemoval
from edgekd.data.dataset import open_dataset
from edgekd.data.source import DataSource
from edgekd.data.table import Row, Split
from edgekd.errors import DataError, ModelError, UnknownNameError, UsageError
from edgekd.imaging.hair import remove_hair
from edgekd.imaging.resample import prepare
from edgekd.models.scaling import BYTE_SPANS, Scaling
from edgekd.models.scaling import scaling as scaling_of
from edgekd.runtimes.base import Features
from edgekd.runtimes.features import Extractor, KerasExtractor, TfliteExtractor
from edgekd.runtimes.keras import load_keras
from edgekd.runtimes.predict import Images

ALL = "all"


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """The images to show with their patient vectors [n, f], index for index the same as `rows`."""

    rows: tuple[Row, ...]
    images: Images
    features: Features


def open_network(model: Path, scaling: Scaling | None = None) -> Extractor:
    """The network in a .tflite, .keras or .h5 file.

    `scaling` is what it expects of pixels where the file does not say: one that edgekd did not make, with
    float input.

    Raises:
        ModelError: missing, unreadable, no image classifier, or without a dense layer at its end.
        UsageError: a .tflite file cannot be fed by this scaling.
    """
    if not model.is_file() or model.suffix not in _LOADERS:
        raise ModelError(f"{model}: no .tflite, .keras or .h5 file")
    return _LOADERS[model.suffix](model, scaling)


def parse_splits(text: str) -> tuple[Split, ...]:
    """The splits that `text` names, comma-separated; every one for "all".

    Raises:
        UnknownNameError: there is no such split.
        UsageError: one is named twice.
    """
    if text == ALL:
        return tuple(Split)
    names = text.split(",")
    for name in names:
        if name not in set(Split):
            raise UnknownNameError("split", name, [ALL, *Split])
    if len(set(names)) < len(names):
        raise UsageError(f"--split {text}: a split is named twice")
    return tuple(Split(name) for name in names)


def prepared_images(
    folder: Path, splits: Sequence[Split], px: int, hair: HairRemoval | None = None
) -> Chosen:
    """The images of `splits` in the prepared data set `folder`, at `px`; those stored larger are resized.

    `hair` is what the network wants removed (None: nobody knows).

    Raises:
        DataError: it is missing, contradicts itself, or is prepared otherwise than the network takes it.
    """
    stored = open_dataset(folder)
    dataset = stored.seen_by_teacher() if px == stored.teacher_px else stored
    if dataset.input_px != px or hair not in (None, dataset.hair):
        raise DataError(
            f"{folder} is prepared at {dataset.input_px} px, hair removal {dataset.hair}, the model takes "
            f"{px} px and {hair or dataset.hair}: prepare it again (edgekd data prepare) for this model"
        )
    every = {part.split: part for part in (dataset.train, dataset.validation, dataset.test)}
    parts = [every[split] for split in splits]
    return Chosen(
        rows=tuple(row for part in parts for row in part.rows),
        images=_Joined(tuple(part.images for part in parts), px),
        features=np.concatenate([part.features for part in parts]),
    )


def labelled_images(
    source: DataSource, splits: Sequence[Split], px: int, hair: HairRemoval = HairRemoval.NONE
) -> Chosen:
    """The images of `source` in `splits` (all, where nothing is split), by the pixel rule at `px`.

    They are decoded when they are read. No patient vectors: only a prepared data set has them.

    Raises:
        DataError: as the source's rows.
    """
    rows = source.rows()
    if any(row.split is not None for row in rows):
        rows = tuple(row for row in rows if row.split in splits)
    return Chosen(
        rows=rows, images=_Decoded(source, rows, px, hair), features=np.zeros((len(rows), 0), np.float32)
    )


@dataclass(frozen=True)
class _Joined:
    """Stores one after another, as one; images of another size than `px` are resized."""

    parts: tuple[Images, ...]
    px: int

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images [n, px, px, 3] with these numbers."""
        ends = np.cumsum([len(part) for part in self.parts])
        images = np.empty((len(indices), self.px, self.px, 3), np.uint8)
        for image, number in zip(images, indices, strict=True):
            place = int(np.searchsorted(ends, number, side="right"))
            inside = number - ends[place] + len(self.parts[place])
            image[...] = prepare(self.parts[place].read(np.array([inside]))[0], self.px)
        return images


@dataclass(frozen=True)
class _Decoded:
    """Image files of a data set, as a store."""

    source: DataSource
    rows: tuple[Row, ...]
    px: int
    hair: HairRemoval

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images [n, px, px, 3] with these numbers."""
        upright = (self.source.image(self.rows[number]) for number in indices)
        return np.stack([prepare(remove_hair(image, self.hair), self.px) for image in upright])


def _tflite(model: Path, scaling: Scaling | None) -> Extractor:
    if scaling is None:
        return TfliteExtractor(model)
    spans = {**BYTE_SPANS, Scaling.SIGNED: (-1.0, 1.0), Scaling.OWN: (0.0, 255.0)}
    if scaling not in spans:
        raise UsageError(f"--scaling {scaling}: a .tflite file takes one of {', '.join(spans)}")
    return TfliteExtractor(model, spans[scaling])


def _keras(model: Path, scaling: Scaling | None) -> Extractor:
    if scaling is not None:
        from edgekd_converters.stranger import load_model

        return KerasExtractor(load_model(model, scaling))
    loaded = load_keras(model)
    scaling_of(loaded)  # refuses a model whose input range nobody knows
    return KerasExtractor(loaded)


def _h5(model: Path, scaling: Scaling | None) -> Extractor:
    """Without `scaling` one of ours: those of the station qat."""
    if scaling is not None:
        return _keras(model, scaling)
    from edgekd.models.quantize import load_quantized
    from edgekd_converters.stranger import require_no_code

    require_no_code(model)
    try:
        return KerasExtractor(load_quantized(model))
    except ModelError as error:
        raise ModelError(f"{error}; of another origin: say what it expects with --scaling") from error


_LOADERS: Mapping[str, Callable[[Path, Scaling | None], Extractor]] = {
    ".tflite": _tflite,
    ".keras": _keras,
    ".h5": _h5,
}
