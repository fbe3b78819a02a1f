"""What a network's answer for one picture hangs on: by greying out patches, or by the gradient of the score.

**Occlusion** (Zeiler & Fergus 2014) asks any engine. A square patch is moved over the picture in steps and
filled with one colour; the change is score(as it is) − score(with the patch), and a pixel gets the mean of
the changes of all patches that cover it. Above 0: the score falls when this place is hidden, it speaks for
malignant; below 0: against.

**Gradient** (Simonyan et al. 2014) asks a Keras model: the largest |∂ score / ∂ byte| of the three channels.

Both say what the *network* reacts to, not where a disease is. A map that stays the same when the weights are
randomised shows the picture and not the network (Adebayo et al. 2018); the tests ask that of both.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import drawing, lazy
from edgekd.card import ModelCard
from edgekd.console import progress
from edgekd.errors import ModelError, UsageError
from edgekd.imaging.opencv import cv2
from edgekd.metrics.predictions import malignancy_score
from edgekd.runtimes.base import Features, Runtime, beside

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

_BATCH = 32
_SILENT_SECONDS = 2.0
_FINEST = 7  # patches of a seventh of the side, in steps of half of that, unless told otherwise
_OPACITY = 0.6


class Method(enum.StrEnum):
    """How the map is made."""

    OCCLUSION = "occlusion"
    GRADIENT = "gradient"


class Fill(enum.StrEnum):
    """What hides a patch: the mean colour of the picture, or grey 128."""

    MEAN = "mean"
    GREY = "grey"


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """A map of one answer: `values` float64 [px, px] for the picture `pixels` uint8 [px, px, 3].

    In log odds (occlusion) or log odds per grey level (gradient). `patch_px` and `stride_px` are those of the
    occlusion, None for a gradient; `score` is what the network says of the picture as it is.
    """

    method: Method
    values: Floats
    pixels: Pixels
    score: float
    patch_px: int | None = None
    stride_px: int | None = None
    fill: Fill | None = None

    @property
    def meaning(self) -> str:
        """What the map is, and is not, in one sentence."""
        return _MEANINGS[self.method]


_MEANINGS = {
    Method.OCCLUSION: "How the score changes when a patch is hidden; not where the disease is.",
    Method.GRADIENT: "How much the score would change with each pixel; not where the disease is.",
}
_UNITS = {
    Method.OCCLUSION: "fall of the score (log odds) when hidden",
    Method.GRADIENT: "|change of the score| per grey level",
}


def occlusion(
    runtime: Runtime,
    card: ModelCard,
    pixels: Pixels,
    features: Features | None = None,
    *,
    patch: int = 0,
    stride: int = 0,
    fill: Fill = Fill.MEAN,
) -> Explanation:
    """The occlusion map of `pixels` (uint8 [px, px, 3]) by squares of `patch` pixels in steps of `stride`.

    0 chooses a seventh of the side, and half a patch. `features` [1, f] is the patient vector, if there is
    one. Shows progress where it takes more than two seconds.

    Raises:
        UsageError: a patch outside 1 to px, or a stride outside 1 to the patch.
        ModelError: the picture does not fit the network.
    """
    side = len(pixels)
    patch = patch or max(1, round(side / _FINEST))
    stride = stride or max(1, patch // 2)
    if not 1 <= stride <= patch <= side:
        raise UsageError(
            f"patch {patch} and stride {stride}: expected 1 ≤ stride ≤ patch ≤ {side}, the picture's side"
        )
    corners = _corners(side, patch, stride)
    score = _scorer(runtime, card, features)
    began = time.monotonic()
    whole = float(score(pixels[np.newaxis])[0])
    expected = (time.monotonic() - began) * len(corners)
    colour = np.full(3, 128, np.uint8) if fill is Fill.GREY else _mean_colour(pixels)
    with _shown(expected, len(corners)) as advance:
        falls = [
            whole - value
            for copies in _copies(pixels, corners, patch, colour)
            for value in _told(advance, score(copies))
        ]
    values = _spread(falls, corners, patch, side)
    return Explanation(
        method=Method.OCCLUSION,
        values=values,
        pixels=pixels,
        score=whole,
        patch_px=patch,
        stride_px=stride,
        fill=fill,
    )


def gradient(model: Any, card: ModelCard, pixels: Pixels, features: Features | None = None) -> Explanation:
    """The input gradient of the score of a Keras `model` (raw 0..255 RGB in, logits out) for `pixels`.

    Raises:
        ModelError: the score does not depend on the picture in a way that can be differentiated.
    """
    tf = lazy.tensorflow()
    picture = tf.constant(pixels[np.newaxis], tf.float32)
    malignant = np.array([name in card.malignant for name in card.labels])
    with tf.GradientTape() as tape:
        tape.watch(picture)
        known = beside(features) if features is not None else ()
        logits = model([picture, *map(tf.constant, known)] if known else picture, training=False)
        score = _score(tf, tf.reshape(logits, (-1,)), malignant)
    slope = tape.gradient(score, picture)
    if slope is None:
        raise ModelError("the score does not depend on the picture: there is no gradient to show")
    values = np.abs(np.asarray(slope[0], np.float64)).max(axis=2)
    return Explanation(method=Method.GRADIENT, values=values, pixels=pixels, score=float(score))


def draw(explanation: Explanation, title: str) -> bytes:
    """A PNG: the picture as the network sees it, and beside it the map over it, with a bar of its colours."""
    return drawing.draw_png(lambda figure: _paint(figure, explanation, title), height_inches=3.3)


def draw_svg(explanation: Explanation, title: str) -> str:
    """The same as SVG text, for a page."""
    return drawing.draw(lambda figure: _paint(figure, explanation, title), height_inches=3.3)


def write(path: Path, explanation: Explanation, title: str) -> None:
    """Write `draw` to `path`, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(draw(explanation, title))
    part.replace(path)


def _score(tf: Any, logits: Any, malignant: NDArray[np.bool_]) -> Any:
    if len(malignant) == 1:
        return logits[0]
    chosen, others = (tf.boolean_mask(logits, which) for which in (malignant, ~malignant))
    return tf.reduce_logsumexp(chosen) - tf.reduce_logsumexp(others)


def _scorer(runtime: Runtime, card: ModelCard, features: Features | None) -> Callable[[Pixels], Floats]:
    def score(images: Pixels) -> Floats:
        known = () if features is None else beside(np.repeat(features, len(images), axis=0))
        return malignancy_score(runtime.logits(images, *known), card.labels, card.malignant)

    return score


def _corners(side: int, patch: int, stride: int) -> list[tuple[int, int]]:
    """Top and left of every patch; those at the edges hang over, so that every pixel is hidden as often."""
    first = -((patch - 1) // stride) * stride
    places = range(first, side, stride)
    return [(top, left) for top in places for left in places]


def _mean_colour(pixels: Pixels) -> Pixels:
    mean: Pixels = np.rint(pixels.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
    return mean


def _copies(
    pixels: Pixels, corners: Sequence[tuple[int, int]], patch: int, colour: Pixels
) -> Iterator[Pixels]:
    """The picture with one patch hidden, `_BATCH` copies at a time."""
    for begin in range(0, len(corners), _BATCH):
        some = corners[begin : begin + _BATCH]
        copies = np.repeat(pixels[np.newaxis], len(some), axis=0)
        for copy, corner in zip(copies, some, strict=True):
            copy[_window(corner, patch)] = colour
        yield copies


def _window(corner: tuple[int, int], patch: int) -> tuple[slice, slice]:
    top, left = corner
    return slice(max(0, top), top + patch), slice(max(0, left), left + patch)


def _spread(falls: Sequence[float], corners: Sequence[tuple[int, int]], patch: int, side: int) -> Floats:
    """The mean fall of the patches over each pixel, [side, side]."""
    sums, counts = np.zeros((side, side)), np.zeros((side, side))
    for fall, corner in zip(falls, corners, strict=True):
        sums[_window(corner, patch)] += fall
        counts[_window(corner, patch)] += 1
    return np.asarray(sums / counts)


def _shown(seconds: float, total: int) -> AbstractContextManager[Callable[[int, str], None]]:
    if seconds < _SILENT_SECONDS:
        return nullcontext(lambda *_: None)
    return progress("explain", total, "patches")


def _told(advance: Callable[[int, str], None], scores: Floats) -> Floats:
    advance(len(scores), "")
    return scores


def _paint(figure: Any, explanation: Explanation, title: str) -> None:
    picture, over = figure.subplots(1, 2)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    values, signed = explanation.values, explanation.method is Method.OCCLUSION
    limit = float(np.abs(values).max()) or 1.0
    low, colours = (-limit, "RdBu_r") if signed else (0.0, "inferno")
    for axes in (picture, over):
        axes.set_axis_off()
    picture.imshow(explanation.pixels)
    picture.set_title("as the network sees it", fontsize=9, fontweight="normal", loc="center")
    over.imshow(_grey(explanation.pixels), cmap="gray", vmin=0, vmax=255)
    drawn = over.imshow(values, cmap=colours, vmin=low, vmax=limit, alpha=_OPACITY)
    over.set_title(
        f"{explanation.method}; score {explanation.score:+.2f}", fontsize=9, fontweight="normal", loc="center"
    )
    bar = figure.colorbar(drawn, ax=over, shrink=0.8)
    bar.set_label(_UNITS[explanation.method], fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.supxlabel(f"{explanation.meaning}\nA research tool, not a medical device.", fontsize=8.5)


def _grey(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
