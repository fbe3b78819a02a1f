"""Which operators TensorFlow Lite's GPU delegate takes, as its source says.

Source: tensorflow/tensorflow, `CheckGpuDelegateCompatibility` in
tensorflow/lite/tools/versioning/gpu_compatibility.cc and the types in
tensorflow/lite/delegates/gpu/common/model_builder.cc. The accelerators of LiteRT 2 descend from it and take
more: what a given one does is found by running it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from edgekd_converters.edgetpu_graph import Node

SOURCE = "tensorflow/lite/tools/versioning/gpu_compatibility.cc"
_DTYPES = {"float16", "float32", "int8", "uint8", "int32", "bool"}
_CASTS = {
    *(("bool", "float16"), ("bool", "float32"), ("float16", "bool"), ("float32", "bool")),
    *(("float32", "float32"), ("float32", "int32"), ("int32", "float32"), ("int32", "int32")),
}

Reasons = Iterator[str]


def refusals(node: Node) -> list[str]:
    """Why the GPU delegate leaves `node` to the CPU; empty when it takes it."""
    rule = RULES.get(node.operator)
    if rule is None:
        return ["the operation is not supported"]
    return [*_types(node), *rule(node)]


def _types(node: Node) -> Reasons:
    for tensor in node.activations:
        if tensor.dtype not in _DTYPES:
            yield f"{tensor.dtype} activations are not supported"
            return


def _free(node: Node) -> Reasons:
    del node
    return iter(())


def _cast(node: Node) -> Reasons:
    kinds = tuple(tensor.dtype for tensor in node.tensors[:2])
    if kinds not in _CASTS:
        yield f"a cast from {' to '.join(kinds)} is not supported"


def _dequantize(node: Node) -> Reasons:
    if any(tensor is not None and tensor.dtype == "int16" for tensor in node.inputs):
        yield "int16 is not dequantized"


def _fully_connected(node: Node) -> Reasons:
    if node.options.get("WeightsFormat", 0):
        yield "weights must be in the default format"


def _constant_axes(node: Node) -> Reasons:
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    if axes is None or axes.integers() is None:
        yield "axes must be a constant of int32"


def _pad(node: Node) -> Reasons:
    amounts = node.inputs[1] if len(node.inputs) > 1 else None
    if amounts is None or amounts.shape not in ((3, 2), (4, 2)):
        yield "paddings must be 3 × 2 or 4 × 2"


def _rank(node: Node) -> Reasons:
    image = node.inputs[0] if node.inputs else None
    if image is None or len(image.shape) not in (3, 4):
        yield "only tensors of 3 or 4 dimensions"


_FREE = """
    ABS ADD ADD_N ATAN2 AVERAGE_POOL_2D BATCH_MATMUL CEIL CONCATENATION CONV_2D COS CUMSUM DENSIFY
    DEPTHWISE_CONV_2D DEPTH_TO_SPACE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP FLOOR
    FLOOR_DIV FLOOR_MOD GATHER GELU GREATER GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGISTIC LSTM MAXIMUM MAX_POOL_2D MINIMUM MUL NEG NOT_EQUAL ONE_HOT PACK POW PRELU
    QUANTIZE RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SELECT
    SELECT_V2 SIGN SIN SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE
    STABLEHLO_CLAMP SUB TANH TILE TRANSPOSE TRANSPOSE_CONV
""".split()  # noqa: SIM905 - else seventy lines

RULES: Mapping[str, Callable[[Node], Reasons]] = {
    **dict.fromkeys(_FREE, _free),
    "CAST": _cast,
    "DEQUANTIZE": _dequantize,
    "FULLY_CONNECTED": _fully_connected,
    **dict.fromkeys(("MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SUM"), _constant_axes),
    **dict.fromkeys(("MIRROR_PAD", "PAD", "PADV2"), _pad),
    **dict.fromkeys(("SLICE", "STRIDED_SLICE"), _rank),
}
"""The operations the delegate has; of its conditions those that image classifiers can break."""
