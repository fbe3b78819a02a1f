"""The Edge TPU's rules: for each, a file that keeps it and one that breaks it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekd.errors import ModelError
from edgekd.plain import from_plain, to_plain
from edgekd_converters.edgetpu import EdgeTpuCheck, check_architecture, check_edgetpu
from edgekd_converters.edgetpu_compiled import inspect_compiled
from edgekd_converters.edgetpu_rules import CACHE_BYTES, DTYPE, LIMITED, MAPPED, RANK, SUBGRAPHS, UNSUPPORTED
from edgetpu_files import Op, T, ints, network, options, single

IMAGE, SMALL, FLAT = T((1, 8, 8, 4)), T((1, 4, 4, 4)), T((1, 16))
WEIGHTS = T((4, 3, 3, 4), data=np.ones(144, np.int8))
RELU = schema.ActivationFunctionType.RELU


def _checked(folder, data):
    path = folder / "model.tflite"
    path.write_bytes(data)
    return check_edgetpu(path)


def _conv(x=1, y=1):
    return options("Conv2DOptions", dilationWFactor=x, dilationHFactor=y)


def _pool(activation=0):
    return options("Pool2DOptions", fusedActivationFunction=activation)


def _join(activation=0):
    return options("ConcatenationOptions", fusedActivationFunction=activation)


def _zeros(value=0):
    return T((1, 8, 8, 4), data=np.full(256, value, np.int8))


def _fc(weights_format=0):
    return options("FullyConnectedOptions", weightsFormat=weights_format)


DENSE = T((8, 16), data=np.ones(128, np.int8))
CASES = {
    "dilation": (
        single("CONV_2D", [IMAGE, WEIGHTS], SMALL, _conv(2, 2)),
        single("CONV_2D", [IMAGE, WEIGHTS], SMALL, _conv(2, 1)),
        "dilation must be the same in x and y, got 2 and 1",
    ),
    "depthwise dilation": (
        single("DEPTHWISE_CONV_2D", [IMAGE, WEIGHTS], SMALL, None),
        single(
            "DEPTHWISE_CONV_2D",
            [IMAGE, WEIGHTS],
            SMALL,
            options("DepthwiseConv2DOptions", dilationWFactor=1, dilationHFactor=3),
        ),
        "got 1 and 3",
    ),
    "computed weights": (
        single("CONV_2D", [IMAGE, WEIGHTS], SMALL, _conv()),
        single("CONV_2D", [IMAGE, T((4, 3, 3, 4))], SMALL, _conv()),
        "parameters must be constant, input 1 is computed",
    ),
    "pooling": (
        single("AVERAGE_POOL_2D", [IMAGE], SMALL, _pool()),
        single("AVERAGE_POOL_2D", [IMAGE], SMALL, _pool(RELU)),
        "no fused activation",
    ),
    "max pooling": (
        single("MAX_POOL_2D", [IMAGE], SMALL, _pool()),
        single("MAX_POOL_2D", [IMAGE], SMALL, _pool(RELU)),
        "no fused activation",
    ),
    "concatenation": (
        single("CONCATENATION", [IMAGE, IMAGE], T((1, 8, 8, 8)), _join()),
        single("CONCATENATION", [IMAGE, IMAGE], T((1, 8, 8, 8)), _join(RELU)),
        "no fused activation",
    ),
    "concatenation of a constant": (
        single("CONCATENATION", [IMAGE, _zeros()], T((1, 8, 8, 8)), _join()),
        single("CONCATENATION", [IMAGE, _zeros(1)], T((1, 8, 8, 8)), _join()),
        "a constant input must be all zeros",
    ),
    "concatenation of a constant and two": (
        single("CONCATENATION", [IMAGE, IMAGE, IMAGE], T((1, 8, 8, 12)), _join()),
        single("CONCATENATION", [IMAGE, IMAGE, _zeros()], T((1, 8, 8, 12)), _join()),
        "there must be 2 inputs, got 3",
    ),
    "dense weights": (
        single("FULLY_CONNECTED", [FLAT, DENSE], T((1, 8)), _fc()),
        single("FULLY_CONNECTED", [FLAT, DENSE], T((1, 8)), _fc(1)),
        "default format",
    ),
    "dense output": (
        single("FULLY_CONNECTED", [FLAT, DENSE], T((1, 1, 8)), _fc()),
        single("FULLY_CONNECTED", [FLAT, DENSE], T((1, 2, 8)), _fc()),
        r"the output must have one dimension, it is \[1, 2, 8\]",
    ),
    "mean over the batch": (
        single("MEAN", [IMAGE, ints(1, 2)], T((1, 4))),
        single("MEAN", [IMAGE, ints(0, 1)], T((8, 4))),
        "no reduction over the batch",
    ),
    "mean over z": (
        single("MEAN", [IMAGE, ints(3)], T((1, 8, 8))),
        single("MEAN", [T((1, 8, 8, 6)), ints(-1)], T((1, 8, 8))),
        "multiple of 4, it is 6",
    ),
    "maximum over the batch": (
        single("REDUCE_MAX", [IMAGE, ints(1)], T((1, 8, 4))),
        single("REDUCE_MAX", [IMAGE, ints(-4)], T((8, 8, 4))),
        "no reduction over the batch",
    ),
    "minimum over the batch": (
        single("REDUCE_MIN", [IMAGE, ints(2)], T((1, 8, 4))),
        single("REDUCE_MIN", [IMAGE, ints(0)], T((8, 8, 4))),
        "no reduction over the batch",
    ),
    "computed axes": (
        single("MEAN", [IMAGE, ints(1)], T((1, 8, 4))),
        single("MEAN", [IMAGE, T((1,), "uint8")], T((1, 8, 4))),
        "parameters must be constant",
    ),
    "packing": (
        single("PACK", [FLAT, FLAT], T((1, 2, 16)), options("PackOptions", axis=1)),
        single("PACK", [FLAT, FLAT], T((2, 1, 16)), options("PackOptions", axis=0)),
        "no packing in the batch",
    ),
    "padding": (
        single("PAD", [IMAGE, ints(0, 0, 1, 1, 1, 1, 0, 0)], T((1, 10, 10, 4))),
        single("PAD", [IMAGE, ints(0, 1, 0, 0, 0, 0, 0, 0)], T((1, 8, 8, 4))),
        "no padding in the batch",
    ),
    "prelu": (
        single("PRELU", [IMAGE, T((1, 1, 4), data=np.ones(4, np.int8))], IMAGE),
        single("PRELU", [IMAGE, T((8, 1, 4), data=np.ones(32, np.int8))], IMAGE),
        "alpha must have one dimension",
    ),
    "softmax shape": (
        single("SOFTMAX", [FLAT], FLAT),
        single("SOFTMAX", [T((1, 2, 16))], T((1, 2, 16))),
        "the input must have one dimension",
    ),
    "softmax size": (
        single("SOFTMAX", [T((1, 16_000))], T((1, 16_000))),
        single("SOFTMAX", [T((1, 16_001))], T((1, 16_001))),
        "at most 16000 values, got 16001",
    ),
    "squeeze": (
        single("SQUEEZE", [T((1, 1, 1, 9))], T((9,))),
        single("SQUEEZE", [T((1, 5, 1, 9))], T((1, 5, 9))),
        "only leading sides of 1",
    ),
    "strides": (
        single("STRIDED_SLICE", [IMAGE, ints(0, 0, 0, 0), ints(1, 4, 4, 4), ints(1, 1, 1, 1)], SMALL),
        single("STRIDED_SLICE", [IMAGE, ints(0, 0, 0, 0), ints(1, 8, 8, 4), ints(1, 2, 2, 1)], SMALL),
        r"all strides must be 1, got \[1, 2, 2, 1\]",
    ),
    "batch": (
        single("RELU", [T((1, 8, 8, 4))], T((1, 8, 8, 4))),
        single("RELU", [T((2, 8, 8, 4))], T((2, 8, 8, 4))),
        "only the 3 innermost sides may exceed 1",
    ),
    "16 bits": (
        single("RELU", [T((1, 4), "uint8")], T((1, 4), "uint8")),
        single("RELU", [T((1, 4), "int16")], T((1, 4), "int16")),
        "must be int8 or uint8, this one is int16",
    ),
    "no scale": (
        single("RELU", [T((1, 4))], T((1, 4))),
        single("RELU", [T((1, 4))], T((1, 4), scale=None)),
        "this one has no scale",
    ),
    "open size": (
        single("RELU", [IMAGE], IMAGE),
        single("RELU", [T((1, 8, 8, 4), open_sides=(1,))], IMAGE),
        "sizes must be fixed, side 1 of",
    ),
    "exponential": (
        single("LOGISTIC", [FLAT], FLAT),
        single("EXP", [FLAT], FLAT),
        "EXP is not among the operations",
    ),
    "logarithm": (single("TANH", [FLAT], FLAT), single("LOG", [FLAT], FLAT), "LOG is not among"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_limit(tmp_path, case):
    kept, broken, words = CASES[case]
    fine = _checked(tmp_path, kept)
    assert (fine.passed, fine.findings, fine.on_cpu, fine.cut_at) == (True, (), 0, None)
    found = _checked(tmp_path, broken)
    assert not found.passed and found.mapped == 0 and found.cut_at == 0
    assert any(re.search(words, finding.limit) and finding.certain for finding in found.findings)
    assert from_plain(EdgeTpuCheck, to_plain(found)) == found


@pytest.mark.parametrize(
    "name",
    [
        *("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "RELU6", "RELU_N1_TO_1", "L2_NORMALIZATION", "QUANTIZE"),
        *("SPACE_TO_DEPTH", "EXPAND_DIMS", "TRANSPOSE"),
    ],
)
def test_operations_without_limits(tmp_path, name):
    constant = [ints(0)] if name in {"EXPAND_DIMS", "TRANSPOSE"} else []
    assert _checked(tmp_path, single(name, [FLAT, *constant], FLAT)).statuses == {MAPPED: 1}


@pytest.mark.parametrize("name", ["RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
def test_what_depends_on_undocumented_sizes_is_said_and_not_failed(tmp_path, name):
    found = _checked(tmp_path, single(name, [IMAGE, ints(16, 16)], T((1, 16, 16, 4))))
    assert found.passed and [finding.certain for finding in found.findings] == [False]


def test_the_rest_runs_on_the_cpu_after_the_first_operator_that_must(tmp_path):
    tensors = [IMAGE] * 5
    ops = [Op(name, (n,), (n + 1,)) for n, name in enumerate(("RELU", "EXP", "RELU", "LOG"))]
    found = _checked(tmp_path, network(tensors, ops))
    assert found.statuses == {MAPPED: 1, SUBGRAPHS: 1, UNSUPPORTED: 2}
    assert (found.cut_at, found.mapped, found.on_cpu, found.operators) == (1, 1, 3, 4)
    assert [(f.number, f.operator) for f in found.findings] == [(1, "EXP"), (3, "LOG")]


def test_statuses_are_the_compilers_words(tmp_path):
    words = {"16 bits": DTYPE, "batch": RANK, "dilation": LIMITED, "exponential": UNSUPPORTED}
    for case, status in words.items():
        assert _checked(tmp_path, CASES[case][1]).statuses == {status: 1}


def test_float_ends_stay_on_the_cpu_without_cutting_the_graph(tmp_path):
    floats = T((1, 4), "float32", scale=None)
    tensors = [floats, T((1, 4)), T((1, 4)), floats]
    ops = [Op("QUANTIZE", (0,), (1,)), Op("RELU", (1,), (2,)), Op("DEQUANTIZE", (2,), (3,))]
    found = _checked(tmp_path, network(tensors, ops))
    assert found.passed and (found.mapped, found.on_cpu) == (1, 2)
    assert "float input or output" in found.warnings[0]
    inside = [floats, floats, T((1, 4)), T((1, 4))]
    ops = [Op("RELU", (0,), (1,)), Op("QUANTIZE", (1,), (2,)), Op("RELU", (2,), (3,))]
    assert not _checked(tmp_path, network(inside, ops)).passed


def test_two_subgraphs_are_not_mapped(tmp_path):
    found = _checked(tmp_path, network([FLAT, FLAT], [Op("RELU", (0,), (1,))], subgraphs=2))
    assert not found.passed and found.mapped == 0
    assert "2 subgraphs" in found.warnings[0]


@pytest.mark.parametrize(("size", "warned"), [(CACHE_BYTES, False), (CACHE_BYTES + 1, True)])
def test_parameters_that_do_not_fit_are_streamed(tmp_path, size, warned):
    weights = T((1, size), data=np.zeros(size, np.int8))
    found = _checked(tmp_path, single("FULLY_CONNECTED", [FLAT, weights], T((1, 1)), _fc()))
    assert found.passed and found.parameter_bytes == size
    assert any("streamed" in warning for warning in found.warnings) is warned


def test_an_open_batch_is_said_and_not_failed(tmp_path):
    found = _checked(tmp_path, single("RELU", [T((1, 4), open_sides=(0,))], T((1, 4))))
    assert found.passed and "the batch is left open" in found.findings[0].limit


@pytest.mark.parametrize(
    ("operator", "name", "layer"),
    [
        ("EXP", "core/quant_Conv1_relu/Relu6;core/quant_bn/FusedBatchNormV3", "Conv1_relu"),
        ("EXP", "StatefulPartitionedCall/model_3/block/expand/Exp", "block/expand"),
        ("EXP", "Identity", None),
        ("EXP", "", None),
    ],
)
def test_a_finding_names_the_layer_of_the_keras_model(tmp_path, operator, name, layer):
    image = T((1, 4), name="image")
    data = single(operator, [image], T((1, 4), name=name or "x"))
    assert _checked(tmp_path, data).findings[0].layer == layer


def test_a_fused_operator_is_named_by_the_layer_that_computes(tmp_path):
    name = "core/relu_1/Relu6;core/bn_1/FusedBatchNormV3;core/quant_conv_1/Conv2D1"
    data = single("CONV_2D", [T((1, 8, 8, 4), name="x"), WEIGHTS], T((1, 4, 4, 4), name=name), _conv(1, 2))
    found = _checked(tmp_path, data).findings[0]
    assert (found.layer, found.tensor, found.operator) == ("conv_1", None, "CONV_2D")


def test_damaged_files_are_refused_and_nothing_else_happens(tmp_path):
    whole = network([IMAGE] * 4, [Op("RELU", (n,), (n + 1,)) for n in range(3)])
    generator = np.random.Generator(np.random.PCG64(1))
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for place in generator.integers(0, len(data), 3):
            data[place] = generator.integers(0, 256)
        try:
            _checked(tmp_path, bytes(data[: generator.integers(8, len(data) + 1)]))
        except ModelError:
            refused += 1
    assert refused > 50  # most copies are cut short
    with pytest.raises(ModelError, match="cannot be read"):
        check_edgetpu(tmp_path / "absent.tflite")


@pytest.mark.real
@pytest.mark.parametrize("name", ["mobilenet_v1_0.25_128", "mobilenet_v1_0.5_160", "mobilenet_v1_0.75_192"])
def test_the_rules_say_what_the_compiler_did(shared, name):
    """All three were compiled whole; the parameters in the compiled file are the twin's and some padding."""
    folder = shared / "peer_models"
    if not folder.is_dir():
        pytest.skip(f"no compiled models in {folder}")
    twin = check_edgetpu(folder / f"{name}_quant.tflite")
    compiled = inspect_compiled(folder / f"{name}_quant_edgetpu.tflite")
    assert twin.passed and twin.statuses == {MAPPED: 31} and compiled.on_cpu == {}
    held = compiled.cached_parameter_bytes + compiled.streamed_parameter_bytes
    assert twin.parameter_bytes <= held <= 1.2 * twin.parameter_bytes
    assert compiled.streamed_parameter_bytes == 0  # half a megabyte to three: they fit
    assert compiled.min_runtime_version == 12
    assert {e.kind.value for e in compiled.executables} == {"execution-only", "parameter-caching"}
    assert len({e.caching_token for e in compiled.executables}) == 1
    with pytest.raises(ModelError, match="compiled for the Edge TPU already"):
        check_edgetpu(folder / f"{name}_quant_edgetpu.tflite")


@pytest.mark.tf
def test_a_layer_the_edge_tpu_has_not_is_named_before_training():
    from edgekd import lazy
    from edgekd.models.catalogue import with_scaling
    from edgekd.models.scaling import Scaling

    keras = lazy.keras()
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, name="first")(image)
    x = keras.layers.Conv2D(8, 3, padding="same", name="lopsided", dilation_rate=(1, 2))(x)
    x = keras.layers.Activation("exponential", name="grow")(x)
    x = keras.layers.Flatten(name="flat")(x)
    inner = keras.Model(image, keras.layers.Dense(3, name="logits")(x), name="core")
    found = check_architecture(with_scaling(inner, Scaling.SIGNED))
    named = {(finding.operator, finding.layer) for finding in found.findings if finding.certain}
    assert not found.passed
    assert ("EXP", "grow") in named
    assert found.cut_at is not None and 0 < found.mapped == found.cut_at
