"""The station `export`: the student in every asked precision, each file with its card inside.

<export>/<precision>/model.tflite   uint8 RGB in, logits out, the card inside
<export>/<precision>/card.json      the same card; its operating point is null until `verify` fits one
<export>/<precision>/inspect.json   what the file holds (schema edgekd.inspect/1)
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from edgekd.card import ModelCard
from edgekd.config import ExportConfig, Precision
from edgekd.console import duration, log
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.errors import ModelError, UsageError
from edgekd.plain import write_json, write_text
from edgekd_converters.inspect import inspect_tflite
from edgekd_converters.metadata import embed_card
from edgekd_converters.worker import Conversion, run_worker

FLOAT_MODEL, QUANTIZED_MODEL = "model.keras", "model.h5"
TFLITE, CARD, INSPECTION = "model.tflite", "card.json", "inspect.json"


def export(
    *,
    dataset_folder: Path,
    student: Path,
    qat: Path | None,
    config: ExportConfig,
    seed: int,
    out: Path,
    name: str = "student",
) -> dict[str, float]:
    """Write the files of every precision of `config` below `out`; their sizes, seconds and peak memory.

    fp32, fp16 and dynamic come from `student`/model.keras, int8 from `qat`/model.h5. `name` and `seed`
    enter the cards. Conversions run one after another, each in a process of its own.

    Raises:
        UsageError: int8 is asked for without a quantization-aware model.
        ModelError: a model is missing, its weights are not finite, or it cannot be converted.
    """
    dataset = open_dataset(dataset_folder)
    sources = {precision: model_file(student, qat, precision) for precision in config.precisions}
    metrics: dict[str, float] = {}
    for precision, model in sources.items():
        folder = out / precision
        folder.mkdir(parents=True, exist_ok=True)
        conversion = export_file(model, precision, folder / TFLITE)
        card = _card(f"{name}-{precision}", precision, dataset, conversion, seed)
        write_exported(folder, card)
        metrics |= _metrics(precision, conversion, (folder / TFLITE).stat().st_size)
    return metrics


def export_file(model: Path, precision: Precision, output: Path) -> Conversion:
    """Convert one Keras file to `output`, without a card; what it cost.

    `model` is a .keras file built by edgekd, for int8 the .h5 file of a quantization-aware one.

    Raises:
        UsageError: int8 is asked for from a float model.
        ModelError: the model is missing, not built by edgekd, not finite, or cannot be converted.
    """
    if not model.is_file():
        raise ModelError(f"{model}: no such model file")
    if precision is Precision.INT8 and model.suffix != Path(QUANTIZED_MODEL).suffix:
        raise UsageError(
            f"int8 needs a quantization-aware model ({QUANTIZED_MODEL} of the station qat), got {model}: "
            "run edgekd qat first, or export fp16 or dynamic"
        )
    conversion = run_worker(model, precision, output)
    size = output.stat().st_size
    log.info("%-8s %.0f kB, converted in %s", precision, size / 1000, duration(conversion.seconds))
    return conversion


def model_file(student: Path, qat: Path | None, precision: Precision) -> Path:
    """The Keras file that `precision` is made from.

    Raises:
        UsageError: int8 is asked for and there is no quantization-aware model.
    """
    if precision is not Precision.INT8:
        return student / FLOAT_MODEL
    if qat is None:
        raise UsageError(
            "int8 needs a quantization-aware student and there is none: run the station qat, or leave int8 "
            "out of export.precisions"
        )
    return qat / QUANTIZED_MODEL


def write_exported(folder: Path, card: ModelCard) -> None:
    """Put `card` into `folder`/model.tflite and write card.json and inspect.json beside it."""
    path = folder / TFLITE
    path.write_bytes(embed_card(path.read_bytes(), card))
    write_text(folder / CARD, card.to_json())
    inspection = inspect_tflite(path)
    if inspection.load_error is not None:
        raise ModelError(f"{path}: {inspection.load_error}")
    write_json(folder / INSPECTION, inspection)


def _card(name: str, precision: Precision, dataset: Dataset, conversion: Conversion, seed: int) -> ModelCard:
    sources = ", ".join(sorted(dataset.shares))
    return ModelCard(
        name=name,
        precision=precision,
        input_px=dataset.input_px,
        labels=dataset.classes,
        malignant=dataset.malignant,
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
