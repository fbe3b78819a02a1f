"""A folder of synthetic images as `edgekd data synthesise` leaves it, without a generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgekd.data.synthesised import IMAGES, RECORD, SCHEMA, TABLE, SynthesisRecord
from edgekd.data.table import Row, Split, write_table
from edgekd.plain import file_digest, write_json

PX = 32


def made_from(parent: str, number: int) -> Row:
    """The row of image `number`, of the photograph `parent`."""
    return Row(
        image_id=f"{parent}+mel-{number}",
        path=f"{IMAGES}/{number:06d}.png",
        diagnosis="mel",
        malignant=True,
        split=Split.TRAIN,
        source="synthesised",
        parent=parent,
    )


def write_synthesised(folder: Path, rows: Sequence[Row], *, seen: Sequence[str]) -> Path:
    """Noise images for `rows`, their table, and a record: the generator saw the photographs `seen`."""
    (folder / IMAGES).mkdir()
    for number, row in enumerate(rows):
        noise = np.random.default_rng(number).integers(0, 256, (PX, PX, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / row.path), noise)
    write_table(folder / TABLE, rows)
    write_json(
        folder / RECORD,
        SynthesisRecord(
            schema=SCHEMA,
            run="tiny",
            data_table_sha256="0" * 64,
            training="0" * 64,
            generator_sha256="0" * 64,
            table_sha256=file_digest(folder / TABLE),
            train_ids_sha256="0" * 64,
            seen=tuple(seen),
            diagnosis="mel",
            px=PX,
            epochs=1,
            steps=1,
            seed=1,
            benign=len(seen),
            malignant=0,
            images=len(rows),
            config={},
            tools={},
        ),
    )
    return folder
