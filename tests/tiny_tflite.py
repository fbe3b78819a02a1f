"""Hand-made .tflite files: one average pooling over the whole image, so that every output is known."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

DTYPES = {
    "uint8": schema.TensorType.UINT8,
    "int8": schema.TensorType.INT8,
    "float32": schema.TensorType.FLOAT32,
}


def average_pool(
    *,
    px: int = 8,
    height: int | None = None,
    channels: int = 3,
    dtype: str = "uint8",
    scale: float = 1 / 127.5,
    zero_point: int = 128,
    custom: str = "",
    outputs: int = 1,
) -> bytes:
    """A file that answers the mean of every channel, [1, px, px, channels] → [1, 1, 1, channels].

    `custom` names a custom operator to stand in place of the pooling; `outputs` repeats the output.
    """
    height = px if height is None else height
    model = schema.ModelT()
    model.version, model.description = 3, "average pool"
    model.operatorCodes = [_operator_code(custom)]
    model.buffers = [schema.BufferT(), schema.BufferT(), schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = [
        _tensor("image", [1, height, px, channels], dtype, scale, zero_point, 1),
        _tensor("mean", [1, 1, 1, channels], dtype, scale, zero_point, 2),
    ]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([1] * outputs, np.int32)
    graph.operators = [_operator(height, px, custom)]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _operator_code(custom: str) -> Any:
    code = schema.OperatorCodeT()
    number = schema.BuiltinOperator.CUSTOM if custom else schema.BuiltinOperator.AVERAGE_POOL_2D
    code.builtinCode = code.deprecatedBuiltinCode = number
    code.customCode, code.version = custom or None, 2
    return code


def _operator(height: int, width: int, custom: str) -> Any:
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = np.array([0], np.int32), np.array([1], np.int32)
    if not custom:
        pool = schema.Pool2DOptionsT()
        pool.padding = schema.Padding.VALID
        pool.strideH = pool.strideW = 1
        pool.filterHeight, pool.filterWidth = height, width
        operator.builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
        operator.builtinOptions = pool
    return operator


def _tensor(name: str, shape: list[int], dtype: str, scale: float, zero_point: int, buffer: int) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape = name, np.array(shape, np.int32)
    tensor.type, tensor.buffer = DTYPES[dtype], buffer
    if dtype != "float32":
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.array([scale], np.float32)
        tensor.quantization.zeroPoint = np.array([zero_point], np.int64)
    return tensor
