"""A hand-made 8-bit classifier with random weights: bytes in, logits out, no TensorFlow needed to make it.

uint8 picture → QUANTIZE → CONV_2D 3 × 3, stride 2, per-channel weights → AVERAGE_POOL_2D → FULLY_CONNECTED →
QUANTIZE → uint8 logits: the kinds of operators and of quantization that `edgekd export --int8` leaves.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

CHANNELS, POOL, INPUT_SCALE = 8, 4, 1 / 127.5
_KIND = {np.dtype(np.uint8): 3, np.dtype(np.int8): 9, np.dtype(np.int32): 2}


def small_classifier(px: int, labels: int, seed: int = 1) -> bytes:
    """The file: [1, px, px, 3] uint8 → [1, labels] uint8; `px` is a multiple of 8."""
    rng, half, cells = np.random.Generator(np.random.PCG64(seed)), px // 2, px // 2 // POOL
    inputs = cells * cells * CHANNELS
    # Scales that spread the answers over the range of a byte; found by looking.
    kernel_scales = rng.uniform(0.002, 0.006, CHANNELS)
    file = _File()
    image = file.tensor("image", (1, px, px, 3), np.uint8, INPUT_SCALE, 128)
    signed = file.tensor("signed", (1, px, px, 3), np.int8, INPUT_SCALE, 0)
    kernel = file.constant("kernel", rng.integers(-127, 128, (CHANNELS, 3, 3, 3), np.int8), kernel_scales)
    bias = file.constant("bias", rng.integers(-900, 900, CHANNELS, np.int32), kernel_scales * INPUT_SCALE)
    maps = file.tensor("maps", (1, half, half, CHANNELS), np.int8, 0.02, -128)
    pooled = file.tensor("pooled", (1, cells, cells, CHANNELS), np.int8, 0.02, -128)
    matrix = file.constant("matrix", rng.integers(-127, 128, (labels, inputs), np.int8), np.array([4e-4]))
    offset = file.constant("offset", rng.integers(-900, 900, labels, np.int32), np.array([4e-4 * 0.02]))
    answer = file.tensor("answer", (1, labels), np.int8, 0.01, 0)
    logits = file.tensor("logits", (1, labels), np.uint8, 0.01, 128)
    file.operator("QUANTIZE", [image], signed, None, None)
    file.operator("CONV_2D", [signed, kernel, bias], maps, "Conv2DOptions", _convolution())
    file.operator("AVERAGE_POOL_2D", [maps], pooled, "Pool2DOptions", _pooling())
    file.operator("FULLY_CONNECTED", [pooled, matrix, offset], answer, "FullyConnectedOptions", _dense())
    file.operator("QUANTIZE", [answer], logits, None, None)
    return file.packed([image], [logits])


class _File:
    def __init__(self) -> None:
        self._model, self._graph = schema.ModelT(), schema.SubGraphT()
        self._model.version, self._model.description = 3, "small classifier"
        self._model.operatorCodes, self._model.buffers = [], [schema.BufferT()]
        self._graph.tensors, self._graph.operators = [], []

    def tensor(self, name: str, shape: tuple[int, ...], dtype: Any, scale: float, zero: int) -> int:
        return self._add(name, shape, np.dtype(dtype), np.array([scale]), np.array([zero]), None)

    def constant(self, name: str, values: np.ndarray, scales: np.ndarray) -> int:
        return self._add(name, values.shape, values.dtype, scales, np.zeros(len(scales)), values.tobytes())

    def _add(self, name: str, shape: Any, dtype: Any, scales: Any, zeros: Any, content: bytes | None) -> int:
        buffer, tensor = schema.BufferT(), schema.TensorT()
        buffer.data = None if content is None else np.frombuffer(content, np.uint8)
        self._model.buffers.append(buffer)
        tensor.name, tensor.shape = name, np.array(shape, np.int32)
        tensor.type, tensor.buffer = _KIND[dtype], len(self._model.buffers) - 1
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = scales.astype(np.float32)
        tensor.quantization.zeroPoint = zeros.astype(np.int64)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def operator(self, name: str, inputs: list[int], output: int, kind: str | None, options: Any) -> None:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = {"CONV_2D": 3, "AVERAGE_POOL_2D": 2, "FULLY_CONNECTED": 4}.get(name, 1)
        self._model.operatorCodes.append(code)
        operator.opcodeIndex = len(self._model.operatorCodes) - 1
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        if kind is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self._graph.operators.append(operator)

    def packed(self, inputs: list[int], outputs: list[int]) -> bytes:
        self._graph.inputs, self._graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        self._model.subgraphs = [self._graph]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _convolution() -> Any:
    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.SAME, 2, 2
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    return options


def _pooling() -> Any:
    options = schema.Pool2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.VALID, POOL, POOL
    options.filterHeight = options.filterWidth = POOL
    return options


def _dense() -> Any:
    return schema.FullyConnectedOptionsT()
