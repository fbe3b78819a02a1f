"""What an Edge TPU compiles, operator by operator, as the vendor's documentation says.

Source: "TensorFlow models on the Edge TPU" (coral.ai/docs/edgetpu/models-intro), the table of supported
operations for compiler 16; those marked `older` stand in an older copy of that table only. The words of a
`status` are the compiler's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from edgekd_converters.edgetpu_graph import Network, Node, Tensor

MAPPED = "Mapped to Edge TPU"
SUBGRAPHS = "More than one subgraph is not supported"
LIMITED = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
DTYPE = "Operation is working on an unsupported data type"
RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"
VERSION = "Operation version not supported"
UNSUPPORTED = "Operation not supported"
STATUSES = (MAPPED, SUBGRAPHS, LIMITED, DTYPE, VERSION, RANK, UNSUPPORTED)

CACHE_BYTES = 8 << 20
_MAX_SOFTMAX = 16_000
_EIGHT_BITS = {"int8", "uint8"}


@dataclass(frozen=True)
class Breach:
    """A limit that an operator does not keep: the compiler's `status`, the `limit` in words, the tensor at
    fault; `certain` is false where the documentation only warns."""

    status: str
    limit: str
    tensor: Tensor | None = None
    certain: bool = True


Rule = Callable[[Node], Iterator[Breach]]


def breaches(node: Node) -> list[Breach]:
    """Every limit that `node` does not keep; empty for one that is mapped."""
    rule = RULES.get(node.operator)
    if rule is None:
        return [Breach(UNSUPPORTED, f"{node.operator} is not among the operations of the Edge TPU")]
    return [*_general(node), *_missing(node), *rule(node)]


def _general(node: Node) -> Iterator[Breach]:
    """What holds for every operator: 8 bits, fixed sizes, three dimensions."""
    for tensor in node.activations:
        if tensor.dtype not in _EIGHT_BITS:
            yield Breach(DTYPE, f"activations must be int8 or uint8, this one is {tensor.dtype}", tensor)
            return
        if not tensor.quantized:
            yield Breach(DTYPE, "activations must be quantized, this one has no scale", tensor)
        if tensor.open_sides:
            # An open batch is 1 at run time and may pass; what it leaves in the graph is found by itself.
            certain = tensor.open_sides != (0,)
            yield Breach(LIMITED, f"sizes must be fixed, {_opened(tensor)} is left open", tensor, certain)
        if any(side != 1 for side in tensor.shape[:-3]):
            yield Breach(
                RANK, f"only the 3 innermost sides may exceed 1, this one is {list(tensor.shape)}", tensor
            )


def _opened(tensor: Tensor) -> str:
    return (
        "the batch" if tensor.open_sides == (0,) else f"side {tensor.open_sides[-1]} of {list(tensor.shape)}"
    )


def _missing(node: Node) -> Iterator[Breach]:
    for place in _PARAMETERS.get(node.operator, ()):
        tensor = node.inputs[place] if place < len(node.inputs) else None
        if tensor is not None and tensor.data is None:
            yield Breach(LIMITED, f"parameters must be constant, input {place} is computed", tensor)


def _free(node: Node) -> Iterator[Breach]:
    del node
    return iter(())


def _dilation(node: Node) -> Iterator[Breach]:
    x, y = node.options.get("DilationWFactor", 1), node.options.get("DilationHFactor", 1)
    if x != y:
        yield Breach(LIMITED, f"dilation must be the same in x and y, got {x} and {y}")


def _unfused(node: Node) -> Iterator[Breach]:
    if node.options.get("FusedActivationFunction", 0):
        yield Breach(LIMITED, "no fused activation function")


def _concatenation(node: Node) -> Iterator[Breach]:
    yield from _unfused(node)
    for tensor in node.inputs:
        if tensor is None or tensor.data is None:
            continue
        zero = np.uint8(tensor.zero_point & 0xFF)
        if len(node.inputs) != 2:
            yield Breach(
                LIMITED, f"with a constant input there must be 2 inputs, got {len(node.inputs)}", tensor
            )
        elif tensor.dtype in _EIGHT_BITS and (tensor.data != zero).any():
            yield Breach(LIMITED, "a constant input must be all zeros", tensor)


def _fully_connected(node: Node) -> Iterator[Breach]:
    if node.options.get("WeightsFormat", 0):
        yield Breach(LIMITED, "weights must be in the default format")
    yield from _flat(node.outputs[:1], "the output")


def _flat(tensors: tuple[Tensor | None, ...], what: str) -> Iterator[Breach]:
    for tensor in tensors:
        if tensor is not None and len(tensor.sides) > 1:
            yield Breach(LIMITED, f"{what} must have one dimension, it is {list(tensor.shape)}", tensor)


def _reduction(node: Node) -> Iterator[Breach]:
    """Not over the batch. An axis that is not constant was reported as such."""
    if 0 in _axes(node):
        yield Breach(LIMITED, "no reduction over the batch", node.inputs[0])


def _mean(node: Node) -> Iterator[Breach]:
    yield from _reduction(node)
    image = node.inputs[0]
    if image is not None and image.shape and len(image.shape) - 1 in _axes(node) and image.shape[-1] % 4:
        yield Breach(LIMITED, f"when z is reduced it must be a multiple of 4, it is {image.shape[-1]}", image)


def _axes(node: Node) -> set[int]:
    image, axes = _first(node), node.inputs[1] if len(node.inputs) > 1 else None
    rank = len(image.shape) if image is not None else 0
    return {axis % rank for axis in (axes.integers() or ()) if rank} if axes is not None else set()


def _pack(node: Node) -> Iterator[Breach]:
    rank = max((len(tensor.shape) for tensor in node.outputs), default=0)
    if rank and node.options.get("Axis", 0) % rank == 0:
        yield Breach(LIMITED, "no packing in the batch dimension")


def _pad(node: Node) -> Iterator[Breach]:
    image, pads = _first(node), node.inputs[1] if len(node.inputs) > 1 else None
    amounts = pads.integers() if pads is not None else None
    if amounts and image is not None and len(image.shape) == 4 and any(amounts[:2]):
        yield Breach(LIMITED, f"no padding in the batch dimension, got {list(amounts[:2])}", image)


def _prelu(node: Node) -> Iterator[Breach]:
    yield from _flat(node.inputs[1:2], "alpha")


def _reshape(node: Node) -> Iterator[Breach]:
    image = _first(node)
    if image is not None and len(image.sides) > 1:
        yield Breach(
            LIMITED,
            f"a large tensor may not be mapped; this one is {list(image.shape)}",
            image,
            certain=False,
        )


def _resize(node: Node) -> Iterator[Breach]:
    image = _first(node)
    if image is not None:
        yield Breach(
            LIMITED,
            f"depending on its sizes it may not be mapped; this one is {list(image.shape)}",
            image,
            certain=False,
        )


def _softmax(node: Node) -> Iterator[Breach]:
    yield from _flat(node.inputs[:1], "the input")
    image = _first(node)
    if image is not None and prod(image.shape) > _MAX_SOFTMAX:
        yield Breach(LIMITED, f"at most {_MAX_SOFTMAX} values, got {prod(image.shape)}", image)


def _squeeze(node: Node) -> Iterator[Breach]:
    """Only leading sides of 1 may go: taking one out between larger ones would move data."""
    image, result = _first(node), node.outputs[0] if node.outputs else None
    if image is None or result is None:
        return
    gone = len(image.shape) - len(result.shape)
    if image.shape[gone:] != result.shape:
        yield Breach(LIMITED, f"only leading sides of 1 may be squeezed, got {list(image.shape)}", image)


def _strided_slice(node: Node) -> Iterator[Breach]:
    strides = node.inputs[3] if len(node.inputs) > 3 else None
    steps = strides.integers() if strides is not None else None
    if steps and any(step != 1 for step in steps):
        yield Breach(LIMITED, f"all strides must be 1, got {list(steps)}", strides)


def _first(node: Node) -> Tensor | None:
    return node.inputs[0] if node.inputs else None


RULES: Mapping[str, Rule] = {
    "ADD": _free,
    "AVERAGE_POOL_2D": _unfused,
    "CONCATENATION": _concatenation,
    "CONV_2D": _dilation,
    "DEPTHWISE_CONV_2D": _dilation,
    "EXPAND_DIMS": _free,
    "FULLY_CONNECTED": _fully_connected,
    "L2_NORMALIZATION": _free,
    "LOGISTIC": _free,
    "MAXIMUM": _free,
    "MAX_POOL_2D": _unfused,
    "MEAN": _mean,
    "MINIMUM": _free,
    "MUL": _free,
    "PACK": _pack,
    "PAD": _pad,
    "PRELU": _prelu,
    "QUANTIZE": _free,
    "REDUCE_MAX": _reduction,
    "REDUCE_MIN": _reduction,
    "RELU": _free,
    "RELU6": _free,
    "RELU_N1_TO_1": _free,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,  # older
    "SLICE": _free,  # older
    "SOFTMAX": _softmax,  # older
    "SPACE_TO_DEPTH": _free,  # older
    "SPLIT": _free,  # older
    "SQUEEZE": _squeeze,  # older
    "STRIDED_SLICE": _strided_slice,  # older
    "SUB": _free,  # older
    "TANH": _free,  # older
    "TRANSPOSE": _free,
    "TRANSPOSE_CONV": _free,
}
"""The operations the Edge TPU has, and the limits of each."""

_PARAMETERS: Mapping[str, tuple[int, ...]] = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "EXPAND_DIMS": (1,),
    "FULLY_CONNECTED": (1, 2),
    "MEAN": (1,),
    "PAD": (1,),
    "PRELU": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "SLICE": (1, 2),
    "SPLIT": (0,),
    "STRIDED_SLICE": (1, 2, 3),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0, 1, 3),
}
"""Which inputs of an operator are parameters, by place."""


def float_ends(network: Network) -> set[int]:
    """The numbers of the QUANTIZE of a float input and the DEQUANTIZE of an output.

    The compiler leaves them on the CPU without cutting the graph there.
    """
    return {
        node.number
        for node in network.nodes
        if _reads(node, network.inputs, "QUANTIZE") or _writes(node, network.outputs, "DEQUANTIZE")
    }


def _reads(node: Node, inputs: tuple[int, ...], operator: str) -> bool:
    return node.operator == operator and any(
        tensor is not None and tensor.number in inputs and tensor.dtype == "float32" for tensor in node.inputs
    )


def _writes(node: Node, outputs: tuple[int, ...], operator: str) -> bool:
    return node.operator == operator and any(tensor.number in outputs for tensor in node.outputs)
