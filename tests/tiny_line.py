"""A finished tiny line: trained students, what their stations leave, and exported files that work.

    <folder>/data/  distill/  qat/  export/<precision>/{model.tflite, card.json, calibration.json}

Made once per test session; the networks are those of `tiny_students`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import tiny_students
from edgekd.card import ModelCard
from edgekd.config import Precision, VerifyConfig
from edgekd.data.dataset import open_dataset
from edgekd.plain import write_json
from tiny_dataset import CLASSES, PX, prepare

PRECISIONS = (Precision.FP32, Precision.FP16, Precision.DYNAMIC, Precision.INT8, Precision.INT8_PTQ)
CONFIG = VerifyConfig(margin=0.2)  # twenty malignant images exclude a loss of 0.2, and decide nothing below
CALIBRATION_IMAGES = 24


@functools.cache
def line() -> Path:
    """The folder; removed at the end of the session."""
    from edgekd.training.evaluate import evaluate_station

    root = tiny_students.folder() / "line"
    data = prepare(root / "data", lambda count, seed: tiny_students.lesions(count, 70 + seed)[0])
    dataset = open_dataset(data)
    for name, model in (("distill", tiny_students.student()), ("qat", tiny_students.quantized())):
        (root / name).mkdir()
        evaluate_station(model, dataset=dataset, verify=CONFIG, out=root / name, artefact=name)
    for precision in PRECISIONS:
        export_model(root / "export", precision)
    return root


def card(precision: Precision) -> ModelCard:
    """The card of an exported file."""
    return ModelCard(name="tiny", precision=precision, input_px=PX, labels=CLASSES, malignant=("mel",))


def export_model(exported: Path, precision: Precision, model: Any = None, images: Any = None) -> Path:
    """Convert `model` (or the student the precision is made from) into `exported`; the file.

    `images` are calibrated on, instead of the ones on record.
    """
    from edgekd_converters.artefacts import ROUTES, artefact_file
    from edgekd_converters.calibration import CALIBRATION, choose_calibration
    from edgekd_converters.export import write_exported

    route, path = ROUTES[precision], artefact_file(exported, precision)
    path.parent.mkdir(parents=True)
    if model is None:
        model = tiny_students.quantized() if route.trained else tiny_students.student()
    if route.calibrated:
        dataset = open_dataset(tiny_students.folder() / "line" / "data")
        calibration = choose_calibration(dataset, count=CALIBRATION_IMAGES, seed=1)
        write_json(path.with_name(CALIBRATION), calibration.record)
        images = calibration.images if images is None else images
    if path.suffix == ".tflite":
        from edgekd_converters.tflite import convert

        path.write_bytes(convert(model, precision, images))
    else:
        from edgekd_converters.coreml import convert_coreml

        convert_coreml(model, precision, path)
    write_exported(path, card(precision))
    return path
