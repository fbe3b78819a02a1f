"""Changed .tflite files: new tensors, and the object form of a model back as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd_converters.metadata_front import MAGIC

_ALIGN = 16


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """Begins every vector at a multiple of 16 bytes, as kernels want their weights."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:  # noqa: N802, N803
        return super().StartVector(elemSize, numElems, max(alignment, _ALIGN))


def pack(model: Any) -> bytes:
    """The bytes of `model`; the same model gives the same bytes."""
    builder = _AlignedBuilder(1 << 20)
    builder.Finish(model.Pack(builder), MAGIC)
    return bytes(builder.Output())


def indices(numbers: Iterable[int]) -> Any:
    """Numbers of tensors, as the schema holds them."""
    return np.fromiter(numbers, np.int32)


def add_activation(model: Any, like: Any, name: str) -> int:
    """The number of a new tensor of the shape and type of `like` that some operator will write."""
    tensor = copy(like)
    tensor.name, tensor.buffer = name.encode(), 0
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def add_constant(model: Any, like: Any, data: Any) -> int:
    """The number of a new tensor as `like`, with the stored bytes `data` of its own."""
    tensor, buffer = copy(like), schema.BufferT()
    buffer.data, tensor.buffer = data, len(model.buffers)
    model.buffers.append(buffer)
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def add_operator_code(model: Any, number: int, version: int) -> int:
    """The place of builtin operator `number` in the file's list, put there when it is missing."""
    for place, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version >= version:
            return place
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def sweep(model: Any) -> None:
    """Take out every operator, tensor and buffer that the output does not need."""
    graph = model.subgraphs[0]
    graph.operators = _needed_operators(graph)
    used = {int(t) for t in (*graph.inputs, *graph.outputs)}
    for operator in graph.operators:
        used |= {int(t) for t in (*operator.inputs, *operator.outputs) if t >= 0}
    place = {old: new for new, old in enumerate(sorted(used))} | {-1: -1}
    graph.tensors = [graph.tensors[old] for old in sorted(used)]
    for holder in (graph, *graph.operators):
        holder.inputs = indices(place[int(t)] for t in holder.inputs)
        holder.outputs = indices(place[int(t)] for t in holder.outputs)
    _sweep_buffers(model)
    _sweep_codes(model)


def _needed_operators(graph: Any) -> list[Any]:
    needed = {int(t) for t in graph.outputs}
    kept = []
    for operator in reversed(graph.operators):
        if needed & {int(t) for t in operator.outputs}:
            needed |= {int(t) for t in operator.inputs}
            kept.append(operator)
    return kept[::-1]


def _sweep_buffers(model: Any) -> None:
    # Buffer 0 is the empty one that activations point to, by agreement of the schema.
    holders = [*model.subgraphs[0].tensors, *(model.metadata or [])]
    used = sorted({0, *(holder.buffer for holder in holders)})
    place = {old: new for new, old in enumerate(used)}
    model.buffers = [model.buffers[old] for old in used]
    for holder in holders:
        holder.buffer = place[holder.buffer]


def _sweep_codes(model: Any) -> None:
    operators = model.subgraphs[0].operators
    used = sorted({operator.opcodeIndex for operator in operators})
    place = {old: new for new, old in enumerate(used)}
    model.operatorCodes = [model.operatorCodes[old] for old in used]
    for operator in operators:
        operator.opcodeIndex = place[operator.opcodeIndex]
