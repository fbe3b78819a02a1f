"""What the tensors of a .tflite file stand for, and what may be wrong with its constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgekd.errors import ModelError
from edgekd_converters.layers_graph import Graph, Node

Reals = NDArray[np.float64]

_DTYPES: dict[int, str] = {
    code: name.lower() for name, code in vars(schema.TensorType).items() if name[0] != "_"
}
_NO_STEP = np.zeros(1)

PER_OUTPUT: Mapping[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "CONV_2D": lambda weights: weights[1:],
    "DEPTHWISE_CONV_2D": lambda weights: weights[1:3],
    "FULLY_CONNECTED": lambda weights: weights[1:],
}
"""The sides of a weight tensor that one output value multiplies with."""

_CHANNELS_LAST = {"DEPTHWISE_CONV_2D"}
_PLAIN = {"int8", "uint8", "int16", "int32", "int64", "float32", "float16"}


def macs(graph: Graph, node: Node) -> int:
    """The multiplications of a convolution or dense layer for one image; 0 for other operators."""
    sides = PER_OUTPUT.get(node.kind)
    if sides is None:
        return 0
    return math.prod(graph.shape(node.output)) * math.prod(sides(graph.shape(node.inputs[1])))


def dequantize(graph: Graph, tensor: int, stored: NDArray[Any]) -> Reals:
    """The real values that `stored` stands for: scale · (stored − zero point), by channel if it says so."""
    scales, zeros, axis = quantization(graph.tensors[tensor])
    if not len(scales):
        return stored.astype(np.float64)
    step, zero = (_along(values.astype(np.float64), stored.ndim, axis) for values in (scales, zeros))
    return np.asarray((stored.astype(np.float64) - zero) * step)


def _along(values: Reals, dimensions: int, axis: int) -> Reals:
    """`values`, one or one a channel, shaped to be multiplied with an array along `axis`."""
    sides = [1] * dimensions
    if len(values) > 1:
        sides[axis] = len(values)
    return values.reshape(sides)


def weights(graph: Graph, node: Node) -> Reals | None:
    """The real values of a layer's weights; None for a layer without.

    Raises:
        ModelError: their type has no plain values here, or their bytes do not fill their shape.
    """
    if node.kind not in PER_OUTPUT:
        return None
    return constant(graph, node.inputs[1])


def constant(graph: Graph, tensor: int) -> Reals:
    """The real values of a constant tensor.

    Raises:
        ModelError: its type has no plain values here, or its bytes do not fill its shape.
    """
    return dequantize(graph, tensor, _stored(graph, tensor))


def share_off(exact: Graph, ours: Node, rounded: Graph, theirs: Node) -> float | None:
    """The share of weights that lie over one step from those of `exact`; None for a layer without weights.

    Rounding moves a weight by half a step at most: anything above 0 says that the two files do not hold the
    same weights.
    """
    before, after = weights(exact, ours), weights(rounded, theirs)
    if before is None or after is None:
        return None
    scales, _, axis = quantization(rounded.tensors[theirs.inputs[1]])
    step = _along(scales.astype(np.float64), after.ndim, axis) if len(scales) else _NO_STEP
    return float((np.abs(before - after) > step).mean())


def _stored(graph: Graph, tensor: int) -> NDArray[Any]:
    kind, shape, data = dtype(graph, tensor), graph.shape(tensor), graph.data(tensor)
    if kind not in _PLAIN or len(data) != math.prod(shape) * np.dtype(kind).itemsize:
        raise ModelError(
            f"{graph.path}: constant tensor {tensor} ({kind} {list(shape)}) holds {len(data)} bytes"
        )
    return np.frombuffer(data, kind).reshape(shape)


def dtype(graph: Graph, tensor: int) -> str:
    """The name of a tensor's type."""
    return _DTYPES.get(graph.tensors[tensor].type, "unknown")


def zero_channels(graph: Graph, node: Node) -> int:
    """How many output channels have nothing but stored zeros for weights."""
    if node.kind not in PER_OUTPUT:
        return 0
    stored = _stored(graph, node.inputs[1])
    axis = stored.ndim - 1 if node.kind in _CHANNELS_LAST else 0
    others = tuple(n for n in range(stored.ndim) if n != axis)
    return int((~stored.any(axis=others)).sum())


def bias_at_limit(graph: Graph, node: Node) -> int:
    """How many offsets sit at an end of their integer range."""
    if node.kind not in PER_OUTPUT or len(node.inputs) < 3 or node.inputs[2] < 0:
        return 0
    stored = _stored(graph, node.inputs[2])
    if not np.issubdtype(stored.dtype, np.integer):
        return 0
    limits = np.iinfo(stored.dtype)
    return int(((stored == limits.min) | (stored == limits.max)).sum())


def quantization(tensor: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], int]:
    """Scales float32 [k] (empty for a float tensor), zero points int64 [k] and the axis they belong to."""
    found = tensor.quantization
    if found is None or found.scale is None or len(found.scale) == 0:
        return np.empty(0, np.float32), np.empty(0, np.int64), 0
    scales = np.asarray(found.scale, np.float32)
    given = found.zeroPoint
    zeros = np.zeros(len(scales), np.int64) if given is None else np.asarray(given, np.int64)
    return scales, zeros, int(found.quantizedDimension)
