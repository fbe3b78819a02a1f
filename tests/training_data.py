"""A data set of a few dozen generated images, written as the station `data` writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekd.data.dataset import SCHEMA, Dataset, DatasetRecord, open_dataset
from edgekd.data.store import write_manifest, write_shard
from edgekd.data.table import Row, Split, write_table
from edgekd.plain import write_json

PX = 32
COUNTS = {Split.TRAIN: 48, Split.VALIDATION: 24, Split.TEST: 24}


def write_dataset(folder: Path, *, classes: tuple[str, ...] = ("mel", "nv", "bkl")) -> Dataset:
    """`COUNTS` images of 32 px in three classes that differ in colour; mel is malignant."""
    rows: list[Row] = []
    for split, count in COUNTS.items():
        images = [_image(split, number, number % len(classes)) for number in range(count)]
        ids = [f"{split}_{number:03d}" for number in range(count)]
        store = folder / "store" / split
        store.mkdir(parents=True)
        shards = [write_shard(store / "00000.u8", images, px=PX)]
        write_manifest(store, px=PX, image_ids=ids, shards=shards)
        rows += [_row(name, classes[number % len(classes)], split) for number, name in enumerate(ids)]
    write_table(folder / "table.csv", rows)
    record = DatasetRecord(
        schema=SCHEMA,
        classes=classes,
        malignant=("mel",),
        input_px=PX,
        train_px=PX,
        shares={"generated": 1.0},
    )
    write_json(folder / "dataset.json", record)
    return open_dataset(folder)


def _image(split: Split, number: int, label: int) -> np.ndarray:
    """Noise around a grey that is a little lighter in the channel of its class."""
    random = np.random.Generator(np.random.PCG64([len(split), number]))
    image = random.normal(110, 25, (PX, PX, 3))
    image[..., label] += random.normal(12, 10)
    return image.clip(0, 255).astype(np.uint8)


def _row(name: str, diagnosis: str, split: Split) -> Row:
    return Row(
        image_id=name,
        path=f"{name}.png",
        diagnosis=diagnosis,
        malignant=diagnosis == "mel",
        patient=None,
        lesion=None,
        split=split,
        age=None,
        sex=None,
        site=None,
        source="generated",
    )
