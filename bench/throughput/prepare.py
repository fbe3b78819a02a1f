"""How fast the data station is, and how well it uses the cores.

    python bench/throughput/prepare.py [--images 2000] [--rounds 3] [--json]

JPEG files of one size are made first (unmeasured). Then the whole station, start of its processes included,
runs with one worker and with one per core, in alternation. efficiency = t(1) / (workers · t(workers)), from
the medians; nothing is subtracted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from circumstances import record, show

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data.lesions import render
from edgekd.data.prepare import prepare
from edgekd.imaging.opencv import cv2

_SIDES = (600, 450)
_DRAWN_PX = 256


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    workers = max(2, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        _write_images(Path(folder) / "images", options.images)
        seconds: dict[int, list[float]] = {1: [], workers: []}
        for _ in range(options.rounds):
            for count, found in seconds.items():
                found.append(_measure(Path(folder), count))
    _report(options.images, workers, seconds, as_json=options.json)


def _write_images(root: Path, count: int) -> None:
    generator = np.random.Generator(np.random.PCG64(1))
    for number in range(count):
        diagnosis = ("mel", "nv")[number % 2]
        drawn = render(seed=1, number=number, diagnosis=diagnosis, px=_DRAWN_PX)
        image = cv2.resize(drawn, _SIDES, interpolation=cv2.INTER_CUBIC)
        noise = generator.integers(0, 12, image.shape, np.uint8)
        path = root / diagnosis / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.add(image, noise)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])


def _measure(folder: Path, workers: int) -> float:
    source = SourceConfig(name="files", kind=SourceKind.FOLDERS, root=str(folder / "images"))
    config = DataConfig(sources=(source,), drop_leaks=False, workers=workers)
    out = folder / "out"
    out.mkdir()
    began = time.perf_counter()
    prepare(config=config, seed=1, out=out)
    seconds = time.perf_counter() - began
    shutil.rmtree(out)
    return seconds


def _report(images: int, workers: int, seconds: dict[int, list[float]], *, as_json: bool) -> None:
    medians = {count: statistics.median(found) for count, found in seconds.items()}
    efficiency = medians[1] / (workers * medians[workers])
    result = record(
        f"data station, {images} JPEG of {_SIDES[0]} × {_SIDES[1]} px, parallel efficiency {efficiency:.2f}",
        {
            "images": images,
            "seconds": {str(count): found for count, found in seconds.items()},
            "parallel_efficiency": efficiency,
        },
    )
    rows = [
        [str(count), f"{medians[count]:.2f}", f"{images / medians[count]:.0f}"] for count in sorted(medians)
    ]
    show(result, ("workers", "median s", "images/s"), rows, as_json=as_json)


if __name__ == "__main__":
    main()
