"""Every operation of the evaluator against its definition, written out another way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.special

from edgekd.errors import ModelError
from edgekd.runtimes.mil import limits
from edgekd.runtimes.mil.constexpr import CONSTEXPR
from edgekd.runtimes.mil.limits import Work
from edgekd.runtimes.mil.operations import OPERATIONS, PRODUCTS
from edgekd.runtimes.mil.values import unpack

# A sum of at most 200 float32 products of order one, each rounded to 2⁻²⁴.
ATOL = 200 * 2.0**-24


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).normal(size=shape).astype(np.float32)


def borders(kind: str, sides, reach, strides, pad):
    """The border before and after each side, from the number of outputs asked for."""
    if kind == "valid":
        return [(0, 0)] * 2
    if kind == "custom":
        return [(pad[0], pad[1]), (pad[2], pad[3])]
    totals = [
        max((int(np.ceil(n / s)) - 1) * s + r - n, 0) for n, r, s in zip(sides, reach, strides, strict=True)
    ]
    halves = [(t // 2, t - t // 2) for t in totals]
    return halves if kind == "same" else [pair[::-1] for pair in halves]


def windows(x, kernel, strides, dilations, pads, filling=0.0):
    """[n, c, oh, ow, kh, kw], one window at a time."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *pads), constant_values=filling)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    tops, lefts = (range(0, n - r + 1, s) for n, r, s in zip(x.shape[2:], reach, strides, strict=True))
    rows = [
        [
            x[:, :, top : top + reach[0] : dilations[0], left : left + reach[1] : dilations[1]]
            for left in lefts
        ]
        for top in tops
    ]
    return np.array(rows).transpose(2, 3, 0, 1, 4, 5)


CONVOLUTIONS = [
    dict(zip(("groups", "out", "kernel", "strides", "dilations", "kind"), case, strict=True))
    for case in itertools.product(
        (1, 2, 6), (6, 12), ((1, 1), (3, 2)), ((1, 1), (2, 1), (3, 2)), ((1, 1), (2, 1)),
        ("valid", "same", "same_lower", "custom"),
    )
]  # fmt: skip


def test_convolutions_of_every_kind():
    x, pad = numbers(2, 6, 11, 8), (2, 1, 0, 3)
    for number, case in enumerate(CONVOLUTIONS):
        groups, kernel, dilations, strides = (
            case[key] for key in ("groups", "kernel", "dilations", "strides")
        )
        weight, bias = numbers(case["out"], 6 // groups, *kernel, seed=number), numbers(case["out"])
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        pads = borders(case["kind"], x.shape[2:], reach, strides, pad)
        found = windows(x, kernel, strides, dilations, pads)
        parts = np.split(found, groups, 1)
        expected = np.concatenate(
            [
                np.einsum("nchwij,ocij->nohw", part, kernels.astype(np.float64))
                for part, kernels in zip(parts, np.split(weight, groups), strict=True)
            ],
            1,
        ) + bias.reshape(-1, 1, 1)
        arguments = {
            "x": x, "weight": weight, "bias": bias, "groups": groups, "strides": strides,
            "dilations": dilations, "pad_type": case["kind"], "pad": pad,
        }  # fmt: skip
        result = PRODUCTS["conv"](arguments, Work())
        np.testing.assert_allclose(result, expected, rtol=0, atol=ATOL, err_msg=str(case))
        without = PRODUCTS["conv"](arguments | {"bias": None}, Work())
        assert np.abs(without - expected).max() > 0.1  # a dropped bias would be noticed


@pytest.mark.parametrize("kind", ["valid", "same", "same_lower", "custom"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
def test_poolings_of_every_kind(kind, strides):
    x, kernel, pad = numbers(2, 3, 9, 7), (3, 2), (1, 2, 1, 0)
    pads = borders(kind, x.shape[2:], kernel, strides, pad)
    arguments = {"x": x, "kernel_sizes": kernel, "strides": strides, "pad_type": kind, "pad": pad}
    largest = windows(x, kernel, strides, (1, 1), pads, -np.inf).max((4, 5))
    np.testing.assert_array_equal(PRODUCTS["max_pool"](arguments, Work()), largest.astype(np.float32))
    found = windows(x, kernel, strides, (1, 1), pads)
    inside = windows(np.ones_like(x), kernel, strides, (1, 1), pads)
    mean = PRODUCTS["avg_pool"](arguments | {"exclude_padding_from_average": False}, Work())
    np.testing.assert_allclose(mean, found.mean((4, 5)), rtol=0, atol=ATOL)
    mean = PRODUCTS["avg_pool"](arguments | {"exclude_padding_from_average": True}, Work())
    np.testing.assert_allclose(mean, found.sum((4, 5)) / inside.sum((4, 5)), rtol=0, atol=ATOL)


X, Y = numbers(2, 3, 4, 5), numbers(2, 3, 4, 5, seed=1)
V = numbers(3, seed=2)
AFTER_EPSILON = np.abs(X) + np.float32(0.25)
ELEMENTWISE = [
    ("add", {"x": X, "y": Y}, X + Y),
    ("sub", {"x": X, "y": Y}, X - Y),
    ("mul", {"x": X, "y": Y}, X * Y),
    ("real_div", {"x": X, "y": Y}, X / Y),
    ("maximum", {"x": X, "y": Y}, np.where(X > Y, X, Y)),
    ("minimum", {"x": X, "y": Y}, np.where(X < Y, X, Y)),
    ("pow", {"x": abs(X), "y": Y}, np.exp(Y * np.log(abs(X)))),
    ("relu", {"x": X}, X * (X > 0)),
    ("relu6", {"x": 5 * X}, np.where(5 * X < 0, 0, np.where(5 * X > 6, 6, 5 * X))),
    ("clip", {"x": X, "alpha": -0.5, "beta": 0.25}, np.where(X < -0.5, -0.5, np.where(X > 0.25, 0.25, X))),
    ("sigmoid", {"x": 40 * X}, scipy.special.expit(40 * X)),
    ("sigmoid_hard", {"x": X, "alpha": 0.5, "beta": 0.5}, np.minimum(np.maximum(0.5 * X + 0.5, 0), 1)),
    ("silu", {"x": X}, X * scipy.special.expit(X)),
    ("gelu", {"x": X, "mode": "EXACT"}, X * scipy.special.ndtr(X)),
    ("gelu", {"x": X, "mode": "SIGMOID_APPROXIMATION"}, X * scipy.special.expit(1.702 * X)),
    ("tanh", {"x": X}, 1 - 2 / (np.exp(2 * X) + 1)),
    ("leaky_relu", {"x": X, "alpha": 0.2}, X * np.where(X < 0, 0.2, 1)),
    ("prelu", {"x": X, "alpha": V}, np.where(X < 0, np.einsum("nchw,c->nchw", X, V), X)),
    ("elu", {"x": X, "alpha": 1.5}, np.where(X < 0, 1.5 * (np.exp(X) - 1), X)),
    ("softplus", {"x": X}, np.log(1 + np.exp(X))),
    ("softmax", {"x": X, "axis": -1}, scipy.special.softmax(X, -1)),
    ("exp", {"x": X}, 2.0 ** (X / np.log(2))),
    ("sqrt", {"x": abs(X)}, abs(X) ** 0.5),
    ("square", {"x": X}, X**2),
    ("abs", {"x": X}, np.where(X < 0, -X, X)),
    ("round", {"x": np.float32([0.5, 1.5, -0.4])}, [0, 2, 0]),
    ("floor", {"x": np.float32([0.5, -0.5])}, [0, -1]),
    ("ceil", {"x": np.float32([0.5, -0.5])}, [1, 0]),
    ("rsqrt", {"x": abs(X), "epsilon": np.float32(0.25)}, AFTER_EPSILON**-0.5),
    ("log", {"x": abs(X), "epsilon": np.float32(0.25)}, np.log(AFTER_EPSILON)),
    ("inverse", {"x": abs(X), "epsilon": np.float32(0.25)}, AFTER_EPSILON**-1),
    ("identity", {"x": X}, X),
    ("cast", {"x": X, "dtype": "fp16"}, X),
    ("cast", {"x": 3 * X, "dtype": "int32"}, np.trunc(3 * X)),
]
SHAPES = [
    ("reduce_mean", {"x": X, "axes": [2, 3], "keep_dims": True},
     np.einsum("nchw->nc", X).reshape(2, 3, 1, 1) / 20),
    ("reduce_sum", {"x": X, "axes": [-1], "keep_dims": False}, np.einsum("nchw->nch", X)),
    ("reduce_max", {"x": X, "axes": [1]}, np.sort(X, 1)[:, -1]),
    ("reduce_min", {"x": X, "axes": [1]}, np.sort(X, 1)[:, 0]),
    ("reshape", {"x": X, "shape": [0, -1, 5]}, X.reshape(2, 12, 5)),
    ("transpose", {"x": X, "perm": [0, 2, 3, 1]}, np.einsum("nchw->nhwc", X)),
    ("expand_dims", {"x": X, "axes": [0, -1]}, X.reshape(1, 2, 3, 4, 5, 1)),
    ("squeeze", {"x": X[:1], "axes": [0]}, X[0]),
    ("reverse", {"x": X, "axes": [1]}, X[:, ::-1]),
    ("concat", {"values": [X, Y], "axis": 1}, np.stack([X, Y], 1).reshape(2, 6, 4, 5)),
    ("concat", {"values": [X, Y], "axis": -1}, np.stack([X, Y], 3).reshape(2, 3, 4, 10)),
    ("concat", {"values": [V, V], "axis": 0}, np.append(V, V)),
    ("stack", {"values": [V, V + 1], "axis": 1}, np.array([V, V + 1]).T),
    ("tile", {"x": V, "reps": [2]}, np.append(V, V)),
    ("slice_by_size", {"x": X, "begin": [0, 1, 0, 2], "size": [2, 1, -1, 2]}, X[:, 1:2, :, 2:4]),
    ("slice_by_index", {"x": X, "begin": [0, 1, 3, 0], "end": [9, 0, 0, 4], "stride": [1, 1, -2, 1],
                        "begin_mask": [False] * 3 + [True], "end_mask": [True, False, True, False],
                        "squeeze_mask": [False, True, False, False]}, X[:, 1, 3::-2, :4]),
    ("batch_norm", {"x": X, "mean": V, "variance": V**2, "gamma": V + 2, "beta": -V,
                    "epsilon": np.float32(0.1)},
     np.einsum("nchw,c->nchw", X - V.reshape(3, 1, 1), (V + 2) / np.sqrt(V**2 + np.float32(0.1)))
     - V.reshape(3, 1, 1)),
    ("layer_norm", {"x": X, "axes": [-1], "epsilon": np.float32(0.1)},
     (X - X.mean(-1)[..., None]) / np.sqrt(X.var(-1)[..., None] + 0.1)),
    ("pad", {"x": X, "pad": [1, 2, 0, 3], "mode": "constant", "constant_val": 7.0},
     np.pad(X, ((0, 0), (0, 0), (1, 2), (0, 3)), constant_values=7)),
    ("pad", {"x": X, "pad": [1, 1, 2, 0], "mode": "reflect"},
     np.pad(X, ((0, 0), (0, 0), (1, 1), (2, 0)), "reflect")),
    ("pad", {"x": V, "pad": [1, 1], "mode": "replicate"}, V[[0, 0, 1, 2, 2]]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "expected"), ELEMENTWISE + SHAPES)
def test_an_operation_computes_its_definition(name, arguments, expected):
    result = OPERATIONS[name](arguments)
    assert result.shape == np.shape(expected)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_split_gives_every_part():
    for arguments in ({"num_splits": 2, "axis": 2}, {"split_sizes": np.array([2, 2]), "axis": 2}):
        first, second = OPERATIONS["split"]({"x": X, **arguments})
        np.testing.assert_array_equal(first, X[:, :, :2])
        np.testing.assert_array_equal(second, X[:, :, 2:])


def test_matrix_products():
    weight, bias = numbers(4, 5), numbers(4, seed=3)
    expected = np.einsum("nchw,ow->ncho", X, weight)
    found = PRODUCTS["linear"]({"x": X, "weight": weight, "bias": bias}, Work())
    np.testing.assert_allclose(found, expected + bias, atol=ATOL)
    for x, y, options in (
        (X, weight.T, {}),
        (X, weight, {"transpose_y": True}),
        (np.swapaxes(X, 2, 3), weight, {"transpose_x": True, "transpose_y": True}),
    ):
        np.testing.assert_allclose(
            PRODUCTS["matmul"]({"x": x, "y": y, **options}, Work()), expected, atol=ATOL
        )


def test_channels_stay_last_in_memory():
    """The speed of the evaluation rests on it."""
    x = numbers(1, 8, 8, 6).transpose(0, 3, 1, 2)
    pad = {"pad": [1, 1, 1, 1], "mode": "constant"}
    for result in (
        PRODUCTS["conv"]({"x": x, "weight": numbers(5, 6, 3, 3)}, Work()),
        OPERATIONS["relu6"]({"x": x}),
        OPERATIONS["pad"]({"x": x, **pad}),
        OPERATIONS["concat"]({"values": [x, x], "axis": 1}),
    ):
        assert result.transpose(0, 2, 3, 1).flags.c_contiguous


def test_affine_weights():
    data = np.array([[[-128, 127], [0, 5]]], np.int8)
    found = CONSTEXPR["constexpr_affine_dequantize"](
        {"quantized_data": data, "scale": np.float32([0.5, 2]), "zero_point": np.int8([0, 1]), "axis": 1}
    )
    np.testing.assert_array_equal(found, [[[-64, 63.5], [-2, 8]]])
    found = CONSTEXPR["constexpr_affine_dequantize"](
        {"quantized_data": data, "scale": np.float32(0.5), "zero_point": np.int8(0), "axis": 0}
    )
    np.testing.assert_array_equal(found, data / 2)


def test_blockwise_weights():
    data = np.arange(8, dtype=np.int8).reshape(2, 4)
    arguments = {"data": data, "scale": np.float32([[1, 10]]), "offset": np.int8([[0, 1]])}
    found = CONSTEXPR["constexpr_blockwise_shift_scale"](arguments)
    np.testing.assert_array_equal(found, [[0, 1, 10, 20], [4, 5, 50, 60]])
    with pytest.raises(ModelError, match="do not divide"):
        CONSTEXPR["constexpr_blockwise_shift_scale"](arguments | {"scale": np.float32([[1, 2, 3]])})


def test_palettes():
    # iOS 16: five 2-bit indices 0, 3, 2, 1, 3 from the lowest bit on.
    packed = np.array([0b01_10_11_00, 0b11], np.uint8)
    lut = np.float32([0.5, 1.5, 2.5, 3.5])
    found = CONSTEXPR["constexpr_lut_to_dense"]({"indices": packed, "lut": lut, "shape": np.uint32([5, 1])})
    np.testing.assert_array_equal(found, np.float32([[0.5], [3.5], [2.5], [1.5], [3.5]]))
    # iOS 18: a table for the first three rows, another for the rest.
    indices = np.array([[2, 3], [3, 0], [1, 0], [3, 0], [2, 1], [0, 3]], np.uint8)
    lut = np.float32([1, 5, 9, 13, 2, 10, 18, 26]).reshape(2, 1, 4, 1)
    found = CONSTEXPR["constexpr_lut_to_dense"]({"indices": indices, "lut": lut})
    np.testing.assert_array_equal(found, [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]])


def test_sparse_and_cast_weights():
    arguments = {
        "mask": np.array([0b1010], np.uint8),
        "nonzero_data": np.float32([7, 8]),
        "shape": np.uint32([4]),
    }
    np.testing.assert_array_equal(CONSTEXPR["constexpr_sparse_to_dense"](arguments), [0, 7, 0, 8])
    half = CONSTEXPR["constexpr_cast"]({"source_val": np.float16([0.5]), "output_dtype": "fp32"})
    assert half.dtype == np.float32 and half[0] == 0.5


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
def test_packed_numbers(bits):
    values = np.random.Generator(np.random.PCG64(bits)).integers(0, 1 << bits, 37)
    whole = sum(int(value) << bits * place for place, value in enumerate(values))
    data = whole.to_bytes(-(-bits * 37 // 8), "little")
    np.testing.assert_array_equal(unpack(data, bits, 37), values)
    with pytest.raises(ModelError, match="fewer than"):
        unpack(data[:-1], bits, 37)


HUGE = [
    ("add", {"x": np.zeros((1 << 14, 1), np.float32), "y": np.zeros((1, 1 << 14), np.float32)}),
    ("tile", {"x": V, "reps": [1 << 40]}),
    ("pad", {"x": X, "pad": [0, 1 << 40, 0, 0]}),
    ("concat", {"values": [np.zeros(1 << 20, np.float32)] * 100, "axis": 0}),
    ("stack", {"values": [np.zeros(1 << 20, np.float32)] * 100, "axis": 0}),
    ("max_pool", {"x": X, "kernel_sizes": [1, 1], "pad_type": "custom", "pad": [0, 1 << 40, 0, 0]}),
    ("conv", {"x": X, "weight": numbers(1, 3, 1, 1), "pad_type": "custom", "pad": [1 << 40, 0, 0, 0]}),
    ("matmul", {"x": np.zeros((1 << 14, 1), np.float32), "y": np.zeros((1, 1 << 14), np.float32)}),
]


@pytest.mark.parametrize(("name", "arguments"), HUGE)
def test_absurd_sizes_are_refused_before_they_are_made(name, arguments):
    with pytest.raises(ModelError, match="expected at most"):
        PRODUCTS[name](arguments, Work()) if name in PRODUCTS else OPERATIONS[name](arguments)


def test_work_has_an_end():
    work = Work(left=1000)
    with pytest.raises(ModelError, match="products for one image"):
        PRODUCTS["linear"]({"x": X, "weight": numbers(40, 5)}, work)
    assert limits.MAX_LIVE_ELEMENTS * 4 <= 1 << 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": 0}, "0 groups"),
        ({"groups": 2}, "2 groups"),
        ({"strides": (0, 1)}, "strides of 0, 1"),
        ({"pad_type": "custom", "pad": (-1, 0, 0, 0)}, "negative"),
        ({"pad_type": "round"}, "unknown padding 'round'"),
        ({"weight": numbers(1, 3, 9, 9)}, r"a window of \[9, 9\] does not fit \[4, 5\]"),
        ({"weight": numbers(1, 3, 2)}, "expected two dimensions"),
    ],
)
def test_a_convolution_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        PRODUCTS["conv"]({"x": X, "weight": numbers(1, 3, 2, 2), **changes}, Work())
