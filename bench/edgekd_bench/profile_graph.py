"""The operators of a file as work: multiply-adds, bytes and layer; which kernel of the engine did which."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekd.errors import ModelError
from edgekd_bench.profile_litert import Event
from edgekd_converters.inspect import inspect_tflite
from edgekd_converters.layers_graph import layer_names, operator_kind, read_graph
from edgekd_converters.metadata_front import read_model

_SIDES_PER_OUTPUT: Mapping[str, slice] = {
    "CONV_2D": slice(1, None),  # weights [out, height, width, in]
    "DEPTHWISE_CONV_2D": slice(1, 3),  # [1, height, width, out]
    "FULLY_CONNECTED": slice(1, None),  # [out, in]
}
_NO_MACS = ("RESHAPE", "PAD", "CONCATENATION", "QUANTIZE", "DEQUANTIZE", "CAST", "TRANSPOSE", "STRIDED_SLICE")
_ITEM_BYTES = {"FLOAT64": 8, "INT64": 8, "UINT64": 8, "FLOAT32": 4, "INT32": 4, "UINT32": 4}
_ITEM_BYTES |= {"FLOAT16": 2, "BFLOAT16": 2, "INT16": 2, "UINT16": 2}
_TYPES = {code: name for name, code in vars(schema.TensorType).items() if name[0] != "_"}
_MAX_CELLS = 25_000_000
_EIGHT_BIT = ("QS8", "QU8", "QC8", "QD8", "QP8")

# What XNNPACK calls the kernels that may do an operator of the file.
_KERNELS: Mapping[str, tuple[str, ...]] = {
    "CONV_2D": ("Convolution", "Fully Connected"),
    "DEPTHWISE_CONV_2D": ("Convolution",),
    "FULLY_CONNECTED": ("Fully Connected", "Batch Matrix Multiply", "Dynamic Fully Connected"),
    "TRANSPOSE_CONV": ("Deconvolution",),
    "ADD": ("Add",),
    "SUB": ("Subtract",),
    "MUL": ("Multiply",),
    "DIV": ("Divide",),
    "MAXIMUM": ("Maximum",),
    "MINIMUM": ("Minimum",),
    "MEAN": ("Mean", "Global Average Pooling"),
    "SUM": ("Sum",),
    "AVERAGE_POOL_2D": ("Average Pooling", "Global Average Pooling"),
    "MAX_POOL_2D": ("Max Pooling",),
    "RESHAPE": ("Static Reshape", "Copy"),
    "PAD": ("Constant Pad", "Static Constant Pad"),
    "CONCATENATION": ("Concatenate", "Copy"),
    "SOFTMAX": ("Softmax", "SoftMax"),
    "LOGISTIC": ("Sigmoid",),
    "TANH": ("Tanh",),
    "HARD_SWISH": ("HardSwish", "Hardswish"),
    "RELU": ("Clamp",),
    "RELU6": ("Clamp",),
    "PRELU": ("PReLU", "Leaky ReLU"),
    "LEAKY_RELU": ("Leaky ReLU",),
    "QUANTIZE": ("Convert",),
    "DEQUANTIZE": ("Convert",),
    "CAST": ("Convert",),
    "RESIZE_BILINEAR": ("Resize Bilinear", "Static Resize Bilinear"),
    "TRANSPOSE": ("Transpose", "Static Transpose"),
    "STRIDED_SLICE": ("Slice", "Static Slice"),
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operator of the file.

    `macs` are multiply-adds for one run, null for kinds that are not counted. `bytes_moved` is what has to
    cross once: inputs, constants and outputs, a side left open counted as 1. `eight_bit`: it writes 8-bit
    values.
    """

    number: int
    kind: str
    layer: str
    macs: int | None
    bytes_moved: int
    eight_bit: bool


def operations(path: Path) -> tuple[Operation, ...]:
    """The operators of the first subgraph of `path`, in running order.

    Raises:
        ModelError: the file cannot be read, or is damaged.
    """
    inspect_tflite(path, run=False)  # bounds first: what follows believes the file
    model = schema.ModelT.InitFromPackedBuf(read_model(path), 0)
    names, tensors = _layer_names(path), model.subgraphs[0].tensors
    return tuple(
        _operation(number, operator_kind(model, operator), operator, tensors, names.get(number))
        for number, operator in enumerate(model.subgraphs[0].operators or [])
    )


def _layer_names(path: Path) -> dict[int, str]:
    """Layers by the place of their operator, as far as the file is one straight network."""
    try:
        graph = read_graph(path)
    except ModelError:
        return {}
    return {node.number: name for node, name in zip(graph.nodes, layer_names(graph), strict=True)}


def _operation(number: int, kind: str, operator: Any, tensors: Sequence[Any], layer: str | None) -> Operation:
    ins = [] if operator.inputs is None else [tensors[t] for t in operator.inputs if t >= 0]
    outs = [] if operator.outputs is None else [tensors[t] for t in operator.outputs]
    return Operation(
        number=number,
        kind=kind,
        layer=layer or kind.lower(),
        macs=_macs(kind, ins, outs),
        bytes_moved=sum(_bytes(tensor) for tensor in (*ins, *outs)),
        eight_bit=bool(outs) and _type(outs[0]) in {"INT8", "UINT8"},
    )


def _macs(kind: str, ins: Sequence[Any], outs: Sequence[Any]) -> int | None:
    if kind in _NO_MACS:
        return 0
    if kind not in _SIDES_PER_OUTPUT or len(ins) < 2 or not outs:
        return None
    return math.prod(_shape(outs[0])) * math.prod(_shape(ins[1])[_SIDES_PER_OUTPUT[kind]])


def _bytes(tensor: Any) -> int:
    return math.prod(_shape(tensor)) * _ITEM_BYTES.get(_type(tensor), 1)


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(max(1, int(side)) for side in tensor.shape)


def _type(tensor: Any) -> str:
    return str(_TYPES.get(tensor.type, ""))


def assign(events: Sequence[Event], operations: Sequence[Operation]) -> list[Operation | None]:
    """For each event the operator it did; None for a kernel that the file does not name.

    A delegate tells the names of its kernels and their order, not which operator they do. As the order is
    that of the file, this is the longest common subsequence under "may this kernel do that operator"; events
    outside of a delegate know their place and settle it.

    Raises:
        ModelError: more than some thousand operators.
    """
    rows, columns = len(events), len(operations)
    if rows * columns > _MAX_CELLS:
        raise ModelError(f"{rows} kernels for {columns} operators: too many to tell which did which")
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            both = 1 + best[i + 1][j + 1] if _may_do(events[i], operations[j]) else 0
            best[i][j] = max(best[i + 1][j], best[i][j + 1], both)
    found: list[Operation | None] = []
    j = 0
    for i, event in enumerate(events):
        while j < columns and best[i][j] == best[i][j + 1] and best[i][j] > best[i + 1][j]:
            j += 1
        taken = j < columns and _may_do(event, operations[j]) and best[i][j] == 1 + best[i + 1][j + 1]
        found.append(operations[j] if taken else None)
        j += taken
    return found


def _may_do(event: Event, operation: Operation) -> bool:
    if event.number is not None:
        return event.number == operation.number
    if "DWConv" in event.kernel and operation.kind == "CONV_2D":
        return False
    return event.kernel.startswith(_KERNELS.get(operation.kind, ()))


def runs_in_eight_bits(event: Event, operation: Operation | None) -> bool:
    """Whether 8-bit numbers are multiplied: in a dynamic-range layer they are, though it writes floats."""
    named = any(mark in event.kernel for mark in _EIGHT_BIT)
    return named or (event.number is not None and operation is not None and operation.eight_bit)
