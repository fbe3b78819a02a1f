"""A prepared data set without its test split, for whoever chooses between networks.

What is not there cannot be looked at: neither the pixels nor the labels of a test image are in the folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from edgekd.data.dataset import store_folder
from edgekd.data.store import read_manifest, write_manifest
from edgekd.data.table import Split, read_table, write_table

_KEPT = (Split.TRAIN, Split.VALIDATION)


def withhold_test(prepared: Path, out: Path) -> Mapping[str, float]:
    """Make `out` (which exists) the data set `prepared` without its test split; how many images are left.

    The images of the other splits are links to those of `prepared`, which has to stay where it is.

    Raises:
        DataError: `prepared` is no prepared data set.
    """
    rows = [row for row in read_table(prepared / "table.csv") if row.split in _KEPT]
    (out / "store").mkdir(exist_ok=True)
    for store in (prepared / "store").iterdir():
        split, *side = store.name.split("@")
        if split in _KEPT:
            _link(store, out / "store" / store.name)
        if split == Split.VALIDATION:
            empty = store_folder(out, Split.TEST, *map(int, side))
            empty.mkdir(exist_ok=True)
            write_manifest(empty, px=read_manifest(store).px, image_ids=(), shards=())
    shutil.copyfile(prepared / "dataset.json", out / "dataset.json")
    write_table(out / "table.csv", rows)
    return {split.value: float(sum(row.split is split for row in rows)) for split in _KEPT}


def _link(source: Path, link: Path) -> None:
    """Make the folder `link` stand for `source`, by a path that survives moving both together."""
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(source.resolve(), link.parent.resolve()), target_is_directory=True)
