"""`mixed`: the fewest layers kept in float that hold a stated limit, found by trying, every try on record.

<out>/model.tflite    the chosen file: raw RGB in, raw logits out
<out>/mixed.json      limit, reference, ranking, every candidate with its price (schema edgekd.mixed/1)

Candidates are made from two finished files of one network (`layers_graft`): no conversion, a tenth of a
second each. They are judged on **validation** images only; the test split is for `verify`, once, afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekd.config import VerifyConfig
from edgekd.console import log
from edgekd.errors import ModelError, UsageError
from edgekd.plain import file_digest, write_json
from edgekd_converters.inspect import inspect_tflite
from edgekd_converters.layers_process import ask
from edgekd_converters.mixed_measure import Effect, MixedStep, Request, Searched

__all__ = ["Effect", "MixedSearch", "MixedStep", "mixed"]

SCHEMA = "edgekd.mixed/1"
MIXED, TFLITE = "mixed.json", "model.tflite"
TIMEOUT_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class MixedSearch:
    """How a mixed file was found (schema edgekd.mixed/1).

    Reference and every candidate are compared at one specificity: the one the float network has at its own
    operating point (`rule`, fitted on validation); each gets the threshold that is as specific on the same
    images. At a threshold fitted to a sensitivity, sensitivity could not drop. The limit holds when
    reference − candidate ≤ `max_sensitivity_drop` at that point, and on average over the specificities within
    0.05 of it: at one point `sensitivity_step` = 1 / n_positive is the least there is to see, and chance lets
    a bad candidate pass. Among candidates that hold it alike the mean error of the score decides.

    `steps` are all candidates tried, in that order, the all-8-bit file first; `chosen` is the number of the
    chosen one. Its layers are minimal: without any one of them the limit fails. A smaller set of others
    cannot be excluded. Having been chosen on these very images, its figures on them flatter it; `verify`
    judges it on others.

    `effects`: what each layer does when it alone is 8-bit, the most harmful first, on the first
    16 validation images. `output_dtype` of the chosen file: float32 when its last layer is in float.
    """

    schema: str = SCHEMA
    split: str = "validation"
    max_sensitivity_drop: float
    rule: str
    specificity: float
    reference_sensitivity: float
    reference_auc: float
    n_images: int
    n_positive: int
    sensitivity_step: float
    float_sha256: str
    quantized_sha256: str
    file_sha256: str
    output_dtype: str
    engine: str
    effects: tuple[Effect, ...]
    steps: tuple[MixedStep, ...]
    chosen: int

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"mixed: schema is {self.schema!r}, expected {SCHEMA!r}")

    @property
    def step(self) -> MixedStep:
        """The chosen candidate."""
        return self.steps[self.chosen]


def mixed(
    *,
    dataset_folder: Path,
    float_file: Path,
    quantized_file: Path,
    max_sensitivity_drop: float,
    verify: VerifyConfig,
    out: Path,
) -> MixedSearch:
    """Write the mixed file and its record to the folder `out`; the record.

    `float_file` (fp32) is the reference and gives the float layers, `quantized_file` (int8-ptq of the same
    network) the others. The float network's operating point follows `verify.rule` and `verify.target`.

    Raises:
        UsageError: the limit lies outside [0, 1).
        ModelError: a file is damaged or cannot be run, or the two do not hold the same network.
        ContractError: even with every layer in float the limit is not met, or the float network calls every
            validation image malignant.
        DataError: validation lacks a class.
    """
    if not 0 <= max_sensitivity_drop < 1:
        raise UsageError(f"max_sensitivity_drop is {max_sensitivity_drop:g}, expected 0 to below 1")
    for path in (float_file, quantized_file):
        if (error := inspect_tflite(path).load_error) is not None:
            raise ModelError(f"{path}: {error}")
    out.mkdir(parents=True, exist_ok=True)
    request = Request(
        dataset_folder=str(dataset_folder.resolve()),
        float_file=str(float_file.resolve()),
        quantized_file=str(quantized_file.resolve()),
        output=str((out / TFLITE).resolve()),
        max_sensitivity_drop=max_sensitivity_drop,
        verify=verify,
    )
    what = f"{quantized_file}: the mixed-precision search"
    found = ask("edgekd_converters.mixed_measure", request, Searched, timeout_s=TIMEOUT_S, what=what)
    record = _record(request, found)
    write_json(out / MIXED, record)
    log.info("mixed    %s", _summary(record))
    return record


def _record(asked: Request, found: Searched) -> MixedSearch:
    return MixedSearch(
        max_sensitivity_drop=asked.max_sensitivity_drop,
        rule=f"{asked.verify.rule}({asked.verify.target:g})",
        specificity=found.specificity,
        reference_sensitivity=found.reference_sensitivity,
        reference_auc=found.reference_auc,
        n_images=found.n_images,
        n_positive=found.n_positive,
        sensitivity_step=1 / found.n_positive,
        float_sha256=file_digest(Path(asked.float_file)),
        quantized_sha256=file_digest(Path(asked.quantized_file)),
        file_sha256=file_digest(Path(asked.output)),
        output_dtype=found.output_dtype,
        engine=found.engine,
        effects=found.effects,
        steps=found.steps,
        chosen=found.chosen,
    )


def _summary(record: MixedSearch) -> str:
    step = record.step
    kept = ", ".join(step.kept) or "no layer"
    return (
        f"{kept} in float of {len(record.effects)}: {step.size_bytes / 1000:.0f} kB, "
        f"sensitivity drops by {step.sensitivity_drop:.3f} at specificity {record.specificity:.3f}"
    )
