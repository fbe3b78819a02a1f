"""Hand-made files for the Edge TPU and GPU checks: one operator, or one compiled package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

DTYPES = {
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "float32": schema.TensorType.FLOAT32,
}


@dataclass(frozen=True)
class T:
    """A tensor: constant when it has `data`; `open_sides` are −1 in its signature."""

    shape: tuple[int, ...]
    dtype: str = "int8"
    data: Any = None
    name: str = ""
    scale: float | None = 0.5
    zero_point: int = 0
    open_sides: tuple[int, ...] = ()


def ints(*values: int) -> T:
    return T((len(values),), "int32", np.array(values, "<i4"), scale=None)


@dataclass(frozen=True)
class Op:
    """An operator on tensors, numbered over the whole file; `options` are (kind, object) of the schema."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any = None
    custom_options: bytes | None = None


def network(tensors: list[T], ops: list[Op], *, subgraphs: int = 1, version: int = 1) -> bytes:
    """A file of `ops` on `tensors`; the first tensor is its input, the last its output."""
    model = schema.ModelT()
    model.version, model.buffers = 3, [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(model, number, tensor) for number, tensor in enumerate(tensors)]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([len(tensors) - 1], np.int32)
    model.operatorCodes = [_code(op.name, version) for op in ops]
    graph.operators = [_operator(number, op) for number, op in enumerate(ops)]
    model.subgraphs = [graph] * subgraphs
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def single(name: str, inputs: list[T], output: T, options: Any = None) -> bytes:
    """A file of one operator."""
    places = tuple(range(len(inputs)))
    return network([*inputs, output], [Op(name, places, (len(inputs),), options)])


def _tensor(model: Any, number: int, tensor: T) -> Any:
    made = schema.TensorT()
    made.name = tensor.name or f"net/layer_{number}/op"
    made.shape, made.type, made.buffer = np.array(tensor.shape, np.int32), DTYPES[tensor.dtype], 0
    if tensor.open_sides:
        signature = [-1 if place in tensor.open_sides else side for place, side in enumerate(tensor.shape)]
        made.shapeSignature = np.array(signature, np.int32)
    if tensor.scale is not None and tensor.dtype != "float32":
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = np.array([tensor.scale], np.float32)
        made.quantization.zeroPoint = np.array([tensor.zero_point], np.int64)
    if tensor.data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(tensor.data).tobytes(), np.uint8)
        model.buffers.append(buffer)
        made.buffer = len(model.buffers) - 1
    return made


def _code(name: str, version: int) -> Any:
    code = schema.OperatorCodeT()
    number = getattr(schema.BuiltinOperator, name, schema.BuiltinOperator.CUSTOM)
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
    if number == schema.BuiltinOperator.CUSTOM:
        code.customCode = name
    return code


def _operator(number: int, op: Op) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex = number
    made.inputs, made.outputs = np.array(op.inputs, np.int32), np.array(op.outputs, np.int32)
    if op.options is not None:
        made.builtinOptionsType, made.builtinOptions = op.options
    if op.custom_options is not None:
        made.customOptions = list(op.custom_options)
    return made


def options(name: str, **fields: int) -> Any:
    """The options table `name` of the schema with `fields` set."""
    made = getattr(schema, f"{name}T")()
    for field, value in fields.items():
        setattr(made, field, value)
    return getattr(schema.BuiltinOptions, name), made


def compiled(executables: list[bytes], *, left: tuple[str, ...] = (), package: bytes | None = None) -> bytes:
    """A file as the Edge TPU's compiler writes it, with operators `left` behind the compiled one."""
    stored = edgetpu_package(executables) if package is None else package
    tensors = [T((1, 8, 8, 3), "uint8"), *(T((1, 3), "uint8") for _ in range(len(left) + 1))]
    ops = [Op("edgetpu-custom-op", (0,), (1,), None, custom_options(stored))]
    ops += [Op(name, (number + 1,), (number + 2,)) for number, name in enumerate(left)]
    return network(tensors, ops)


def custom_options(package: bytes) -> bytes:
    """The FlexBuffer of the custom operator: version, package, preference, chips, further packages."""
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Key("1")
        builder.Int(0)
        builder.Key("4")
        # A string of bytes that are not UTF-8, as the compiler writes it.
        builder._WriteBlob(package, append_zero=True, type_=flexbuffers.Type.STRING)
        builder.Key("5")
        builder.Int(-1)
        builder.Key("6")
        builder.TypedVectorFromElements([18])
        builder.Key("7")
        builder.VectorFromElements([])
    return bytes(builder.Finish())


def executable(
    *,
    name: str,
    kind: int,
    parameters: int,
    token: int = 0,
    bitstream: int = 64,
    layers: tuple[str, ...] = (),
) -> bytes:
    """A serialized executable of executable.fbs."""
    builder = flatbuffers.Builder(1024)
    text, chip = builder.CreateString(name), builder.CreateString("beagle")
    weights = builder.CreateByteVector(bytes(parameters))
    bits = builder.CreateByteVector(bytes(bitstream))
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, bits, 0)
    bitstreams = _vector(builder, [builder.EndObject()])
    ends = _vector(builder, [_layer(builder, layer) for layer in layers])
    builder.StartObject(17)
    builder.PrependUOffsetTRelativeSlot(1, text, 0)
    builder.PrependUOffsetTRelativeSlot(5, bitstreams, 0)
    builder.PrependUOffsetTRelativeSlot(6, weights, 0)
    builder.PrependUOffsetTRelativeSlot(8, ends, 0)
    builder.PrependUOffsetTRelativeSlot(10, chip, 0)
    builder.PrependInt16Slot(13, kind, 0)
    builder.PrependUint64Slot(14, token, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _layer(builder: Any, name: str) -> int:
    text = builder.CreateString(name)
    builder.StartObject(11)
    builder.PrependUOffsetTRelativeSlot(0, text, 0)
    return int(builder.EndObject())


def edgetpu_package(executables: list[bytes], *, min_runtime_version: int = 12) -> bytes:
    """A serialized package of executable.fbs."""
    inner = flatbuffers.Builder(1024)
    parts = _vector(inner, [inner.CreateByteVector(part) for part in executables])
    inner.StartObject(1)
    inner.PrependUOffsetTRelativeSlot(0, parts, 0)
    inner.Finish(inner.EndObject())
    builder = flatbuffers.Builder(1024)
    multi = builder.CreateByteVector(bytes(inner.Output()))
    compiler = builder.CreateString("test")
    builder.StartObject(8)
    builder.PrependInt32Slot(0, min_runtime_version, 0)
    builder.PrependUOffsetTRelativeSlot(1, multi, 0)
    builder.PrependUOffsetTRelativeSlot(4, compiler, 0)
    builder.Finish(builder.EndObject(), b"DWN1")
    return bytes(builder.Output())


def _vector(builder: Any, places: list[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())
