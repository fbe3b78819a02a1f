from __future__ import annotations

import numpy as np
import pytest

import tiny_students
from edgekd.errors import ModelError
from edgekd.runtimes.litert import LitertRuntime
from edgekd_converters.layers import layer_report
from edgekd_converters.layers_graft import graft
from edgekd_converters.layers_graph import read_graph
from tolerances import FLOAT_KERNELS_RELATIVE, INT8_MEAN_STEPS

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The int8 file, the float file of its own weights, and one with other weights in one layer."""
    from edgekd.config import Precision
    from edgekd.models.catalogue import core
    from edgekd_converters.layers_twin import float_twin
    from edgekd_converters.tflite import convert

    folder = tmp_path_factory.mktemp("twin")
    student, quantized = tiny_students.student(), tiny_students.quantized()
    stranger = float_twin(student, quantized)
    kernel, offset = core(stranger).get_layer("conv2").get_weights()
    core(stranger).get_layer("conv2").set_weights([1.1 * kernel, offset])
    models = {
        "twin": (float_twin(student, quantized), Precision.FP32),
        "stranger": (stranger, Precision.FP32),
        "int8": (quantized, Precision.INT8),
    }
    for name, (model, precision) in models.items():
        (folder / name).write_bytes(convert(model, precision))
    return folder


def test_an_int8_file_holds_its_own_twin_rounded(files):
    images = tiny_students.lesions(4, 9)[0]
    own = layer_report(files / "twin", files / "int8", images)
    assert own.foreign_weights == ()
    assert min(layer.own_sqnr_db for layer in own.layers) > 30
    names = ("conv1", "pool1", "conv2", "pool2", "conv3")
    assert tuple(layer.layer for layer in own.layers)[: len(names)] == names
    assert layer_report(files / "stranger", files / "int8", images).foreign_weights == ("conv2",)


def test_scaling_that_is_folded_into_the_first_layer_comes_along(files, tmp_path):
    # Without padding the converter folds the scaling of the pixels into conv1: it reads 0..255 there.
    exact, rounded = read_graph(files / "twin"), read_graph(files / "int8")
    images = tiny_students.lesions(6, 9)[0]
    expected = LitertRuntime(files / "twin").logits(images)
    for name, kept in (("first", {0}), ("all", range(len(exact.nodes)))):
        (tmp_path / name).write_bytes(graft(exact, rounded, kept))
    difference = np.abs(LitertRuntime(tmp_path / "all").logits(images) - expected)
    assert difference.max() <= FLOAT_KERNELS_RELATIVE * np.ptp(expected)
    runtime = LitertRuntime(tmp_path / "first")
    difference = np.abs(runtime.logits(images) - expected)
    assert difference.mean() <= INT8_MEAN_STEPS * runtime.output_step


def test_two_networks_make_no_twin():
    from edgekd.config import ModelConfig
    from edgekd.models.catalogue import build
    from edgekd_converters.layers_twin import float_twin

    config = ModelConfig(name="dsnet", width=0.5, weights="none", dropout=0.0)
    other = build(config, input_px=32, n_logits=3, seed=1)
    with pytest.raises(ModelError, match="no weight like conv1/kernel"):
        float_twin(other, tiny_students.quantized())


@pytest.mark.slow
def test_a_twin_is_made_from_the_files_of_a_run(tmp_path):
    from edgekd_converters.layers_twin import write_twin

    tiny_students.student(), tiny_students.quantized()
    folder = tiny_students.folder()
    write_twin(student=folder / "model.keras", qat=folder / "model.h5", output=tmp_path / "twin.tflite")
    report = layer_report(
        tmp_path / "twin.tflite", tmp_path / "twin.tflite", np.zeros((1, 32, 32, 3), np.uint8)
    )
    assert len(report.layers) >= 6
    with pytest.raises(ModelError, match="does not exist"):
        write_twin(
            student=folder / "model.keras", qat=tmp_path / "absent.h5", output=tmp_path / "twin.tflite"
        )
