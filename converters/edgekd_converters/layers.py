"""`layer_report`: what 8 bits did to every layer of a network, on real images.

Two .tflite files of one network, the float one and its 8-bit twin, run side by side in a process of their
own with every tensor kept. Their layers are matched by running order, and proved to be the same ones by
operator, connections and shapes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ModelError, UsageError
from edgekd.plain import file_digest
from edgekd.runtimes.base import isa
from edgekd_converters.inspect import inspect_tflite
from edgekd_converters.layers_measure import LayerError, Measured, Request
from edgekd_converters.layers_process import ask

__all__ = ["LayerError", "LayerReport", "layer_report", "layer_table"]

SCHEMA = "edgekd.layers/1"
_FOREIGN_SHARE = 0.01
_TIMEOUT_S = 60.0
_TIMEOUT_PER_IMAGE_S = 5.0
_COLUMNS = (
    *("layer", "operator", "logit error", "own dB", "shift", "channels lost"),
    *("accumulated dB", "clipped", "faults"),
)


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """What 8 bits did to every layer (schema edgekd.layers/1), in running order.

    `layers` as `LayerError` says. The operators ran on LiteRT's builtin kernels, one thread: XNNPACK keeps
    no tensors, and may round an 8-bit value to a neighbour of theirs. `foreign_weights` names the layers
    whose weights differ by more than rounding explains (over 1 % of them by over one step): the two files
    then do not hold the same weights, and the errors are not rounding alone.
    """

    schema: str = SCHEMA
    float_sha256: str
    quantized_sha256: str
    engine: str
    n_images: int
    n_logit_images: int
    foreign_weights: tuple[str, ...]
    layers: tuple[LayerError, ...]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"layers: schema is {self.schema!r}, expected {SCHEMA!r}")

    def worst(self, count: int | None = None) -> tuple[LayerError, ...]:
        """The layers whose own rounding moves the logits most first (`count` of them)."""
        return tuple(sorted(self.layers, key=lambda layer: (-layer.logit_error, layer.place))[:count])


def layer_report(float_file: Path, quantized_file: Path, images: NDArray[np.uint8]) -> LayerReport:
    """The report on `quantized_file` (int8, int16x8 or mixed) against `float_file` (fp32).

    `images` uint8 [n, px, px, 3] are real ones, prepared as the network takes them. A quantization-aware
    file needs the float file of its own weights (`edgekd_converters.layers_twin`), not the student's.
    Memory does not grow with n.

    Raises:
        UsageError: no image.
        ModelError: a file is damaged or cannot be run, its input is not raw RGB, or the two do not hold the
            same network.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) == 0:
        raise UsageError(f"images are {images.dtype} {list(images.shape)}, expected uint8 [n, px, px, 3]")
    for path in (float_file, quantized_file):
        found = inspect_tflite(path)
        if found.load_error is not None:
            raise ModelError(f"{path}: {found.load_error}")
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        stored = Path(folder, "images.npy")
        np.save(stored, images)
        measured = ask(
            "edgekd_converters.layers_measure",
            Request(
                float_file=str(float_file.resolve()),
                quantized_file=str(quantized_file.resolve()),
                images=str(stored),
            ),
            Measured,
            timeout_s=_TIMEOUT_S + _TIMEOUT_PER_IMAGE_S * len(images),
            what=f"{quantized_file}: the layer report",
        )
    return LayerReport(
        float_sha256=file_digest(float_file),
        quantized_sha256=file_digest(quantized_file),
        engine=f"ai-edge-litert {version('ai-edge-litert')}, builtin, 1 threads, {isa()}",
        n_images=measured.n_images,
        n_logit_images=measured.n_logit_images,
        foreign_weights=tuple(layer.layer for layer in measured.layers if _is_foreign(layer)),
        layers=measured.layers,
    )


def _is_foreign(layer: LayerError) -> bool:
    return layer.weights_off is not None and layer.weights_off > _FOREIGN_SHARE


def layer_table(report: LayerReport, count: int | None = None) -> tuple[tuple[str, ...], list[Sequence[str]]]:
    """Columns and rows for a terminal, the worst layers first (`count` of them)."""
    return _COLUMNS, [_row(layer) for layer in report.worst(count)]


def _row(layer: LayerError) -> tuple[str, ...]:
    return (
        f"{layer.place} {layer.layer}",
        layer.operator if layer.scale is not None else f"{layer.operator} ({layer.dtype})",
        f"{layer.logit_error:.3f}",
        f"{layer.own_sqnr_db:.1f}",
        f"{layer.own_shift:.0%}",
        f"{layer.channel_loss:.1%}",
        f"{layer.accumulated_sqnr_db:.1f}",
        f"{layer.clipped:.2%}",
        _faults(layer),
    )


def _faults(layer: LayerError) -> str:
    found = ((layer.zero_channels, "zero channels"), (layer.bias_at_limit, "offsets at ±2³¹"))
    return ", ".join(f"{number} {what}" for number, what in found if number)
