"""A prepared data set of small random images, the malignant ones darker in red."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekd.data.dataset import SCHEMA, DatasetRecord
from edgekd.data.store import shard_name, write_manifest, write_shard
from edgekd.data.table import Row, Split, write_table
from edgekd.plain import write_json

PX, CLASSES, COUNT = 32, ("mel", "nv", "bkl"), 60


def prepare(folder: Path) -> Path:
    """Write it to `folder`: `COUNT` images a split, a third of them malignant."""
    rng = np.random.Generator(np.random.PCG64(8))
    rows = [row for split in Split for row in _split(folder, split, rng)]
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


def _split(folder: Path, split: Split, rng: np.random.Generator) -> list[Row]:
    images = rng.integers(0, 256, (COUNT, PX, PX, 3), np.uint8)
    images[::3, ..., 0] //= 2
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
            source="synthetic",
        )
        for n, name in enumerate(ids)
    ]
