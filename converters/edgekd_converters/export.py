"""The station `export`: the student in every asked precision, each file with its card inside.

<export>/<precision>/model.tflite       uint8 RGB in, logits out, the card inside
<export>/<precision>/model.mlpackage    the same for Core ML
<export>/<precision>/card.json          the same card; its operating point is null until `verify` fits one
<export>/<precision>/inspect.json       what the file holds (schema edgekd.inspect/1)
<export>/<precision>/calibration.json   the images it was calibrated on, where it was
<export>/int8-mixed/mixed.json          how its float layers were found (schema edgekd.mixed/1)
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from edgekd.card import ModelCard, pixel_rule
from edgekd.config import ExportConfig, Precision, VerifyConfig
from edgekd.console import duration, log
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.errors import ModelError, UsageError
from edgekd.models.scaling import Scaling
from edgekd.plain import write_json, write_text
from edgekd_converters.artefacts import MLPACKAGE, ROUTES, TFLITE, artefact_file
from edgekd_converters.calibration import CALIBRATION, Calibration, choose_calibration
from edgekd_converters.inspect import inspect_tflite
from edgekd_converters.metadata import embed_card
from edgekd_converters.mixed import mixed
from edgekd_converters.standard_metadata import embed_standard_metadata
from edgekd_converters.worker import Conversion, run_worker

FLOAT_MODEL, QUANTIZED_MODEL = "model.keras", "model.h5"
CARD, INSPECTION = "card.json", "inspect.json"
_INTEGER = (Precision.INT8, Precision.INT8_PTQ)


def export(
    *,
    dataset_folder: Path,
    student: Path,
    qat: Path | None,
    config: ExportConfig,
    verify: VerifyConfig,
    seed: int,
    out: Path,
    name: str = "student",
) -> dict[str, float]:
    """Write the artefacts of every precision of `config` below `out`; their sizes, seconds and peak memory.

    int8 comes from `qat`/model.h5, everything else from `student`/model.keras; int8-mixed is put together
    from the files of fp32 and int8-ptq, by the threshold rule of `verify`. `name` and `seed` enter the
    cards; `seed` also chooses the calibration images. Conversions run one after another, each in a process
    of its own.

    Raises:
        UsageError: int8 is asked for without a quantization-aware model, or int8-mixed without its parts or
            with patient data.
        ModelError: a model is missing, its weights are not finite, or it cannot be converted.
    """
    dataset = open_dataset(dataset_folder)
    order = _order(config.precisions)
    if dataset.features and any(ROUTES[precision].joined for precision in order):
        raise UsageError(
            f"{Precision.INT8_MIXED} is not made for a network that takes patient data: leave it out of "
            "export.precisions"
        )
    sources = {precision: model_file(student, qat, precision) for precision in order}
    calibration = None
    if any(ROUTES[precision].calibrated for precision in sources):
        calibration = choose_calibration(dataset, count=config.calibration_images, seed=seed)
    made: dict[Precision, Conversion] = {}
    metrics: dict[str, float] = {}
    for precision, model in sources.items():
        path = artefact_file(out, precision)
        path.parent.mkdir(parents=True, exist_ok=True)
        if ROUTES[precision].joined:
            seconds = _join(precision, dataset_folder, config, verify, out)
            part = made[ROUTES[precision].joined[-1]]
            made[precision] = replace(part, seconds=seconds, peak_memory_bytes=None)
        else:
            used = calibration if ROUTES[precision].calibrated else None
            made[precision] = export_file(model, precision, path, calibration=used)
        write_exported(path, _card(f"{name}-{precision}", precision, dataset, made[precision], seed))
        metrics |= _metrics(precision, made[precision], size_bytes(path))
    return metrics


def _order(precisions: Sequence[Precision]) -> list[Precision]:
    """`precisions`, those put together from others last."""
    for precision in precisions:
        missing = [part for part in ROUTES[precision].joined if part not in precisions]
        if missing:
            raise UsageError(
                f"{precision} is put together from {' and '.join(ROUTES[precision].joined)}: "
                f"add {' and '.join(missing)} to export.precisions"
            )
    return sorted(precisions, key=lambda precision: bool(ROUTES[precision].joined))


def _join(
    precision: Precision, dataset: Path, config: ExportConfig, verify: VerifyConfig, out: Path
) -> float:
    """Put int8-mixed together from two finished files; the seconds it took, on top of their conversions."""
    exact, rounded = ROUTES[precision].joined
    began = time.monotonic()
    mixed(
        dataset_folder=dataset,
        float_file=artefact_file(out, exact),
        quantized_file=artefact_file(out, rounded),
        max_sensitivity_drop=config.max_sensitivity_drop,
        verify=verify,
        out=out / precision,
    )
    shutil.copyfile(out / rounded / CALIBRATION, out / precision / CALIBRATION)
    return time.monotonic() - began


def export_file(
    model: Path,
    precision: Precision,
    output: Path,
    *,
    calibration: Calibration | None = None,
    calibration_files: Sequence[Path] = (),
    scaling: Scaling | None = None,
    trusted: bool = False,
) -> Conversion:
    """Convert one Keras file to `output`, without a card; what it cost.

    `model` is a .keras file built by edgekd, for int8 the .h5 file of a quantization-aware one; with
    `scaling` anybody's .keras, .h5 or SavedModel. The record of the calibration is written beside `output`;
    instead, `calibration_files` are images of any size.

    Raises:
        UsageError: int8 is asked for from a float model.
        ModelError: the model is missing, not finite, or cannot be converted; without `scaling` also when it
            was not built by edgekd.
    """
    if not model.exists():
        raise ModelError(f"{model}: no such model file")
    if ROUTES[precision].trained and model.suffix != Path(QUANTIZED_MODEL).suffix:
        raise UsageError(
            f"{precision} needs a quantization-aware model ({QUANTIZED_MODEL} of the station qat), got "
            f"{model}: run edgekd qat first, or export {Precision.INT8_PTQ} with calibration images"
        )
    images = calibration.images if calibration else None
    features = calibration.features if calibration and calibration.record.patient_sha256 else None
    conversion = run_worker(
        model,
        precision,
        output,
        calibration=images,
        features=features,
        calibration_files=calibration_files,
        scaling=scaling,
        trusted=trusted,
    )
    if calibration:
        write_json(output.with_name(CALIBRATION), calibration.record)
    size = size_bytes(output) / 1000
    log.info("%-12s %.0f kB, converted in %s", precision, size, duration(conversion.seconds))
    return conversion


def model_file(student: Path, qat: Path | None, precision: Precision) -> Path:
    """The Keras file that `precision` is made from.

    Raises:
        UsageError: int8 is asked for and there is no quantization-aware model.
    """
    if not ROUTES[precision].trained:
        return student / FLOAT_MODEL
    if qat is None:
        raise UsageError(
            "int8 needs a quantization-aware student and there is none: run the station qat, or leave int8 "
            "out of export.precisions"
        )
    return qat / QUANTIZED_MODEL


def size_bytes(artefact: Path) -> int:
    """The size of a file, or of all files of a package."""
    if artefact.is_dir():
        return sum(path.stat().st_size for path in artefact.rglob("*") if path.is_file())
    return artefact.stat().st_size


def write_exported(path: Path, card: ModelCard) -> None:
    """Put `card` into the artefact `path`, and write card.json and inspect.json beside it.

    Raises:
        ModelError: the artefact does not load, or is called int8 and is not.
    """
    _FINISH[path.suffix](path, card)
    write_text(path.with_name(CARD), card.to_json())


def _finish_tflite(path: Path, card: ModelCard) -> None:
    path.write_bytes(embed_card(embed_standard_metadata(path.read_bytes(), card), card))
    inspection = inspect_tflite(path)
    if inspection.load_error is not None:
        raise ModelError(f"{path}: {inspection.load_error}")
    if card.precision in _INTEGER and inspection.float_operators:
        raise ModelError(
            f"{path}: {inspection.float_operators} operators still compute in float, {card.precision} has "
            "none: a layer of the model has no 8-bit kernel"
        )
    write_json(path.with_name(INSPECTION), inspection)


def _finish_coreml(path: Path, card: ModelCard) -> None:
    from edgekd_converters.coreml_card import embed_card_coreml
    from edgekd_converters.coreml_inspect import inspect_coreml

    embed_card_coreml(path, card)
    inspection = inspect_coreml(path)
    for warning in inspection.warnings:
        log.warning("%s: %s", path, warning)
    write_json(path.with_name(INSPECTION), inspection)


_FINISH: Mapping[str, Callable[[Path, ModelCard], None]] = {
    Path(TFLITE).suffix: _finish_tflite,
    Path(MLPACKAGE).suffix: _finish_coreml,
}


def _card(name: str, precision: Precision, dataset: Dataset, conversion: Conversion, seed: int) -> ModelCard:
    sources = ", ".join(sorted(dataset.shares))
    return ModelCard(
        name=name,
        precision=precision,
        input_px=dataset.input_px,
        labels=dataset.classes,
        malignant=dataset.malignant,
        pixel_rule=pixel_rule(dataset.hair),
        hair_removal=dataset.hair.value,
        patient=dataset.patient,
        limits=(
            f"Trained on dermoscopy images of {sources}; other cameras, lighting, skin types and diagnoses "
            "were not tested.",
            "The answer for an image that is no dermoscopy of one skin lesion means nothing.",
        ),
        provenance={
            "edgekd": version("edgekd"),
            "seed": str(seed),
            "tensorflow": conversion.tensorflow,
            "weights_sha256": conversion.weights_sha256,
        },
    )


def _metrics(precision: Precision, conversion: Conversion, size: int) -> dict[str, float]:
    found = {f"{precision}_size_bytes": float(size), f"{precision}_convert_s": conversion.seconds}
    if conversion.peak_memory_bytes is not None:
        found[f"{precision}_peak_memory_bytes"] = float(conversion.peak_memory_bytes)
    return found
