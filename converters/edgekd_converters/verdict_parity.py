"""Is a file the same network as its Keras twin? `measure_parity` compares their outputs, image by image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.config import Precision, VerifyConfig
from edgekd.errors import UsageError
from edgekd.metrics.operating_point import call
from edgekd.metrics.predictions import Predictions, malignancy_score

SCHEMA = "edgekd.parity/1"
_CODES = 255
_EXACT = (Precision.FP32, Precision.COREML_FP32)

# The allowed mean difference, in units of `parity_steps` steps of an 8-bit output; 1 where it is not listed.
# Half floats round weights to 11 bits, eight times finer than 8. Weights of every layer that were rounded
# after training, and palettes of 16 values, move the outputs of an honest file further: on two MobileNetV2 of
# width 0.35 by 3.4 to 4.5 and by 12.4 steps, where exchanged colour channels move them by 29 and doubled ones
# by 44. (dynamic and coreml-int8 leave small layers, and with them every depthwise one, in float.)
_ALLOWANCE: Mapping[Precision, float] = {
    Precision.FP16: 0.25,
    Precision.COREML_FP16: 0.25,
    Precision.INT8_PTQ: 3.0,
    Precision.INT8_MIXED: 3.0,
    Precision.INT16X8: 3.0,
    Precision.COREML_PAL4: 8.0,
}


@dataclass(frozen=True, kw_only=True)
class ParityRecord:
    """How far a file's outputs lie from those of its Keras twin (schema edgekd.parity/1).

    Differences are file − twin, in logits, over all outputs of `n_images` validation images, matched by name.
    `step_logits` is one step of an 8-bit output that just holds the twin's outputs: their range / 255 (null
    for the float32 files). `limit` bounds `criterion`. `decision_agreement` is the share of images called
    the same at the twin's threshold. For the diagnosis: `gain` is the slope of the file's outputs on the
    twin's (1 is right), `signal_to_noise_db` 10 log₁₀ of the variance of the twin's outputs over the mean
    squared difference, `output_step_logits` the file's own step (null for a float output).
    """

    schema: str = SCHEMA
    artefact: str
    twin: str
    n_images: int
    mean_difference_logits: float
    mean_absolute_difference_logits: float
    max_absolute_difference_logits: float
    step_logits: float | None
    mean_absolute_difference_steps: float | None
    max_absolute_difference_steps: float | None
    decision_agreement: float
    criterion: str
    limit: float
    passed: bool
    gain: float | None = None
    signal_to_noise_db: float | None = None
    output_step_logits: float | None = None


def measure_parity(
    candidate: Predictions,
    twin: Predictions,
    *,
    precision: Precision,
    twin_name: str,
    twin_threshold: float,
    output_step: float,
    config: VerifyConfig,
) -> ParityRecord:
    """The parity of the first `config.parity_images` predictions of a file and of its Keras twin.

    fp32, coreml-fp32: the largest difference is at most `config.parity_absolute` logits. The others, whose
    weights were rounded: the mean difference is at most `config.parity_steps` steps of an 8-bit output, times
    the allowance of their precision. The step comes from the twin, so that no file sets its own measure;
    `output_step` (0: float) is only recorded.

    Raises:
        UsageError: the two were not made from the same images and outputs.
    """
    if candidate.image_ids != twin.image_ids or sorted(candidate.names) != sorted(twin.names):
        raise UsageError(f"{twin_name}: its predictions are of other images or outputs than the file's")
    head = slice(config.parity_images)
    order = [candidate.names.index(name) for name in twin.names]
    ours = candidate.logits[head].astype(np.float64)[:, order]
    theirs = twin.logits[head].astype(np.float64)
    difference = ours - theirs
    mean, largest = float(np.abs(difference).mean()), float(np.abs(difference).max())
    step = None if precision in _EXACT else float(np.ptp(theirs)) / _CODES or None
    limit = config.parity_steps * _ALLOWANCE.get(precision, 1.0) if step else config.parity_absolute
    return ParityRecord(
        artefact=precision,
        twin=twin_name,
        n_images=len(ours),
        mean_difference_logits=float(difference.mean()),
        mean_absolute_difference_logits=mean,
        max_absolute_difference_logits=largest,
        step_logits=step,
        mean_absolute_difference_steps=mean / step if step else None,
        max_absolute_difference_steps=largest / step if step else None,
        decision_agreement=_agreement(ours, theirs, twin, twin_threshold),
        criterion="mean_absolute_difference_steps" if step else "max_absolute_difference_logits",
        limit=limit,
        passed=mean <= limit * step if step else largest <= limit,
        gain=_gain(ours, theirs),
        signal_to_noise_db=_signal_to_noise(difference, theirs),
        output_step_logits=output_step or None,
    )


def _agreement(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], twin: Predictions, threshold: float
) -> float:
    calls = [
        call(malignancy_score(logits, twin.names, twin.malignant), threshold) for logits in (ours, theirs)
    ]
    return float(np.mean(calls[0] == calls[1]))


def _gain(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float | None:
    """The least-squares slope of `ours` on `theirs`, each output about its mean; None for flat outputs."""
    x, y = theirs - theirs.mean(axis=0), ours - ours.mean(axis=0)
    power = float((x * x).sum())
    return float((x * y).sum()) / power if power else None


def _signal_to_noise(difference: NDArray[np.float64], theirs: NDArray[np.float64]) -> float | None:
    signal, noise = float(theirs.var(axis=0).sum()), float((difference**2).mean(axis=0).sum())
    return 10 * math.log10(signal / noise) if signal and noise else None
