"""Whether a golden set holds: the pixels are Python's, the logits the model's, the scores the card's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.bundle.engine import Answered, ask
from edgekd.bundle.golden import Golden, GoldenItem, check_answer, example_patient, pixels
from edgekd.bundle.manifest import Manifest
from edgekd.bundle.strict import open_plain, parse_json, read_plain, shown
from edgekd.card import ModelCard
from edgekd.errors import ContractError, EdgekdError
from edgekd.imaging.decode import MAX_BYTES, decode
from edgekd.metrics.predictions import malignancy_score
from edgekd.plain import from_plain
from edgekd.runtimes.base import Engine

MAX_PX = 4096
_MAX_PIXELS = 200_000_000  # of all pictures together: some seconds of decoding
_MAX_INPUT_BYTES = 1 << 30
_LARGEST = 1e30  # of a logit: a float32, with room for sums
_SCORE = 1e-9  # relative and absolute: exp and log may differ in the last places
# Another processor or version rounds 8-bit products elsewhere: two steps of the output, never more seen
# between the kernels of one version. A float output is given two hundredths of the range of the logits:
# half-precision arithmetic costs 4 · 2⁻¹¹ of it, activations rounded to 8 bits while running 1/255 or two.
_STEPS, _RANGE = 2.0, 0.02
_BIT_EQUAL = "ai-edge-litert"  # gives the same bits again; sums of others depend on how work is divided


@dataclass(frozen=True, kw_only=True)
class GoldenCheck:
    """What running the golden set showed.

    `exact` says that engine, version, kernels and instruction sets are those the set was made with, so that
    every logit had to be equal; else `largest_logit_difference` was to stay within a few roundings.
    """

    pictures: int
    engine: str
    made_with: str
    exact: bool
    largest_logit_difference: float


def read_golden(folder: Path, manifest: Manifest, card: ModelCard) -> Golden:
    """The golden set of the bundle `folder`, its files listed by `manifest`, its sizes believable.

    Raises:
        ContractError: it is not of this schema, or contradicts the card or the manifest.
    """
    try:
        golden = from_plain(Golden, parse_json(read_plain(folder / manifest.golden)), "golden")
        _check_sizes(golden, card)
        for number, item in enumerate(golden.items):
            _check_item(number, item, manifest, card)
    except (ValueError, EdgekdError) as error:
        raise ContractError(f"{manifest.golden}: {shown(str(error))}") from None
    return golden


def check_golden(folder: Path, manifest: Manifest, card: ModelCard) -> tuple[GoldenCheck | None, list[str]]:
    """What the golden set of the bundle `folder` shows, and everything that is wrong with it.

    The files are those of the manifest already. The model runs in a process of its own.
    """
    try:
        golden = read_golden(folder, manifest, card)
        inputs = np.stack([_read_input(folder, item, card) for item in golden.items])
    except ContractError as error:
        return None, [str(error)]
    wrong = [
        line
        for item, fed in zip(golden.items, inputs, strict=True)
        for line in _pixels(folder, item, fed, card)
    ]
    wrong += _scores(golden, card)
    if wrong:
        return None, wrong  # nothing is run of a set that contradicts itself
    model = folder / manifest.model
    try:
        answered = ask(model, inputs, golden.patient)
        check_answer(card, answered.logits)
    except EdgekdError as error:
        return None, [shown(f"{manifest.model}: {str(error).removeprefix(f'{model}: ')}")]
    return _compare(golden, answered)


def _check_sizes(golden: Golden, card: ModelCard) -> None:
    if golden.input_px != card.input_px or not 1 <= card.input_px <= MAX_PX:
        raise ContractError(
            f"pixels for an input of {golden.input_px:g}, the card says {card.input_px:g}, at most {MAX_PX}"
        )
    if len(golden.items) * card.input_px**2 * 3 > _MAX_INPUT_BYTES:
        raise ContractError(f"{len(golden.items)} inputs of {card.input_px} px are more than 1 GiB")
    values = len(example_patient(card) or ())
    given = golden.patient or ()
    if len(given) != values or not all(0 <= byte <= 255 for byte in given):
        raise ContractError(f"{len(given)} patient bytes (0 to 255), the card has {values} columns")
    total = sum(max(item.width, 0) * max(item.height, 0) for item in golden.items)
    if total > _MAX_PIXELS:
        raise ContractError(f"{total} pixels in all pictures, at most {_MAX_PIXELS} are decoded")


def _check_item(number: int, item: GoldenItem, manifest: Manifest, card: ModelCard) -> None:
    for name in (item.image, item.input):
        if name not in manifest.files:
            raise ContractError(f"picture {number} names {shown(name)}, which the manifest does not list")
    if manifest.files[item.input].size_bytes != card.input_px**2 * 3:
        raise ContractError(f"{item.input} is not [{card.input_px}, {card.input_px}, 3] bytes")
    if manifest.files[item.image].size_bytes > MAX_BYTES:
        raise ContractError(f"{item.image} is larger than an image that is read")
    if len(item.logits) != len(card.labels):
        raise ContractError(
            f"picture {number} has {len(item.logits)} logits, the card {len(card.labels)} labels"
        )
    if (largest := max(map(abs, item.logits))) > _LARGEST:
        raise ContractError(f"picture {number} has a logit of {largest:.3g}")


def _read_input(folder: Path, item: GoldenItem, card: ModelCard) -> NDArray[np.uint8]:
    size = card.input_px**2 * 3
    try:
        with open_plain(folder / item.input) as file:
            data = file.read(size + 1)
    except ValueError as error:
        raise ContractError(f"{item.input}: {error}") from None
    if len(data) != size or hashlib.sha256(data).hexdigest() != item.input_sha256:
        raise ContractError(f"{item.input}: not the bytes golden.json has the sha256 of")
    return np.frombuffer(data, np.uint8).reshape(card.input_px, card.input_px, 3)


def _pixels(folder: Path, item: GoldenItem, fed: NDArray[np.uint8], card: ModelCard) -> list[str]:
    """What is wrong with one picture: not readable, of another size, or other pixels come of it."""
    try:
        with open_plain(folder / item.image) as file:
            header = file.read(24)
            if header[:8] != b"\x89PNG\r\n\x1a\n" or _png_size(header) != (item.width, item.height):
                return [f"{item.image}: not a PNG of {item.width} x {item.height} pixels"]
            made = pixels(card, decode(header + file.read(MAX_BYTES), item.image))
    except (ValueError, EdgekdError) as error:
        return [shown(f"{item.image}: {error}")]
    wrong = int(np.count_nonzero(made != fed))
    return (
        [f"{item.input}: {wrong} of {fed.size} bytes differ from those made of {item.image}"] if wrong else []
    )


def _png_size(header: bytes) -> tuple[int, int]:
    return int.from_bytes(header[16:20]), int.from_bytes(header[20:24])


def _scores(golden: Golden, card: ModelCard) -> list[str]:
    """The pictures whose score or call is not what the card makes of their logits."""
    logits = np.array([item.logits for item in golden.items], np.float32)
    point = card.operating_point
    if point is None:
        return ["card.json: no operating point, nothing can be called"]
    try:
        scores = malignancy_score(logits, card.labels, card.malignant)
    except EdgekdError as error:
        return [f"card.json: {shown(str(error))}"]
    told = np.array([item.score for item in golden.items])
    wrong = ~np.isclose(told, scores, rtol=_SCORE, atol=_SCORE)
    wrong |= np.array([item.malignant for item in golden.items]) != (told >= point.threshold)
    return [
        f"{golden.items[n].image}: score {told[n]:.6g}, {_called(golden.items[n].malignant)}; the card says "
        f"{scores[n]:.6g}, {_called(bool(scores[n] >= point.threshold))}"
        for n in np.flatnonzero(wrong)
    ]


def _called(malignant: bool) -> str:
    return "malignant" if malignant else "benign"


def _compare(golden: Golden, answered: Answered) -> tuple[GoldenCheck, list[str]]:
    told = np.array([item.logits for item in golden.items], np.float32)
    exact = answered.engine.name == _BIT_EQUAL and _identity(golden.engine) == _identity(answered.engine)
    spread = float(np.ptp(told)) or 1.0
    allowed = 0.0 if exact else _STEPS * answered.step * 1.001 if answered.step else _RANGE * spread
    difference = np.abs(told.astype(np.float64) - answered.logits).max(axis=1)
    found = GoldenCheck(
        pictures=len(golden.items),
        engine=answered.engine.describe(),
        made_with=golden.engine.describe(),
        exact=exact,
        largest_logit_difference=float(difference.max()),
    )
    return found, [
        f"{golden.items[n].image}: a logit differs by {difference[n]:.4g} from what this model answers here, "
        f"{'they must be equal' if exact else f'at most {allowed:.4g} is rounding'}"
        for n in np.flatnonzero(difference > allowed)
    ]


def _identity(engine: Engine) -> tuple[str, ...]:
    """What bit-equal answers depend on; threads do not count, each sum is one thread's."""
    return engine.name, engine.version, engine.kernels, engine.isa, engine.accelerator
