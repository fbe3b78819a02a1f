"""`check_student`: what an Edge TPU would run of a network of the catalogue, in a process of its own.

TensorFlow keeps the memory of a conversion, and numbers the layers of what it builds later from where it is:
a check must leave no trace in a process that trains.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from edgekd.config import ModelConfig
from edgekd.errors import UnknownNameError
from edgekd.models.catalogue import CATALOGUE, build
from edgekd_converters.edgetpu import EdgeTpuCheck, check_architecture
from edgekd_converters.layers_process import ask, serve

TIMEOUT_S = 900.0
_CLASSES = 8
"""How many logits the network gets: no rule asks."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The network to be judged, for images of `input_px`."""

    model: ModelConfig
    input_px: int


def check_student(model: ModelConfig, *, input_px: int) -> EdgeTpuCheck:
    """What an Edge TPU would run of the network `model` at `input_px`.

    Raises:
        UnknownNameError: no network has this name.
        ModelError: it cannot be built at this width or size, or not be converted.
    """
    if model.name not in CATALOGUE:
        raise UnknownNameError("model", model.name, CATALOGUE)
    what = f"{model.name} at {input_px} px"
    request = Request(model=model, input_px=input_px)
    return ask(__name__, request, EdgeTpuCheck, timeout_s=TIMEOUT_S, what=what)


def _work(request: Request) -> EdgeTpuCheck:
    return check_architecture(build(request.model, input_px=request.input_px, n_logits=_CLASSES, seed=0))


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Request, _work)
