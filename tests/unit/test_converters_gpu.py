from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import ModelError
from edgekd.plain import from_plain, to_plain
from edgekd_converters import gpu_check
from edgekd_converters.gpu_check import HOW_TO_GET, GpuCheck, GpuRun, GpuStatus, check_gpu, parse_delegate
from edgetpu_files import Op, T, ints, network, options, single
from tiny_tflite import average_pool

DRIVERS = ("/usr/lib/chromium/vk_swiftshader_icd.json",)
FLOAT, IMAGE = T((1, 4), "float32"), T((1, 8, 8, 3), "float32")
ADAPTER = (
    "SwiftShader Device (Subzero), arch=swiftshader, vendor=google, backend=Vulkan, "
    "adapterType=CPU / Software"
)
SEEN = f"""\
INFO: [gpu_registry.cc:138] Dynamically loaded GPU accelerator(libLiteRtWebGpuAccelerator.so) registered.
I0000 00:00:1795263255.357646   13161 environment.cc:532] Selected adapter: {ADAPTER}
ERROR: Following operations are not supported by GPU delegate:
ZEROS_LIKE: Operation is not supported.
CAST: Not supported Cast case. Input type: UINT8 and output type: FLOAT32
7 operations will run on the GPU, and the remaining 4 operations will run on the CPU.
"""


def _net(name, tensors=(IMAGE, IMAGE, IMAGE)):
    return network(list(tensors), [Op(name, (0,), (1,)), Op("RELU", (1,), (2,))])


def _written(folder, data):
    path = folder / "model.tflite"
    path.write_bytes(data)
    return path


@pytest.fixture
def no_driver(monkeypatch, tmp_path):
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "absent.json"))


@pytest.fixture(scope="module")
def driver():
    """A Vulkan driver: the one that VK_DRIVER_FILES names, or a software driver."""
    for name in (os.environ.get("VK_DRIVER_FILES", ""), *DRIVERS):
        if name and Path(name).is_file():
            return Path(name)
    pytest.skip(HOW_TO_GET)


LISTED = {
    "an operation it has not": (_net("RELU"), _net("ZEROS_LIKE"), "the operation is not supported"),
    "a custom operation": (_net("EXP"), _net("my-op"), "the operation is not supported"),
    "cast": (
        single("CAST", [T((1, 4), "int32")], FLOAT),
        single("CAST", [T((1, 4), "uint8")], FLOAT),
        "a cast from uint8 to float32",
    ),
    "16 bits": (
        single("RELU", [FLOAT], FLOAT),
        single("RELU", [T((1, 4), "int16")], T((1, 4), "int16")),
        "int16 activations are not supported",
    ),
    "axes": (
        single("MEAN", [IMAGE, ints(1, 2)], FLOAT),
        single("MEAN", [IMAGE, T((2,), "int32")], FLOAT),
        "axes must be a constant",
    ),
    "paddings": (
        single("PAD", [IMAGE, T((4, 2), "int32", data=np.zeros(8, "<i4"))], IMAGE),
        single("PAD", [FLOAT, T((2, 2), "int32", data=np.zeros(4, "<i4"))], FLOAT),
        "paddings must be 3 × 2 or 4 × 2",
    ),
    "slices": (single("SLICE", [IMAGE], IMAGE), single("SLICE", [FLOAT], FLOAT), "3 or 4 dimensions"),
    "dense": (
        single("FULLY_CONNECTED", [FLOAT, FLOAT], FLOAT),
        single("FULLY_CONNECTED", [FLOAT, FLOAT], FLOAT, options("FullyConnectedOptions", weightsFormat=1)),
        "default format",
    ),
}


@pytest.mark.parametrize("case", LISTED)
def test_the_documented_list(tmp_path, case):
    kept, broken, words = LISTED[case]
    assert gpu_check.read_listed(_written(tmp_path, kept)) == ()
    (found, *_) = gpu_check.read_listed(_written(tmp_path, broken))
    assert words in found.reason and found.count == 1


def test_what_the_accelerator_says_of_a_part():
    said = parse_delegate(SEEN, 11)
    assert (said["on_gpu"], said["on_cpu"], said["adapter"]) == (7, 4, ADAPTER)
    assert said["software"] is True and said["note"] == "software driver: correctness only"
    assert [(r.operator, r.reason[:13]) for r in said["refused"]] == [
        ("ZEROS_LIKE", "Operation is "),
        ("CAST", "Not supported"),
    ]


def test_what_the_accelerator_says_of_all_and_of_nothing():
    lines = SEEN.splitlines()
    whole = parse_delegate("\n".join(lines[:2]), 11)
    assert (whole["on_gpu"], whole["on_cpu"], whole["refused"]) == (11, 0, ())
    nothing = parse_delegate(
        SEEN.replace(
            "7 operations will run on the GPU, and the remaining 4",
            "No operations will run on the GPU, and all 11",
        ),
        11,
    )
    assert (nothing["on_gpu"], nothing["on_cpu"], len(nothing["refused"])) == (0, 11, 2)
    silent = parse_delegate(lines[0], 11)
    assert (silent["adapter"], silent["software"], silent["on_gpu"], silent["on_cpu"]) == (None,) * 4
    hardware = parse_delegate("Selected adapter: NVIDIA H100, backend=Vulkan, adapterType=discrete GPU", 3)
    assert hardware["software"] is False and hardware["note"] is None


def test_without_a_driver_the_reason_and_the_way_to_one(tmp_path, no_driver):
    found = check_gpu(_written(tmp_path, average_pool()))
    assert (found.run.status, found.passed, found.operators) == (GpuStatus.UNAVAILABLE, None, 1)
    assert found.run.reason == HOW_TO_GET and "vk_swiftshader_icd.json" in HOW_TO_GET
    assert from_plain(GpuCheck, to_plain(found)) == found


def test_why_it_fails():
    right = GpuRun(status=GpuStatus.OK, on_gpu=3, on_cpu=0, agrees=True)
    found = GpuCheck(sha256="", operators=3, listed=(), run=right, passed=True)
    assert found.fails is None and replace(found, passed=None).fails is None
    assert replace(found, run=replace(right, on_cpu=1), passed=False).fails == (
        "1 of 3 operators fall back from the GPU"
    )
    assert "answers otherwise" in str(replace(found, run=replace(right, agrees=False), passed=False).fails)
    assert replace(found, run=replace(right, reason="it crashed"), passed=False).fails == "it crashed"


def test_files_that_are_no_image_classifiers(tmp_path, no_driver):
    with pytest.raises(ModelError, match="not a .tflite file"):
        check_gpu(_written(tmp_path, b"nothing of the kind"))
    with pytest.raises(ModelError, match="does not take one square RGB image"):
        check_gpu(_written(tmp_path, single("RELU", [FLOAT], FLOAT)))


@pytest.mark.device
def test_a_file_runs_as_a_whole(tmp_path, driver):
    images = np.random.Generator(np.random.PCG64(1)).integers(0, 256, (3, 8, 8, 3), np.uint8)
    found = check_gpu(_written(tmp_path, average_pool(px=8)), images, driver=driver)
    run = found.run
    assert (run.status, found.passed, run.on_gpu, run.on_cpu) == (GpuStatus.OK, True, 1, 0), run.reason
    assert run.images == 3 and run.output_spread is not None and run.output_spread > 0
    assert run.max_difference_steps is not None and run.max_difference_steps <= 1.001  # rounding of one mean
    assert run.agrees
    assert run.software is (run.note is not None)


@pytest.mark.device
def test_an_operator_that_falls_back_is_named(tmp_path, driver):
    head = Op(
        "AVERAGE_POOL_2D",
        (0,),
        (1,),
        options("Pool2DOptions", filterHeight=8, filterWidth=8, strideH=1, strideW=1, padding=1),
    )
    small = T((1, 1, 1, 3), "float32", name="core/odd_one/Zeros")
    data = network([IMAGE, small, small, small], [head, Op("ZEROS_LIKE", (1,), (2,)), Op("RELU", (2,), (3,))])
    found = check_gpu(_written(tmp_path, data), driver=driver)
    assert found.run.status is GpuStatus.OK and found.passed is False, found.run.reason
    assert "operators fall back" in str(found.fails)
    assert [refusal.operator for refusal in found.run.refused] == ["ZEROS_LIKE"]
    assert found.run.on_gpu is not None and found.run.on_gpu + (found.run.on_cpu or 0) == 3
    assert [(r.operator, r.layers) for r in found.listed] == [("ZEROS_LIKE", ("odd_one",))]
