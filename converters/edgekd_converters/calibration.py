"""The images post-training quantization reads its ranges from: chosen by seed, on record, no test image.

`<export>/<precision>/calibration.json` lists them (schema edgekd.calibration/1). They come from the training
split. Classes are drawn by the square root of their count, so that rare malignant images are among them: a
range that never saw a melanoma clips what makes it one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.data.dataset import Dataset, Samples
from edgekd.data.detect import detect_kind, open_folder
from edgekd.data.reading import IMAGE_SUFFIXES
from edgekd.data.table import Split
from edgekd.errors import DataError, UsageError
from edgekd.imaging.resample import resize
from edgekd.plain import from_plain, read_json

SCHEMA = "edgekd.calibration/1"
CALIBRATION = "calibration.json"


@dataclass(frozen=True, kw_only=True)
class CalibrationRecord:
    """Which images a file was calibrated on (schema edgekd.calibration/1).

    `sha256` over the pixels in the order of `image_ids`, uint8 RGB at `input_px`; `patient_sha256` over their
    patient vectors (float32 [n, f]; empty: the network takes none); `counts` by class.
    `disjoint_from` gives the number of validation and test images none of these is among; that nothing else
    connects the splits (patient, lesion, near-identical picture) is proved in the run's data/split.json.
    """

    schema: str = SCHEMA
    seed: int
    n: int
    n_malignant: int
    counts: Mapping[str, int]
    input_px: int
    sha256: str
    patient_sha256: str = ""
    image_ids: tuple[str, ...]
    disjoint_from: Mapping[str, int]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"calibration: schema is {self.schema!r}, expected {SCHEMA!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """The chosen `images` (uint8 RGB [n, px, px, 3]) and what is recorded of them.

    `features` are their patient vectors, float32 [n, f]; f = 0 without patient data.
    """

    images: NDArray[np.uint8]
    features: NDArray[np.float32]
    record: CalibrationRecord


def choose_calibration(dataset: Dataset, *, count: int, seed: int) -> Calibration:
    """`count` training images (all, where there are fewer), the same for the same `seed`.

    Raises:
        DataError: one of them is a validation or test image as well.
    """
    train = dataset.train
    numbers = _stratified(train.labels, count, seed)
    images, features = _pixels(train, numbers, dataset.input_px), train.features[numbers]
    rows = [train.rows[number] for number in numbers]
    record = CalibrationRecord(
        seed=seed,
        n=len(rows),
        n_malignant=sum(row.malignant for row in rows),
        counts=dict(sorted(Counter(row.diagnosis for row in rows).items())),
        input_px=dataset.input_px,
        sha256=hashlib.sha256(images.data).hexdigest(),
        patient_sha256=hashlib.sha256(features.tobytes()).hexdigest() if dataset.features else "",
        image_ids=tuple(row.image_id for row in rows),
        disjoint_from={str(part.split): len(part) for part in (dataset.validation, dataset.test)},
    )
    check_disjoint(record, dataset)
    return Calibration(images=images, features=features, record=record)


def choose_files(root: Path, *, count: int, seed: int) -> tuple[Path, ...]:
    """`count` image files for a model that belongs to no run: of a folder, or of a labelled data set.

    Of a labelled one the training images (all, where nothing is split), classes by the square root of their
    count.

    Raises:
        DataError: nothing there is an image, or the labels contradict themselves.
    """
    flat = sorted(path for path in root.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if flat:
        return tuple(flat[number] for number in _stratified(np.zeros(len(flat), np.int32), count, seed))
    source = open_folder(root, detect_kind(root), ())
    rows = [row for row in source.rows() if row.split in (None, Split.TRAIN)]
    labels = np.unique([row.diagnosis for row in rows], return_inverse=True)[1].astype(np.int32)
    folder = root if root.is_dir() else root.parent
    return tuple(folder / rows[number].path for number in _stratified(labels, count, seed))


def check_disjoint(record: CalibrationRecord, dataset: Dataset) -> None:
    """Nothing, when every image of `record` is a training image of `dataset` and of no other split.

    Raises:
        DataError: naming the first that is not.
    """
    train = {row.image_id for row in dataset.train.rows}
    for part in (dataset.validation, dataset.test):
        leaked = sorted({row.image_id for row in part.rows} & set(record.image_ids))
        if leaked:
            raise DataError(
                f"calibration: {len(leaked)} {part.split} image(s) among the calibration images, first "
                f"{leaked[0]}: a file that was fitted to them cannot be judged on them; export again"
            )
    unknown = sorted(set(record.image_ids) - train)
    if unknown:
        raise DataError(f"calibration: {unknown[0]} is no training image of this data set; export again")


def read_calibration(path: Path) -> CalibrationRecord:
    """The record in the file `path`.

    Raises:
        DataError: it is missing or no such record.
    """
    try:
        return from_plain(CalibrationRecord, read_json(path), "calibration")
    except (OSError, ValueError, UsageError) as error:
        raise DataError(f"{path}: no readable calibration record ({error})") from error


def _stratified(labels: NDArray[np.int32], count: int, seed: int) -> list[int]:
    """The numbers of `count` images, at least one of every class there is, in order."""
    generator = np.random.Generator(np.random.PCG64(seed))
    chosen: list[int] = []
    classes, sizes = np.unique(labels, return_counts=True)
    for label, part in zip(classes, _quotas(sizes, count), strict=True):
        chosen += generator.permutation(np.nonzero(labels == label)[0])[:part].tolist()
    return sorted(chosen)


def _quotas(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` divided among classes by the square root of their size, none above it."""
    quotas = np.minimum(sizes, 1)
    while quotas.sum() < min(count, sizes.sum()):
        wanted = np.where(quotas < sizes, (quotas + 0.5) / np.sqrt(sizes), np.inf)
        quotas[np.argmin(wanted)] += 1  # Webster's method: the class furthest behind its share is next
    return quotas


def _pixels(samples: Samples, numbers: list[int], px: int) -> NDArray[np.uint8]:
    images = np.empty((len(numbers), px, px, 3), np.uint8)
    for place, number in enumerate(numbers):
        images[place] = resize(samples.images.image(number), px)
    return images
