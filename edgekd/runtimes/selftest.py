"""A one-operator network, so that "this engine answers" is an observation."""

from __future__ import annotations

import tempfile
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd.runtimes.litert import open_interpreter, ports

_VALUES = np.array([-1.0, 0.0, 2.0], np.float32)


def relu_answers(kernels: str) -> bool:
    """Whether LiteRT's `kernels` compute max(x, 0) right.

    Raises:
        ModelError: the network cannot be loaded.
        UnknownNameError: there are no such kernels.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "relu.tflite"
        path.write_bytes(relu_network(len(_VALUES)))
        interpreter = open_interpreter(path, kernels=kernels)
        (image,), (answer,) = ports(interpreter)
        interpreter.set_tensor(image.index, _VALUES)
        interpreter.invoke()
        return bool(np.array_equal(interpreter.get_tensor(answer.index), np.maximum(_VALUES, 0)))


def relu_network(size: int) -> bytes:
    """The .tflite file of y = max(x, 0) for float32 [size]."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    code.version = 1
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0], [1]
    graph = schema.SubGraphT()
    graph.tensors = [_tensor("x", size), _tensor("y", size)]
    graph.inputs, graph.outputs, graph.operators = [0], [1], [operator]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str, size: int) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = (
        name.encode(),
        [size],
        schema.TensorType.FLOAT32,
        0,
    )
    return tensor
