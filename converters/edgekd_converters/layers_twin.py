"""`write_twin`: the float file of a quantization-aware model's own weights, to measure its int8 file against.

Quantization-aware training moves the weights; against the float student an int8 file shows that as well as
its rounding. Run as `python -m edgekd_converters.layers_twin REQUEST.json`, by `write_twin`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.config import Precision
from edgekd.errors import ModelError
from edgekd_converters.layers_process import ask, serve

_TIMEOUT_S = 900.0
_PREFIX = "quant_"


@dataclass(frozen=True, kw_only=True)
class Request:
    """The float student (.keras), its quantization-aware copy (.h5), and the .tflite file to write."""

    student: str
    qat: str
    output: str


@dataclass(frozen=True, kw_only=True)
class Made:
    """How many layers got the weights of the quantization-aware model."""

    layers: int


def write_twin(*, student: Path, qat: Path, output: Path) -> None:
    """Write the fp32 .tflite file of the network `student` (.keras) with the weights of `qat` (.h5).

    Raises:
        ModelError: a model cannot be read or converted, or the two are not of one network.
    """
    request = Request(student=str(student.resolve()), qat=str(qat.resolve()), output=str(output.resolve()))
    ask("edgekd_converters.layers_twin", request, Made, timeout_s=_TIMEOUT_S, what=f"{qat}: its float twin")


def float_twin(student: Any, quantized: Any) -> Any:
    """The network of the Keras model `student` with the weights of its quantization-aware copy.

    Raises:
        ModelError: a layer with weights has no counterpart of the same shapes.
    """
    from edgekd import lazy
    from edgekd.models.catalogue import core, with_scaling
    from edgekd.models.scaling import Scaling

    twin = lazy.keras().models.clone_model(core(student))
    trained = {layer.name: layer for layer in core(quantized).layers}
    for layer in twin.layers:
        if layer.weights:
            _copy_weights(layer, trained.get(_PREFIX + layer.name) or trained.get(layer.name))
    return with_scaling(twin, Scaling.BYTE)


def _copy_weights(layer: Any, source: Any) -> None:
    values = {} if source is None else {_short_name(weight): weight for weight in source.weights}
    for weight in layer.weights:
        found = values.get(_short_name(weight))
        if found is None or found.shape != weight.shape:
            raise ModelError(
                f"the quantization-aware model has no weight like {weight.name} of the student: "
                "they must be of one run"
            )
        weight.assign(found)


def _short_name(weight: Any) -> str:
    return str(weight.name).split("/")[-1].split(":")[0]


def _make(asked: Request) -> Made:
    from edgekd.models.quantize import load_quantized
    from edgekd.runtimes.keras import load_keras
    from edgekd_converters.tflite import convert

    twin = float_twin(load_keras(Path(asked.student)), load_quantized(Path(asked.qat)))
    Path(asked.output).write_bytes(convert(twin, Precision.FP32))
    return Made(layers=len(twin.layers))


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Request, _make)
