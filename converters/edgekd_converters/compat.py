"""Whether another runtime accepts a .tflite file: first by its operator versions, then by running it there.

The table compat_versions.json holds, for each runtime, the lowest and highest version it accepts of every
operator, as the runtime itself answered (`compat_probe` makes it). The `min_runtime_version` inside a file is
not used: converters write it wrong.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.data.patient import to_features
from edgekd.errors import ModelError
from edgekd.plain import file_digest, read_json
from edgekd.runtimes.base import Engine, beside
from edgekd.runtimes.litert import LitertRuntime
from edgekd.runtimes.probe import probe
from edgekd.runtimes.tflite_runtime import TfliteRuntime
from edgekd_converters.edgetpu_graph import CUSTOM_OP
from edgekd_converters.inspect import Inspection, Operator, inspect_tflite

SCHEMA = "edgekd.compat/1"
LOAD_SCHEMA = "edgekd.load/1"
AGREES_STEPS = 3.0
"""The mean difference, in 8-bit steps, up to which two runtimes compute the same.

Right kernels of seven runtimes differed by up to 1.5 on a MobileNetV2 of 66 operators (single values by up to
8), wrong ones by 42.
"""
_TABLE = Path(__file__).with_name("compat_versions.json")


class TargetRuntime(enum.StrEnum):
    """The runtimes a file can be checked against; each is also the name of its environment.

    tflite-2.9 and tflite-2.16 are TensorFlow Lite 2.9 and 2.16.1 (the last on Maven Central),
    tflite-runtime-2.14 the last of that Python package; litert-1.0 and litert-2.0 are the oldest LiteRT of
    their generation, litert-1 and litert-2 the newest known here.
    """

    TFLITE_2_9 = "tflite-2.9"
    TFLITE_RUNTIME_2_14 = "tflite-runtime-2.14"
    TFLITE_2_16 = "tflite-2.16"
    LITERT_1_0 = "litert-1.0"
    LITERT_1 = "litert-1"
    LITERT_2_0 = "litert-2.0"
    LITERT_2 = "litert-2"


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What a runtime knows: the lowest and highest version of each operator, and custom operators by name."""

    source: str
    version: str
    operators: Mapping[str, range]
    custom: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One operator of a file that a runtime refuses: `uses` times, in a `version` outside `accepts` ("1-9").

    `accepts` is null when the runtime does not know the operator at all.
    """

    operator: str
    version: int
    uses: int
    accepts: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class CompatRecord:
    """Whether a runtime accepts every operator of a file (schema edgekd.compat/1).

    `source` says where the runtime's versions are from. `passed` promises that the file is not refused for an
    operator; that it runs, and answers right, is what `prove_loading` shows.
    """

    schema: str = SCHEMA
    sha256: str
    runtime: TargetRuntime
    runtime_version: str
    source: str
    refused: tuple[Refusal, ...]
    passed: bool


@dataclass(frozen=True, kw_only=True)
class LoadRecord:
    """What happened when a runtime loaded and ran a file in its own environment (schema edgekd.load/1).

    `engine` is null, with the `reason`, where it would not. Differences are between its outputs on `images`
    images and LiteRT's `here`, in real units and in steps (see `agreement`); the decision is the largest
    output. A file that loads can still be computed wrongly: `agrees` says whether it was not.
    """

    schema: str = LOAD_SCHEMA
    sha256: str
    runtime: TargetRuntime
    loaded: bool
    here: Engine
    images: int
    reason: str | None = None
    engine: Engine | None = None
    init_ms: float | None = None
    peak_memory_bytes: int | None = None
    max_difference: float | None = None
    max_difference_steps: float | None = None
    mean_difference_steps: float | None = None
    output_spread: float | None = None
    same_decision: float | None = None
    agrees: bool | None = None


def check_compat(source: Inspection | Path, runtime: TargetRuntime) -> CompatRecord:
    """Whether `runtime` accepts every operator of the file at (or inspected as) `source`.

    Raises:
        ModelError: the file is missing, not a .tflite file, or damaged.
    """
    found = inspect_tflite(source, run=False) if isinstance(source, Path) else source
    accepted = accepted_by(runtime)
    refused = tuple(
        refusal
        for operator in found.operators
        if (refusal := _refusal(operator, accepted, runtime)) is not None
    )
    return CompatRecord(
        sha256=found.sha256,
        runtime=runtime,
        runtime_version=accepted.version,
        source=accepted.source,
        refused=refused,
        passed=not refused,
    )


def accepted_by(runtime: TargetRuntime) -> Accepted:
    """The operators and versions that `runtime` accepts."""
    found = _table()[runtime]
    return Accepted(
        source=found["source"],
        version=found["version"],
        operators={name: _range(text) for name, text in found["operators"].items()},
        custom=frozenset(found["custom"]),
    )


@functools.cache
def _table() -> dict[str, Any]:
    return dict(read_json(_TABLE)["runtimes"])


def _range(text: str) -> range:
    low, high = text.split("-")
    return range(int(low), int(high) + 1)


def _refusal(operator: Operator, accepted: Accepted, runtime: TargetRuntime) -> Refusal | None:
    known = accepted.operators.get(operator.name)
    if operator.name in accepted.custom or (known is not None and operator.version in known):
        return None
    span = f"{known[0]}-{known[-1]}" if known is not None else None
    what = f"accepts version {span}" if span else "does not know it"
    if operator.name == CUSTOM_OP:
        what = "runs it with the delegate of an Edge TPU only (libedgetpu)"
    return Refusal(
        operator=operator.name,
        version=operator.version,
        uses=operator.count,
        accepts=span,
        reason=f"{operator.name} version {operator.version}: {runtime.value} {what}",
    )


def prove_loading(
    path: Path,
    runtime: TargetRuntime,
    images: NDArray[np.uint8],
    *,
    input_range: tuple[float, float] | None = None,
) -> LoadRecord:
    """What `runtime`, in its own environment, makes of the file `path`.

    `images` are uint8 RGB [n, px, px, 3], at least one; outputs that spread prove more than flat ones. The
    environment is made when there is none yet. The file may come from anywhere: it runs in processes of their
    own, and here only after it ran once in one.

    Raises:
        MissingError: the environment cannot be made.
        ModelError: the file is missing, LiteRT cannot run it here, or its outputs here are not finite.
    """
    probe(path)
    here = LitertRuntime(path, input_range=input_range)
    facts: dict[str, Any] = {
        "sha256": file_digest(path),
        "runtime": runtime,
        "here": here.engine,
        "images": len(images),
    }
    known = beside(_patients(len(images), here.n_features))
    expected = _finite(path, here.logits(images, *known))
    there: TfliteRuntime | None = None
    try:
        there = TfliteRuntime(path, runtime.value, input_range=input_range)
        facts |= agreement(_finite(path, there.logits(images, *known)), expected, here.output_step)
        facts |= {
            "engine": there.engine,
            "init_ms": there.init_ms,
            "peak_memory_bytes": there.peak_memory_bytes,
        }
    except ModelError as error:
        return LoadRecord(**facts, loaded=False, reason=str(error).removeprefix(f"{path}: "))
    finally:
        here.close()
        if there is not None:
            there.close()
    return LoadRecord(**facts, loaded=True)


def _patients(count: int, columns: int) -> NDArray[np.float32]:
    """Patient vectors [count, columns] for a network that takes them, as different as they can be."""
    random = np.random.Generator(np.random.PCG64(0))
    return to_features(random.integers(0, 256, (count, columns), np.uint8))


def _finite(path: Path, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(outputs).all():
        raise ModelError(f"{path}: its outputs are not finite numbers, there is nothing to compare")
    return outputs


def agreement(
    answered: NDArray[np.float32], expected: NDArray[np.float32], output_step: float
) -> dict[str, Any]:
    """How far the outputs [n, k] of one runtime are from another's, as fields of `LoadRecord`.

    A step is `output_step`, the scale of an 8-bit output; of a float output (0) a 255th of the range of
    `expected`. 8-bit kernels may round otherwise in every layer; `agrees` allows for that (`AGREES_STEPS`).
    """
    difference = np.abs(answered - expected)
    step = output_step or float(np.ptp(expected)) / 255 or 1.0
    return {
        "max_difference": float(difference.max()),
        "max_difference_steps": float(difference.max()) / step,
        "mean_difference_steps": float(difference.mean()) / step,
        "agrees": bool(difference.mean() <= AGREES_STEPS * step),
        "output_spread": float(np.ptp(expected, axis=0).max()),
        "same_decision": float((answered.argmax(-1) == expected.argmax(-1)).mean()),
    }
