"""The sums behind a layer report, streamed image by image in a process of its own.

Run as `python -m edgekd_converters.layers_measure REQUEST.json`, by `edgekd_converters.layers`.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgekd.errors import ModelError
from edgekd.runtimes.litert import LitertRuntime
from edgekd_converters.layers_apart import apart
from edgekd_converters.layers_graft import inject
from edgekd_converters.layers_graph import IMAGE, Graph, layer_names, match, read_graph
from edgekd_converters.layers_process import serve
from edgekd_converters.layers_sums import Sums
from edgekd_converters.layers_values import (
    Reals,
    bias_at_limit,
    dequantize,
    dtype,
    macs,
    quantization,
    share_off,
    zero_channels,
)

LOGIT_IMAGES = 16


@dataclass(frozen=True, kw_only=True)
class Request:
    """Two .tflite files of one network, and an .npy file of images uint8 [n, px, px, 3]."""

    float_file: str
    quantized_file: str
    images: str


@dataclass(frozen=True, kw_only=True)
class LayerError:
    """What 8 bits did to one layer.

    `layer` is the Keras layer that made it, `operator` the .tflite operator; `shape`, `dtype`, `scale` and
    `zero_point` (null when it is float) are those of its output in the quantized file, `bytes` its constants
    there, `macs` its multiplications for one image.

    Signal-to-noise ratios are 10·log₁₀(Σ float² / Σ (float − quantized)²) dB over all values and images,
    within ±200; cosines lie in −1..1. `accumulated`: against the float network's output, with all that went
    wrong before. `own`: against the float operator on the very inputs the quantized one had; the rounding of
    its weights and of its output. `own_shift` is the share of that error which is the same for all values of
    a channel: unlike noise, it survives every average after it. `channel_loss` is the mean over channels of
    min(1, error / signal): 0 nothing, 1 every channel lost; it shows what `own_sqnr_db` hides, one channel
    so large that the others vanish in its step.

    `logit_error` is what all this does to the answer: the mean |logit − float logit| when this layer's
    rounding alone is put into the float network, over the first `n_logit_images` images.

    Shares: `weights_off` of weights over one step from the float file's (null without weights, and
    for a layer that reads the image: its float weights may hold the scaling of the pixels), `at_ends` of
    output values at either end of the integer range (for a rectified layer one end is 0 and no fault),
    `clipped` of values the float operator puts beyond it by over half a step (both 0 for a float layer).
    `zero_channels` counts output channels whose integer weights are all 0, `bias_at_limit` the offsets at an
    end of their integer range, where they were cut off.
    """

    place: int
    layer: str
    operator: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None
    accumulated_sqnr_db: float
    accumulated_cosine: float
    own_sqnr_db: float
    own_cosine: float
    own_shift: float
    channel_loss: float
    logit_error: float
    weights_off: float | None
    at_ends: float
    clipped: float
    zero_channels: int
    bias_at_limit: int
    macs: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the process answers."""

    n_images: int
    n_logit_images: int
    layers: tuple[LayerError, ...]


class _Layer:
    """One pair of matched nodes and the sums over the images seen so far."""

    def __init__(self, exact: Graph, quantized: Graph, place: int) -> None:
        self.exact, self.quantized, self.place = exact, quantized, place
        self.ours, self.theirs = exact.nodes[place], quantized.nodes[place]
        self.accumulated, self.own = Sums(), Sums()
        self._values = self._at_ends = self._clipped = 0
        tensor = quantized.tensors[self.theirs.output]
        self.scales, self.zeros, _ = quantization(tensor)

    def add(self, network: Reals, alone: Reals, stored: NDArray[Any]) -> None:
        """One image: the float network's output, the float operator's, and what the quantized file holds."""
        real = dequantize(self.quantized, self.theirs.output, stored)
        self.accumulated.add(network, real)
        self.own.add(alone, real)
        if not np.issubdtype(stored.dtype, np.integer) or not len(self.scales):
            return
        limits = np.iinfo(stored.dtype)
        low, high = ((end - 0.5 * sign - self.zeros[0]) * self.scales[0] for end, sign in _ends(limits))
        self._values += stored.size
        self._at_ends += int(((stored == limits.min) | (stored == limits.max)).sum())
        self._clipped += int(((alone < low) | (alone > high)).sum())

    def record(self, name: str, logit_error: float) -> LayerError:
        """The figures, by the name of the Keras layer."""
        quantized, node = self.quantized, self.theirs
        whole = len(self.scales) == 1
        return LayerError(
            place=self.place + 1,
            layer=name,
            operator=node.kind,
            shape=quantized.shape(node.output),
            dtype=dtype(quantized, node.output),
            scale=float(self.scales[0]) if whole else None,
            zero_point=int(self.zeros[0]) if whole else None,
            accumulated_sqnr_db=self.accumulated.sqnr_db,
            accumulated_cosine=self.accumulated.cosine,
            own_sqnr_db=self.own.sqnr_db,
            own_cosine=self.own.cosine,
            own_shift=self.own.shift,
            channel_loss=self.own.channel_loss,
            logit_error=logit_error,
            weights_off=self._weights_off(),
            at_ends=self._at_ends / max(self._values, 1),
            clipped=self._clipped / max(self._values, 1),
            zero_channels=zero_channels(quantized, node),
            bias_at_limit=bias_at_limit(quantized, node),
            macs=macs(quantized, node),
            bytes=sum(len(quantized.data(tensor)) for tensor in node.constants),
        )

    def _weights_off(self) -> float | None:
        if IMAGE in self.ours.sources:
            return None
        return share_off(self.exact, self.ours, self.quantized, self.theirs)


def _ends(limits: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    return (int(limits.min), 1), (int(limits.max), -1)


class _Opened:
    """A file in an interpreter that keeps every tensor; no delegate, which would keep its own to itself."""

    def __init__(self, source: Path | bytes) -> None:
        given = {"model_content": source} if isinstance(source, bytes) else {"model_path": str(source)}
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors")
                self.interpreter = Interpreter(
                    **given,
                    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                    experimental_preserve_all_tensors=True,
                )
            self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{_called(source)}: LiteRT cannot load it ({error})") from error
        self.inputs = self.interpreter.get_input_details()
        self.source = source

    def run(self, *values: NDArray[Any]) -> None:
        """Run on one array for each input."""
        for details, value in zip(self.inputs, values, strict=True):
            self.interpreter.set_tensor(details["index"], value.astype(details["dtype"], copy=False))
        try:
            self.interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(f"{_called(self.source)}: the network failed on an image ({error})") from error

    def read(self, tensor: int) -> NDArray[Any]:
        """The values of a tensor after the run."""
        return np.asarray(self.interpreter.get_tensor(tensor))


def _called(source: Path | bytes) -> str:
    return "the network taken apart" if isinstance(source, bytes) else str(source)


def measure(asked: Request) -> Measured:
    """The figures of every layer.

    Raises:
        ModelError: a file cannot be read or run, the two do not match, or the images do not fit them.
    """
    exact, quantized = read_graph(Path(asked.float_file)), read_graph(Path(asked.quantized_file))
    match(exact, quantized)
    images = np.load(asked.images, mmap_mode="r")
    layers = [_Layer(exact, quantized, place) for place in range(len(exact.nodes))]
    ours, theirs, pieces = _Opened(exact.path), _Opened(quantized.path), _Opened(apart(exact))
    for opened in (ours, theirs):
        _check_input(opened, images)
    outputs = [details["index"] for details in pieces.interpreter.get_output_details()]
    for image in images:
        ours.run(image[np.newaxis])
        theirs.run(image[np.newaxis])
        pieces.run(*_inputs(exact, ours, quantized, theirs))
        for layer, alone in zip(layers, outputs, strict=True):
            layer.add(
                ours.read(layer.ours.output).astype(np.float64),
                pieces.read(alone).astype(np.float64),
                theirs.read(layer.theirs.output),
            )
    errors = _logit_errors(exact, quantized, np.asarray(images[:LOGIT_IMAGES]))
    names = layer_names(quantized, exact)
    return Measured(
        n_images=len(images),
        n_logit_images=min(len(images), LOGIT_IMAGES),
        layers=tuple(
            layer.record(name, error) for layer, name, error in zip(layers, names, errors, strict=True)
        ),
    )


def _logit_errors(exact: Graph, quantized: Graph, images: NDArray[np.uint8]) -> list[float]:
    expected = LitertRuntime(exact.path).logits(images)
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        errors = []
        for place in range(len(exact.nodes)):
            path = Path(folder, "model.tflite")
            path.write_bytes(inject(exact, quantized, place))
            errors.append(float(np.abs(LitertRuntime(path).logits(images) - expected).mean()))
    return errors


def _inputs(exact: Graph, ours: _Opened, quantized: Graph, theirs: _Opened) -> list[NDArray[Any]]:
    """What every float layer is to be run on: what its 8-bit twin just read, or the float file's own image.

    A converter may fold the scaling of the pixels into the weights of a layer that reads the image; the two
    files then read it on different scales.
    """
    values = []
    for node, twin in zip(exact.nodes, quantized.nodes, strict=True):
        for position, source in zip(node.active, node.sources, strict=True):
            tensor = twin.inputs[position]
            if source == IMAGE:
                values.append(ours.read(node.inputs[position]))
            else:
                values.append(dequantize(quantized, tensor, theirs.read(tensor)))
    return values


def _check_input(opened: _Opened, images: NDArray[np.uint8]) -> None:
    details = opened.inputs[0]
    if details["dtype"] != np.uint8 or tuple(details["shape"]) != (1, *images.shape[1:]):
        found = f"{np.dtype(details['dtype'])} {details['shape'].tolist()}"
        raise ModelError(
            f"{_called(opened.source)}: the input is {found}, the images are uint8 "
            f"{[1, *images.shape[1:]]}: a layer report takes files with raw RGB input"
        )


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Request, measure)
