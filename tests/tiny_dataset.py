"""A prepared data set of small images; unless told otherwise random ones, the malignant redder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgekd.data.dataset import SCHEMA, DatasetRecord
from edgekd.data.store import shard_name, write_manifest, write_shard
from edgekd.data.table import Row, Split, write_table
from edgekd.plain import write_json

PX, CLASSES, COUNT = 32, ("mel", "nv", "bkl"), 60
Pictures = Callable[[int, int], np.ndarray]


def reddish(count: int, seed: int) -> np.ndarray:
    """Noise uint8 [count, 32, 32, 3]; all but every third image have half the red."""
    rng = np.random.Generator(np.random.PCG64([8, seed]))
    images = rng.integers(0, 256, (count, PX, PX, 3), np.uint8)
    images[np.arange(count) % 3 > 0, ..., 0] //= 2
    return images


def prepare(folder: Path, pictures: Pictures = reddish) -> Path:
    """Write it to `folder`: `COUNT` images a split, drawn by `pictures`, every third malignant."""
    rows = [
        row for number, split in enumerate(Split) for row in _split(folder, split, pictures(COUNT, number))
    ]
    write_table(folder / "table.csv", rows)
    record = DatasetRecord(
        schema=SCHEMA,
        classes=CLASSES,
        malignant=("mel",),
        input_px=PX,
        train_px=PX,
        shares={"synthetic": 1.0},
    )
    write_json(folder / "dataset.json", record)
    return folder


def _split(folder: Path, split: Split, images: np.ndarray) -> list[Row]:
    ids = [f"{split}{n}" for n in range(COUNT)]
    store = folder / "store" / split
    store.mkdir(parents=True)
    shard = write_shard(store / shard_name(0), images, px=PX)
    write_manifest(store, px=PX, image_ids=ids, shards=[shard])
    return [
        Row(
            image_id=name,
            path=f"{name}.png",
            diagnosis=CLASSES[n % 3],
            malignant=n % 3 == 0,
            split=split,
            age=25.0 + n % 50,
            sex="female" if n % 2 else "male",
            source="synthetic",
        )
        for n, name in enumerate(ids)
    ]
