"""How fast hairs are removed, how many are left, and what happens to skin without any.

    python bench/throughput/hair.py --data DIR [--rounds 5] [--enlarge 1 2] [--picture OUT.png] [--json]

DIR holds `hairy/` and `control/`, pictures with hairs and clean ones. Speed: the naive sequence of OpenCV
calls that `adepu2023` reproduces, and each method, over the same pictures in memory, one after the other in
every round; images per second are medians over the rounds, the ratio to naive is the median of the ratios
inside a round. One process, and then two at once, which halve the pictures. `--enlarge` repeats that on
larger copies. `where` tells how naive spends its time. Before anything is timed the outputs of naive and
`adepu2023` are compared byte for byte.

Quality: see `hair_quality.py`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import hair_quality
import numpy as np
from circumstances import record, show
from hair_picture import write_grid
from numpy.typing import NDArray

from edgekd.config import HairRemoval
from edgekd.imaging.decode import read_image
from edgekd.imaging.hair import hair_mask, remove_hair
from edgekd.imaging.opencv import cv2

Pixels = NDArray[np.uint8]
Remover = Callable[[Pixels], Pixels]

_METHODS = (HairRemoval.ADEPU2023, HairRemoval.ORIENTED)
_WARM_UP = 3


def naive(image: Pixels) -> Pixels:
    """The published recipe as everybody writes it: uint8 RGB [H, W, 3] to the same."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (17, 17))
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, cross)
    _, mask = cv2.threshold(dark, 10, 255, cv2.THRESH_BINARY)
    return cast("Pixels", cv2.inpaint(image, mask, 1, cv2.INPAINT_TELEA))


_REMOVERS: Mapping[str, Remover] = {
    "naive": naive,
    **{method.value: partial(remove_hair, method=method) for method in _METHODS},
}


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--enlarge", type=int, nargs="+", default=[1])
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    hairy, control = (_read(options.data / name) for name in ("hairy", "control"))
    speeds = [
        {"pictures": kind, "enlarged": factor, **_speed([_enlarged(one, factor) for one in images], options)}
        for factor in options.enlarge
        for kind, images in (("hairy", hairy), ("control", control))
    ]
    quality = {method.value: _quality(method, hairy, control) for method in _METHODS}
    if options.picture:
        write_grid(options.picture, hairy, control, _METHODS)
    _report(len(hairy), len(control), speeds, quality, as_json=options.json)


def _read(folder: Path) -> list[Pixels]:
    return [read_image(path) for path in sorted(folder.glob("*.jpg"))]


def _enlarged(image: Pixels, factor: int) -> Pixels:
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return cast("Pixels", cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)) if factor > 1 else image


def _speed(images: Sequence[Pixels], options: argparse.Namespace) -> dict[str, Any]:
    """Images per second of every method, and its ratio to naive, with one process and with two."""
    for image in images:
        if not np.array_equal(naive(image), remove_hair(image, HairRemoval.ADEPU2023)):
            raise SystemExit("adepu2023 differs from the naive sequence")
    one: dict[str, list[float]] = {name: [] for name in _REMOVERS}
    two: dict[str, list[float]] = {name: [] for name in _REMOVERS}
    halves = (images[0::2], images[1::2])
    with ProcessPoolExecutor(2, initializer=_warm_up, initargs=(images[:_WARM_UP],)) as pool:
        list(pool.map(_busy, ["naive"] * 2, [list(half[:1]) for half in halves]))
        for _ in range(options.rounds):
            for name in _REMOVERS:
                one[name].append(len(images) / _busy(name, images))
                slower = max(pool.map(_busy, [name] * 2, halves))
                two[name].append(len(images) / slower)
    return {
        "size": "×".join(str(side) for side in images[0].shape[1::-1]),
        "images": len(images),
        "one_process": _rates(one),
        "two_processes": _rates(two),
        "where": _where(images, options.rounds),
    }


def _where(images: Sequence[Pixels], rounds: int) -> dict[str, float]:
    """How naive spends its time, best of the rounds: inpainting, what it costs without a mask, the rest.

    `most_gain` is how much faster naive would be if all but the inpainting took no time at all.
    """
    masks = [hair_mask(image, HairRemoval.ADEPU2023) for image in images]
    empty = [np.zeros_like(mask) for mask in masks]
    whole = min(_busy("naive", images) for _ in range(rounds)) / len(images)
    inpaint, idle = (min(_inpainting(images, each) for _ in range(rounds)) for each in (masks, empty))
    masked = sum(int(np.count_nonzero(mask)) for mask in masks) / len(images)
    return {
        "masked_pixels": masked,
        "naive_ms": 1e3 * whole,
        "inpaint_ms": 1e3 * inpaint,
        "inpaint_without_mask_ms": 1e3 * idle,
        "ns_per_masked_pixel": 1e9 * (inpaint - idle) / max(1.0, masked),
        "most_gain": whole / inpaint,
    }


def _inpainting(images: Sequence[Pixels], masks: Sequence[Pixels]) -> float:
    """Seconds a picture that inpainting alone takes."""
    began = time.perf_counter()
    for image, mask in zip(images, masks, strict=True):
        cv2.inpaint(image, mask, 1, cv2.INPAINT_TELEA)
    return (time.perf_counter() - began) / len(images)


def _warm_up(images: Sequence[Pixels]) -> None:
    for remover in _REMOVERS.values():
        for image in images:
            remover(image)


def _busy(name: str, images: Sequence[Pixels]) -> float:
    """Seconds that one pass over `images` takes in this process."""
    began = time.perf_counter()
    for image in images:
        _REMOVERS[name](image)
    return time.perf_counter() - began


def _rates(found: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    rounds = list(zip(*found.values(), strict=True))
    return {
        name: {
            "images_per_second": statistics.median(rates),
            "ratio_to_naive": statistics.median(each[number] / each[0] for each in rounds),
            "rounds": list(rates),
        }
        for number, (name, rates) in enumerate(found.items())
    }


def _quality(method: HairRemoval, hairy: Sequence[Pixels], control: Sequence[Pixels]) -> dict[str, Any]:
    before = [float(hair_quality.ridges(image).mean()) for image in hairy]
    after = [float(hair_quality.ridges(remove_hair(image, method)).mean()) for image in hairy]
    changes = [hair_quality.change(image, remove_hair(image, method)) for image in control]
    sums: Counter[str] = Counter()
    unrepaired: Counter[str] = Counter()
    for seed, image in enumerate(control):
        painted, coverage = hair_quality.paint(image, seed)
        mask = hair_mask(painted, method)
        sums.update(hair_quality.against_truth(image, coverage, remove_hair(painted, method), mask))
        unrepaired.update(hair_quality.against_truth(image, coverage, painted, mask))
    return {
        "painted": hair_quality.summary(sums),
        "painted_error_before": hair_quality.summary(unrepaired)["error"],
        "ridges_before": statistics.mean(before),
        "ridges_after": statistics.mean(after),
        "ridges_left": sum(after) / sum(before),
        "ridges_on_clean_skin": statistics.mean(float(hair_quality.ridges(one).mean()) for one in control),
        "clean_changed_share": statistics.mean(share for share, _ in changes),
        "clean_changed_share_worst": max(share for share, _ in changes),
        "clean_mean_change": statistics.mean(mean for _, mean in changes),
    }


def _report(
    hairy: int,
    control: int,
    speeds: Sequence[Mapping[str, Any]],
    quality: Mapping[str, Mapping[str, Any]],
    *,
    as_json: bool,
) -> None:
    result = record(
        f"hair removal on {hairy} hairy and {control} clean pictures", {"speed": speeds, "quality": quality}
    )
    if as_json:
        show(result, (), (), as_json=True)
        return
    show({"what": f"{result['what']}: speed"}, _SPEED_COLUMNS, _speed_rows(speeds), as_json=False)
    where = [(one["pictures"], one["size"], *(f"{v:.4g}" for v in one["where"].values())) for one in speeds]
    show({"what": "naive"}, ("pictures", "size", *speeds[0]["where"]), where, as_json=False)
    rows = [(f"{name}", *(f"{value:.4g}" for value in _flat(found))) for name, found in quality.items()]
    columns = ("method", *_flat_names(next(iter(quality.values()))))
    show({"what": "quality"}, ("measure", *quality), _turned([columns, *rows]), as_json=False)


_SPEED_COLUMNS = ("pictures", "size", "method", "1 process", "× naive", "2 processes", "× naive")


def _speed_rows(speeds: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            speed["pictures"],
            speed["size"],
            name,
            *(
                text
                for count in ("one_process", "two_processes")
                for text in (
                    f"{speed[count][name]['images_per_second']:.0f}/s",
                    f"{speed[count][name]['ratio_to_naive']:.2f}",
                )
            ),
        )
        for speed in speeds
        for name in _REMOVERS
    ]


def _flat(found: Mapping[str, Any]) -> list[float]:
    return [*found["painted"].values(), *(value for name, value in found.items() if name != "painted")]


def _flat_names(found: Mapping[str, Any]) -> list[str]:
    return [f"painted_{name}" for name in found["painted"]] + [name for name in found if name != "painted"]


def _turned(table: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    return list(zip(*(line[1:] for line in table), strict=True))


if __name__ == "__main__":
    main()
