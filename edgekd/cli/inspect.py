"""`edgekd data inspect`: how many images of what."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from edgekd import console
from edgekd.cli.options import Json, Kind


def inspect(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="Labelled images, or their table.")],
    kind: Kind = "",
    as_json: Json = False,
) -> None:
    """Count the labelled images of DIR by split and diagnosis; no image is opened.

    Example: edgekd data inspect data/ham10000
    """
    console.configure()
    from edgekd.config import DataConfig
    from edgekd.data.detect import detect_kind, open_folder

    layout = detect_kind(data, kind)
    reader = open_folder(data, layout, DataConfig.malignant)
    rows = reader.rows()
    left_out = Counter(one.reason.value for one in reader.left_out())
    counts = Counter((row.split.value if row.split else "no split", row.diagnosis) for row in rows)
    if as_json:
        plain = [{"split": s, "diagnosis": d, "images": n} for (s, d), n in sorted(counts.items())]
        found = {"data": str(data), "kind": layout, "images": len(rows), "counts": plain}
        console.emit_json({**found, "left_out": left_out})
        return
    patients, lesions = ({getattr(row, name) for row in rows} - {None} for name in ("patient", "lesion"))
    console.emit_table(
        f"{data}: {layout}, {len(rows)} images, {len(patients)} patients, {len(lesions)} lesions",
        ("split", "diagnosis", "images"),
        [
            *((split, diagnosis, str(number)) for (split, diagnosis), number in sorted(counts.items())),
            *(("left out", reason.replace("_", " "), str(number)) for reason, number in left_out.items()),
        ],
    )
