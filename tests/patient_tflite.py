"""A hand-made classifier of picture and person: `small_classifier` with a second input beside it."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from small_tflite import small_classifier

WEIGHT, VALUE = 4e-3, 1 / 255  # scales: one patient value moves a logit by up to half a unit
ANSWER = 0.01


def patient_classifier(px: int, labels: int, values: int, *, patient_first: bool = True) -> bytes:
    """The file: [1, px, px, 3] uint8 and [1, values] uint8, in either order → [1, labels] uint8."""
    model = schema.ModelT.InitFromPackedBuf(small_classifier(px, labels))
    graph, rng = model.subgraphs[0], np.random.Generator(np.random.PCG64(7))
    weights = rng.integers(-127, 128, (labels, values), np.int8)
    (picture,), last = graph.inputs, graph.operators.pop()
    patient = _tensor(model, "patient", (1, values), schema.TensorType.UINT8, VALUE, 0)
    signed = _tensor(model, "signed_patient", (1, values), schema.TensorType.INT8, VALUE, -128)
    matrix = _tensor(model, "columns", weights.shape, schema.TensorType.INT8, WEIGHT, 0, weights)
    told = _tensor(model, "told", (1, labels), schema.TensorType.INT8, ANSWER, 0)
    both = _tensor(model, "both", (1, labels), schema.TensorType.INT8, ANSWER, 0)
    _operator(model, "QUANTIZE", [patient], signed)
    _operator(model, "FULLY_CONNECTED", [signed, matrix, -1], told, schema.FullyConnectedOptionsT())
    _operator(model, "ADD", [last.inputs[0], told], both, schema.AddOptionsT())
    last.inputs = np.array([both], np.int32)
    graph.operators.append(last)
    graph.inputs = np.array([patient, picture] if patient_first else [picture, patient], np.int32)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(
    model: Any, name: str, shape: tuple[int, ...], kind: int, scale: float, zero: int, content: Any = None
) -> int:
    buffer, tensor, tensors = schema.BufferT(), schema.TensorT(), model.subgraphs[0].tensors
    buffer.data = None if content is None else np.frombuffer(content.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.name, tensor.shape, tensor.type = name, np.array(shape, np.int32), kind
    tensor.buffer, tensor.quantization = len(model.buffers) - 1, schema.QuantizationParametersT()
    tensor.quantization.scale = np.array([scale], np.float32)
    tensor.quantization.zeroPoint = np.array([zero], np.int64)
    tensors.append(tensor)
    return len(tensors) - 1


def _operator(model: Any, name: str, inputs: list[int], output: int, options: Any = None) -> None:
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = {"FULLY_CONNECTED": 4, "ADD": 2}.get(name, 1)
    model.operatorCodes.append(code)
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    if options is not None:
        kind = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        operator.builtinOptions = options
    model.subgraphs[0].operators.append(operator)
