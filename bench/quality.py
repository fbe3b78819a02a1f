"""Which photos are refused: good ones, spoiled ones, and pictures of no skin; what an answer would be worth.

    python bench/quality.py RUN --photos DIR… [--precision int8] [--json OUT.json]

RUN is a verified run; its limits are fitted here on its validation pictures, as the station verify does, and
measured once on its test pictures: how many are refused, and sensitivity and specificity at the file's own
threshold on those that are kept and on all. Then spoiled copies of the test pictures in several strengths,
with what the network would have answered, pictures of no skin (`quality_pictures.py`) and the photographs of
the folders, whole and in six pieces each (pieces of one photograph are not independent).

Beside the limits: what the network's own outputs (energy = logsumexp of the logits, largest logit, largest
softmax) and the distance of all measures to the validation pictures (Mahalanobis 1936) would catch, each with
a limit that refuses as many validation pictures as all our limits together.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

import quality_pictures
from edgekd import console
from edgekd.card import ModelCard, read_card
from edgekd.data.dataset import Samples, open_dataset
from edgekd.errors import EdgekdError, UsageError
from edgekd.imaging import spoil
from edgekd.imaging.quality import judge, measure
from edgekd.imaging.quality_fit import fit_quality
from edgekd.metrics.intervals import wilson
from edgekd.metrics.predictions import malignancy_score
from edgekd.metrics.ranking import roc_auc_score
from edgekd.photo_quality import Photo, PhotoQuality
from edgekd.plain import to_plain, write_json
from edgekd.runtimes.litert import LitertRuntime
from edgekd_bench.device import describe_device

Pixels = NDArray[np.uint8]
Floats = NDArray[np.floating]

_DRAWN = 40
_PIECES = 6
_ROUNDS, _TIMED = 5, 100


def _each(copy: Callable[[Pixels, float], Pixels], strength: float) -> spoil.Spoiler:
    return lambda image, _: copy(image, strength)


def _shaken(length: float) -> spoil.Spoiler:
    return lambda image, number: spoil.shaken(image, length, 22.5 * number)


def _noisy(sigma: float) -> spoil.Spoiler:
    return lambda image, number: spoil.noisy(image, sigma, number)


_STRENGTHS: Mapping[str, spoil.Spoiler] = {
    **{
        f"blur, sigma {sigma:.2%} of the side": _each(spoil.blurred, sigma)
        for sigma in (0.003, 0.005, 0.0075, 0.01, 0.02)
    },
    **{f"defocus, radius {radius:.1%}": _each(spoil.defocused, radius) for radius in (0.01, 0.02)},
    **{f"shaken by {length:.0%}": _shaken(length) for length in (0.02, 0.04, 0.08)},
    **{
        f"grey levels × {gain:g}": _each(spoil.exposed, gain)
        for gain in (0.2, 0.35, 0.5, 0.7, 1.2, 1.4, 1.7, 2.2)
    },
    **{f"noise of {sigma} grey levels": _noisy(sigma) for sigma in (5, 10, 25)},
    "bare skin of the picture": lambda image, _: spoil.bare(image),
}


@dataclass(frozen=True)
class _Judge:
    """The file that is asked, its card with a threshold, and the limits."""

    runtime: LitertRuntime
    card: ModelCard
    threshold: float
    quality: PhotoQuality

    def photos(self, images: Sequence[Pixels]) -> list[Photo]:
        """What is measured of each picture."""
        return [judge(self.quality, image) for image in images]

    def logits(self, images: Sequence[Pixels]) -> NDArray[np.float32]:
        """What the network says of each picture, [n, k]."""
        return self.runtime.logits(np.stack(list(images)))

    def scores(self, logits: NDArray[np.float32]) -> Floats:
        """The malignancy scores of `logits`."""
        return malignancy_score(logits, self.card.labels, self.card.malignant)


def main(arguments: Sequence[str]) -> int:
    """Measure and show; the exit code."""
    options = _options(arguments)
    console.configure(quiet=False, verbose=False)
    try:
        found = _measured(options)
    except EdgekdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if options.json:
        write_json(options.json, found)
    _show(found)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("--photos", type=Path, nargs="+", default=[])
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    dataset = open_dataset(options.run / "data")
    began = time.process_time()
    quality = fit_quality(dataset.validation.images, "validation")
    seconds = time.process_time() - began
    if quality is None:
        raise UsageError(f"{options.run}: too few validation pictures, or too small ones")
    asked = _open(options, quality)
    samples = dataset.test if options.split == "test" else dataset.validation
    images = _read(samples)
    others = {kind: quality_pictures.drawn(kind, _DRAWN, dataset.input_px) for kind in quality_pictures.DRAWN}
    others |= _photographs(options.photos, dataset.input_px)
    return {
        "schema": "edgekd.bench.quality/1",
        "what": f"photos refused: {options.precision} of {options.run.name}, {options.split} split",
        "device": to_plain(describe_device()),
        "engine": to_plain(asked.runtime.engine),
        "quality": to_plain(quality),
        "fit_cpu_seconds": seconds,
        "cost": _cost(asked, images),
        "kept": _kept(asked, images, samples.malignant),
        "spoiled": {
            name: _spoiled(asked, [spoiler(image, n) for n, image in enumerate(images)], samples.malignant)
            for name, spoiler in _STRENGTHS.items()
        },
        "no_skin": {kind: _caught(asked.photos(pictures)) for kind, pictures in others.items()},
        "alternatives": _alternatives(asked, _read(dataset.validation), images, others),
    }


def _open(options: argparse.Namespace, quality: PhotoQuality) -> _Judge:
    card = read_card(options.run / "verify" / options.precision / "card.json")
    if card.operating_point is None:
        raise UsageError(f"{options.run}: {options.precision} was not verified")
    runtime = LitertRuntime(options.run / "export" / options.precision / "model.tflite")
    return _Judge(runtime, card, card.operating_point.threshold, quality)


def _read(samples: Samples) -> list[Pixels]:
    return list(samples.images.read(np.arange(len(samples))))


def _photographs(folders: Sequence[Path], px: int) -> dict[str, list[Pixels]]:
    found = (one for folder in folders for one in quality_pictures.photographs(folder))
    return {f"photograph {name}": quality_pictures.pieces(image, _PIECES, px) for name, image in found}


def _cost(asked: _Judge, images: Sequence[Pixels]) -> dict[str, float]:
    """Microseconds of processor time a picture, medians of rounds: all measures, and the network."""
    return {
        "pictures": _TIMED,
        "rounds": _ROUNDS,
        "measures_us": _microseconds(lambda one: measure(one, asked.quality.colours), images),
        "network_us": _microseconds(lambda one: asked.runtime.logits(one[np.newaxis]), images),
    }


def _microseconds(work: Callable[[Pixels], object], images: Sequence[Pixels]) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for image in images[:_TIMED]:
            work(image)
        rounds.append((time.process_time() - began) / len(images[:_TIMED]) * 1e6)
    return statistics.median(rounds)


def _kept(asked: _Judge, images: Sequence[Pixels], malignant: NDArray[np.bool_]) -> dict[str, Any]:
    photos, scores = asked.photos(images), asked.scores(asked.logits(images))
    refused = np.array([bool(photo.flags) for photo in photos])
    return {
        **_caught(photos),
        "refused_malignant": int((refused & malignant).sum()),
        "malignant": int(malignant.sum()),
        "refused_interval": to_plain(wilson(int(refused.sum()), len(refused))),
        "all": _worth(asked, scores, malignant),
        "judged": _worth(asked, scores[~refused], malignant[~refused]),
        "refused_only": _worth(asked, scores[refused], malignant[refused]),
    }


def _worth(asked: _Judge, scores: Floats, malignant: NDArray[np.bool_]) -> dict[str, Any]:
    """Sensitivity and specificity at the threshold, and the AUC where there are both classes."""
    called, positives = scores >= asked.threshold, int(malignant.sum())
    both = 0 < positives < len(malignant)
    return {
        "n": len(malignant),
        "sensitivity": to_plain(wilson(int(called[malignant].sum()), positives)),
        "specificity": to_plain(wilson(int((~called)[~malignant].sum()), len(malignant) - positives)),
        "auc": roc_auc_score(malignant, scores) if both else None,
    }


def _spoiled(asked: _Judge, images: Sequence[Pixels], malignant: NDArray[np.bool_]) -> dict[str, Any]:
    photos, scores = asked.photos(images), asked.scores(asked.logits(images))
    return {**_caught(photos), "if_judged_anyway": _worth(asked, scores, malignant)}


def _caught(photos: Sequence[Photo]) -> dict[str, Any]:
    by = Counter(flag.measure for photo in photos for flag in photo.flags)
    return {"n": len(photos), "refused": sum(bool(photo.flags) for photo in photos), "by_measure": dict(by)}


def _alternatives(
    asked: _Judge,
    validation: Sequence[Pixels],
    images: Sequence[Pixels],
    others: Mapping[str, Sequence[Pixels]],
) -> dict[str, Any]:
    """What other signs of a strange picture would refuse: of the split, of the drawn, of the photographs."""
    drawn = [image for kind, some in others.items() if kind in quality_pictures.DRAWN for image in some]
    taken = [image for kind, some in others.items() if kind not in quality_pictures.DRAWN for image in some]
    blurred = [spoil.blurred(image, 0.0075) for image in images]
    groups = {"split": list(images), "blurred": blurred, "drawn": drawn, "photographs": taken}
    refused = sum(bool(photo.flags) for photo in asked.photos(validation))
    ours = {name: np.array([bool(p.flags) for p in asked.photos(some)]) for name, some in groups.items()}
    return {
        "validation_refused": refused,
        "n": {name: len(some) for name, some in groups.items()},
        "limits": {name: _share(hits) for name, hits in ours.items()},
        **{
            name: {group: _share(_beyond(sign, validation, some, refused)) for group, some in groups.items()}
            for name, sign in _signs(asked, validation).items()
        },
    }


def _share(hits: NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if hits.size else None


def _signs(asked: _Judge, validation: Sequence[Pixels]) -> dict[str, Callable[[Sequence[Pixels]], Floats]]:
    """Signs of a strange picture: the smaller, the stranger."""
    known = _measures(asked, validation)
    middle, inverse = known.mean(axis=0), np.linalg.inv(np.cov(known.T))

    def near(images: Sequence[Pixels]) -> Floats:
        apart = _measures(asked, images) - middle
        return np.asarray(-np.einsum("ij,jk,ik->i", apart, inverse, apart))

    def softmax(images: Sequence[Pixels]) -> Floats:
        logits = asked.logits(images)
        return np.asarray(np.exp(logits.max(axis=1) - logsumexp(logits, axis=1)))

    return {
        "energy": lambda images: np.asarray(logsumexp(asked.logits(images), axis=1)),
        "largest logit": lambda images: np.asarray(asked.logits(images).max(axis=1)),
        "largest softmax": softmax,
        "mahalanobis": near,
    }


def _measures(asked: _Judge, images: Sequence[Pixels]) -> Floats:
    values = [list(photo.values.values()) for photo in asked.photos(images)]
    return np.asarray(np.log(np.array(values).clip(min=0) + 1))


def _beyond(
    sign: Callable[[Sequence[Pixels]], Floats],
    validation: Sequence[Pixels],
    images: Sequence[Pixels],
    refused: int,
) -> NDArray[np.bool_]:
    if not images:
        return np.zeros(0, np.bool_)
    return np.asarray(sign(images) < np.sort(sign(validation))[refused])


def _show(found: Mapping[str, Any]) -> None:
    kept = found["kept"]
    rows = [(name, kept[name]) for name in ("all", "judged", "refused_only")]
    console.emit_table(
        f"{found['what']}: {kept['refused']} of {kept['n']} refused, {kept['refused_malignant']} of "
        f"{kept['malignant']} malignant; by {kept['by_measure']}; {found['cost']}",
        ("pictures", "n", "sensitivity", "specificity", "AUC"),
        [(name, str(one["n"]), *_figures(one)) for name, one in rows],
    )
    console.emit_table(
        "spoiled copies, and what the network would have answered",
        ("copy", "n", "refused", "by", "sensitivity", "specificity", "AUC"),
        [
            (name, str(one["n"]), _percent(one), _reasons(one), *_figures(one["if_judged_anyway"]))
            for name, one in found["spoiled"].items()
        ],
    )
    console.emit_table(
        "pictures of no skin",
        ("kind", "n", "refused", "by"),
        [(kind, str(one["n"]), _percent(one), _reasons(one)) for kind, one in found["no_skin"].items()],
    )
    signs = {name: one for name, one in found["alternatives"].items() if isinstance(one, dict)}
    console.emit_table(
        f"refused with {found['alternatives']['validation_refused']} validation pictures refused",
        ("sign", *signs["n"]),
        [(name, *(_number(value) for value in one.values())) for name, one in signs.items()],
    )


def _figures(one: Mapping[str, Any]) -> tuple[str, str, str]:
    sensitivity, specificity = (_number(one[name]["value"]) for name in ("sensitivity", "specificity"))
    return sensitivity, specificity, _number(one["auc"])


def _number(value: float | None) -> str:
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def _percent(one: Mapping[str, Any]) -> str:
    return f"{one['refused'] / one['n']:.1%}"


def _reasons(one: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(one["by_measure"]).most_common(3))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
