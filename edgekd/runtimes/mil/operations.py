"""`PRODUCTS` and `OPERATIONS`: what each operation of an ML Program computes, in float32 NumPy.

Definitions: coremltools' documentation of the MIL operations (iOS 15 to iOS 18).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ModelError
from edgekd.runtimes.mil.convolution import avg_pool, conv, max_pool
from edgekd.runtimes.mil.limits import Work, check_size

Arguments = Mapping[str, Any]
Operation = Callable[[Arguments], Any]
Product = Callable[[Arguments, Work], Any]

_CASTS = {"int32": np.int32, "bool": np.bool_}  # every float stays float32


def _unary(function: Callable[..., Any]) -> Operation:
    return lambda args: function(args["x"])


def _binary(function: Callable[..., Any]) -> Operation:
    def operation(args: Arguments) -> Any:
        check_size(np.broadcast_shapes(np.shape(args["x"]), np.shape(args["y"])))
        return function(args["x"], args["y"])

    return operation


def _reduce(function: Callable[..., Any]) -> Operation:
    def operation(args: Arguments) -> Any:
        axes = args.get("axes")
        chosen = None if axes is None else tuple(int(axis) for axis in axes)
        return function(args["x"], axis=chosen, keepdims=bool(args.get("keep_dims", False)))

    return operation


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(0.5 * np.tanh(0.5 * x) + 0.5, np.float32)  # no exp, so nothing overflows


def _softmax(args: Arguments) -> Any:
    axis = int(args.get("axis", -1))
    powers = np.exp(args["x"] - args["x"].max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def _gelu(args: Arguments) -> Any:
    x, mode = args["x"], args.get("mode", "EXACT")
    if mode == "SIGMOID_APPROXIMATION":
        return x * _sigmoid(np.float32(1.702) * x)
    if mode == "TANH_APPROXIMATION":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + np.float32(0.044715) * x**3)))
    from scipy.special import erf

    return 0.5 * x * (1 + erf(x / np.float32(math.sqrt(2))))


def _prelu(args: Arguments) -> Any:
    x = args["x"]
    slope = args["alpha"].reshape(-1, *[1] * (x.ndim - 2))
    return np.where(x < 0, x * slope, x)


def _batch_norm(args: Arguments) -> Any:
    x = args["x"]
    shape = (-1, *[1] * (x.ndim - 2))
    scale = args.get("gamma", 1) / np.sqrt(args["variance"] + args.get("epsilon", np.float32(1e-5)))
    offset = args.get("beta", 0) - args["mean"] * scale
    return x * np.reshape(scale, shape) + np.reshape(offset, shape)


def _layer_norm(args: Arguments) -> Any:
    x, axes = args["x"], tuple(int(axis) for axis in args["axes"])
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = np.square(centred).mean(axis=axes, keepdims=True)
    normal = centred / np.sqrt(variance + args.get("epsilon", np.float32(1e-5)))
    return normal * args.get("gamma", 1) + args.get("beta", 0)


def _linear(args: Arguments, work: Work) -> Any:
    work.spend(products=args["x"].size * len(args["weight"]))
    product = args["x"] @ args["weight"].T
    return product + args["bias"] if args.get("bias") is not None else product


def _matmul(args: Arguments, work: Work) -> Any:
    x = np.swapaxes(args["x"], -1, -2) if args.get("transpose_x", False) else args["x"]
    y = np.swapaxes(args["y"], -1, -2) if args.get("transpose_y", False) else args["y"]
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    check_size((*batch, x.shape[-2], y.shape[-1]))
    work.spend(products=math.prod((*batch, *x.shape[-2:], y.shape[-1])))
    return x @ y


def _reshape(args: Arguments) -> Any:
    x, shape = args["x"], [int(side) for side in args["shape"]]
    # 0 keeps the side of the input at that place.
    return np.reshape(x, [side or x.shape[place] for place, side in enumerate(shape)])


def _expand_dims(args: Arguments) -> Any:
    return np.expand_dims(args["x"], tuple(int(axis) for axis in args["axes"]))


def _squeeze(args: Arguments) -> Any:
    axes = args.get("axes")
    return np.squeeze(args["x"], None if axes is None else tuple(int(axis) for axis in axes))


def _pad(args: Arguments) -> Any:
    x: Any = args["x"]
    mode: Any = args.get("mode", "constant")
    pads = np.reshape(args["pad"], (-1, 2)).tolist()
    pads = [[0, 0]] * (x.ndim - len(pads)) + pads
    check_size(side + sum(pair) for side, pair in zip(x.shape, pads, strict=True))
    if x.ndim == 4:  # keep the channels last in memory
        x, pads = x.transpose(0, 2, 3, 1), [pads[place] for place in (0, 2, 3, 1)]
    filling = {"constant_values": args.get("constant_val", 0)} if mode == "constant" else {}
    padded: Any = np.pad(x, pads, mode={"replicate": "edge"}.get(mode, mode), **filling)
    return padded.transpose(0, 3, 1, 2) if x.ndim == 4 else padded


def _concat(args: Arguments) -> Any:
    if args.get("interleave", False):
        raise ModelError("interleaved concatenation")
    arrays, axis = args["values"], int(args["axis"])
    sides = list(arrays[0].shape)
    sides[axis] = sum(array.shape[axis] for array in arrays)
    check_size(sides)
    if arrays[0].ndim == 4:  # keep the channels last in memory
        order = (0, 2, 3, 1)
        joined = np.concatenate([array.transpose(order) for array in arrays], order.index(axis % 4))
        return joined.transpose(0, 3, 1, 2)
    return np.concatenate(arrays, axis)


def _split(args: Arguments) -> Any:
    axis = int(args["axis"])
    if args.get("split_sizes") is not None:
        return tuple(np.split(args["x"], np.cumsum(args["split_sizes"])[:-1], axis))
    return tuple(np.split(args["x"], int(args["num_splits"]), axis))


def _stack(args: Arguments) -> Any:
    check_size((len(args["values"]), *args["values"][0].shape))
    return np.stack(args["values"], int(args["axis"]))


def _tile(args: Arguments) -> Any:
    reps = [int(count) for count in args["reps"]]
    check_size(side * count for side, count in zip(args["x"].shape, reps, strict=True))
    return np.tile(args["x"], reps)


def _slice_by_index(args: Arguments) -> Any:
    x = args["x"]
    default = [False] * x.ndim
    chosen: list[Any] = []
    for begin, end, stride, from_first, to_last, one in zip(
        args["begin"],
        args["end"],
        args.get("stride", [1] * x.ndim),
        args.get("begin_mask", default),
        args.get("end_mask", default),
        args.get("squeeze_mask", default),
        strict=True,
    ):
        several = slice(None if from_first else int(begin), None if to_last else int(end), int(stride))
        chosen.append(int(begin) if one else several)
    return x[tuple(chosen)]


def _slice_by_size(args: Arguments) -> Any:
    pairs = zip(args["begin"], args["size"], strict=True)
    return args["x"][tuple(slice(int(b), None if n == -1 else int(b) + int(n)) for b, n in pairs)]


def _cast(args: Arguments) -> Any:
    return np.asarray(args["x"]).astype(_CASTS.get(args["dtype"], np.float32))


PRODUCTS: Mapping[str, Product] = {
    "conv": conv,
    "max_pool": max_pool,
    "avg_pool": avg_pool,
    "linear": _linear,
    "matmul": _matmul,
}
"""The operations whose work is more than a few steps per element; they count it before they begin."""

OPERATIONS: Mapping[str, Operation] = {
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "add": _binary(np.add),
    "sub": _binary(np.subtract),
    "mul": _binary(np.multiply),
    "real_div": _binary(np.divide),
    "maximum": _binary(np.maximum),
    "minimum": _binary(np.minimum),
    "pow": _binary(np.power),
    "relu": _unary(lambda x: np.maximum(x, np.float32(0))),
    "relu6": _unary(lambda x: np.clip(x, np.float32(0), np.float32(6))),
    "clip": lambda args: np.clip(args["x"], args["alpha"], args["beta"]),
    "sigmoid": _unary(_sigmoid),
    "sigmoid_hard": lambda args: np.clip(args["alpha"] * args["x"] + args["beta"], 0, 1),
    "silu": _unary(lambda x: x * _sigmoid(x)),
    "gelu": _gelu,
    "tanh": _unary(np.tanh),
    "leaky_relu": lambda args: np.where(args["x"] < 0, args["x"] * args["alpha"], args["x"]),
    "prelu": _prelu,
    "elu": lambda args: np.where(
        args["x"] < 0, args["alpha"] * np.expm1(np.minimum(args["x"], 0)), args["x"]
    ),
    "softplus": _unary(lambda x: np.logaddexp(x, np.float32(0))),
    "softmax": _softmax,
    "exp": _unary(np.exp),
    "sqrt": _unary(np.sqrt),
    "square": _unary(np.square),
    "abs": _unary(np.abs),
    "round": _unary(np.round),
    "floor": _unary(np.floor),
    "ceil": _unary(np.ceil),
    "rsqrt": lambda args: 1 / np.sqrt(args["x"] + args.get("epsilon", np.float32(1e-12))),
    "log": lambda args: np.log(args["x"] + args.get("epsilon", np.float32(1e-45))),
    "inverse": lambda args: 1 / (args["x"] + args.get("epsilon", np.float32(1e-4))),
    "reduce_mean": _reduce(np.mean),
    "reduce_sum": _reduce(np.sum),
    "reduce_max": _reduce(np.max),
    "reduce_min": _reduce(np.min),
    "reshape": _reshape,
    "transpose": lambda args: np.transpose(args["x"], [int(axis) for axis in args["perm"]]),
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "pad": _pad,
    "concat": _concat,
    "split": _split,
    "stack": _stack,
    "tile": _tile,
    "reverse": lambda args: np.flip(args["x"], tuple(int(axis) for axis in args["axes"])),
    "slice_by_index": _slice_by_index,
    "slice_by_size": _slice_by_size,
    "cast": _cast,
    "identity": _unary(lambda x: x),
}
"""All others, by the name a program uses."""
