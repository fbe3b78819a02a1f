"""What this machine can do at most, and how near an operator comes to it.

Measured: the peaks of multiply-adds, by convolutions that keep the engine's own kernels busy, and bandwidths,
by copies of sizes from the caches' to beyond them. Computed: the least time an operator could take, which is
the longer of its multiply-adds at the peak and its bytes at the bandwidth of copies of that size (Williams,
Waterman, Patterson, Roofline, Communications of the ACM 52, 2009; by size of the data as in Ilic, Pratas,
Sousa, Cache-aware Roofline Model, IEEE Computer Architecture Letters 13, 2014). A copy does not show the most
that a cache can do: an operator may exceed its roof somewhat.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd.errors import ModelError
from edgekd_bench.measure import run_worker
from edgekd_bench.round import Backend, Request, Round

# Side of the image, side of the filter, channels in and out: 0.4 to 1.1 billion multiply-adds.
_SHAPES = ((64, 1, 512), (28, 3, 256), (56, 3, 128))
_MIN_RUNS, _MIN_SECONDS = 10, 0.3
_COPY_BYTES, _COPIES = (64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 128 << 20), 5
_COPIED_BYTES = 128 << 20  # in each try, by as many copies as it takes
_GIGA = 1e9


@dataclass(frozen=True, kw_only=True)
class Bandwidth:
    """Billions of bytes read and written per second by copies of `copy_bytes`."""

    copy_bytes: int
    gb_per_s: float


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The machine's best with `threads`: 10⁹ multiply-adds per second, and bandwidths by rising size."""

    threads: int
    float32_gmac_per_s: float
    int8_gmac_per_s: float
    bandwidths: tuple[Bandwidth, ...]


def measure_peaks(threads: int) -> Peaks:
    """The peaks of this machine; takes a few seconds.

    Raises:
        ModelError: the engine did not run the convolutions.
    """
    return Peaks(
        threads=threads,
        float32_gmac_per_s=max(_gmac_per_s(shape, threads, eight_bit=False) for shape in _SHAPES),
        int8_gmac_per_s=max(_gmac_per_s(shape, threads, eight_bit=True) for shape in _SHAPES),
        bandwidths=tuple(_bandwidth(size, threads) for size in _COPY_BYTES),
    )


def least_ms(peaks: Peaks, *, macs: int, bytes_moved: int, eight_bit: bool) -> tuple[float, str]:
    """The least milliseconds that the roofline allows, and what sets them: "compute" or "memory"."""
    peak = peaks.int8_gmac_per_s if eight_bit else peaks.float32_gmac_per_s
    computing = macs / (peak * _GIGA) * 1000
    fitting = [one for one in peaks.bandwidths if 2 * one.copy_bytes >= bytes_moved]
    moving = bytes_moved / ((fitting or peaks.bandwidths[-1:])[0].gb_per_s * _GIGA) * 1000
    return (computing, "compute") if computing > moving else (moving, "memory")


def _gmac_per_s(shape: tuple[int, int, int], threads: int, *, eight_bit: bool) -> float:
    side, window, channels = shape
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        path = Path(folder) / "peak.tflite"
        path.write_bytes(convolution(side=side, window=window, channels=channels, eight_bit=eight_bit))
        found = run_worker(
            Request(
                model=str(path),
                backend=Backend.CPU,
                threads=threads,
                min_runs=_MIN_RUNS,
                min_seconds=_MIN_SECONDS,
            )
        )
    if not isinstance(found, Round):
        raise ModelError(f"the peak of the machine could not be measured ({found[1]})")
    return side**2 * window**2 * channels**2 / (min(found.runs_ms) / 1000) / _GIGA


def _bandwidth(size: int, threads: int) -> Bandwidth:
    """Each thread copies its part of `size` bytes again and again."""
    source = np.ones(size, np.uint8)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    copies = max(1, _COPIED_BYTES // size)

    def copy(part: tuple[Any, Any]) -> None:
        for _ in range(copies):
            np.copyto(*part)

    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(_COPIES):
            began = time.perf_counter()
            list(pool.map(copy, parts))
            seconds.append(time.perf_counter() - began)
    return Bandwidth(copy_bytes=size, gb_per_s=2 * size * copies / min(seconds) / _GIGA)


def convolution(*, side: int, window: int, channels: int, eight_bit: bool) -> bytes:
    """A .tflite file with one convolution [1, side, side, channels] → the same, 8-bit ones per channel."""
    model = schema.ModelT()
    model.version, model.description = 3, "one convolution"
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 3 if eight_bit else 1
    model.operatorCodes, model.subgraphs = [code], [schema.SubGraphT()]
    generator = np.random.Generator(np.random.PCG64(0))
    shape = (channels, window, window, channels)
    weights: Any = generator.integers(-127, 128, shape, np.int8)
    if not eight_bit:
        weights = weights.astype(np.float32) / (127 * channels)
    bias = np.zeros(channels, np.int32 if eight_bit else np.float32)
    model.buffers = [_buffer(b""), _buffer(weights.tobytes()), _buffer(bias.tobytes())]
    graph, image = model.subgraphs[0], (1, side, side, channels)
    kind = schema.TensorType.INT8 if eight_bit else schema.TensorType.FLOAT32
    wide = schema.TensorType.INT32 if eight_bit else kind
    graph.tensors = [
        _tensor("image", image, kind, 0, (0.02,) * eight_bit),
        _tensor("weights", shape, kind, 1, (0.01,) * (channels * eight_bit)),
        _tensor("bias", (channels,), wide, 2, (0.0002,) * (channels * eight_bit)),
        _tensor("answer", image, kind, 0, (1.0,) * eight_bit),
    ]
    graph.inputs, graph.outputs, graph.operators = _ints([0]), _ints([3]), [_operator()]
    builder = flatbuffers.Builder(weights.nbytes + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _operator() -> Any:
    operator, options = schema.OperatorT(), schema.Conv2DOptionsT()
    operator.inputs, operator.outputs = _ints([0, 1, 2]), _ints([3])
    options.padding, options.strideH, options.strideW = schema.Padding.SAME, 1, 1
    options.dilationHFactor = options.dilationWFactor = 1
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    return operator


def _tensor(name: str, shape: tuple[int, ...], kind: int, buffer: int, scales: tuple[float, ...]) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, _ints(shape), kind, buffer
    if scales:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.array(scales, np.float32)
        tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
    return tensor


def _buffer(content: bytes) -> Any:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8) if content else None
    return buffer


def _ints(values: Any) -> Any:
    return np.array(values, np.int32)
