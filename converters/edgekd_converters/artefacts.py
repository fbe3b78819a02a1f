"""What each artefact is made of: a visible table, one line per precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekd.config import Precision

TFLITE, MLPACKAGE = "model.tflite", "model.mlpackage"


@dataclass(frozen=True, kw_only=True)
class Route:
    """How an artefact comes about.

    `file` is its name in its folder. `trained`: from the quantization-aware student instead of the float
    one. `calibrated`: its ranges are read from calibration images. `joined`: not converted, but put together
    from layers of these artefacts.
    """

    file: str = TFLITE
    trained: bool = False
    calibrated: bool = False
    joined: tuple[Precision, ...] = ()


ROUTES: Mapping[Precision, Route] = {
    Precision.FP32: Route(),
    Precision.FP16: Route(),
    Precision.DYNAMIC: Route(),
    Precision.INT8: Route(trained=True),
    Precision.INT8_PTQ: Route(calibrated=True),
    Precision.INT8_MIXED: Route(calibrated=True, joined=(Precision.FP32, Precision.INT8_PTQ)),
    Precision.INT16X8: Route(calibrated=True),
    Precision.COREML_FP32: Route(file=MLPACKAGE),
    Precision.COREML_FP16: Route(file=MLPACKAGE),
    Precision.COREML_INT8: Route(file=MLPACKAGE),
    Precision.COREML_PAL4: Route(file=MLPACKAGE),
}


def artefact_file(folder: Path, precision: Precision) -> Path:
    """The artefact of `precision` below the export folder: a file, or for Core ML a package folder."""
    return folder / precision / ROUTES[precision].file


def exported(folder: Path) -> list[Precision]:
    """The precisions that have their artefact below the export folder, in the order of `Precision`."""
    return [precision for precision in Precision if artefact_file(folder, precision).exists()]
