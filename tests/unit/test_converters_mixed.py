from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import hard_to_quantize
from edgekd.config import VerifyConfig
from edgekd.errors import ContractError, ModelError, UsageError
from edgekd.plain import file_digest, from_plain
from edgekd.runtimes.litert import LitertRuntime
from edgekd_converters.inspect import inspect_tflite
from edgekd_converters.layers_graft import graft
from edgekd_converters.layers_graph import match, read_graph
from edgekd_converters.mixed import MixedSearch, mixed
from hard_to_quantize import BAD, NEXT
from tiny_dataset import COUNT, prepare
from tolerances import FLOAT_KERNELS_RELATIVE

LIMIT = 0.01


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def found(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("mixed")
    return _search(data, out, planted=True), out


def _search(data, out, *, planted):
    exact, rounded = hard_to_quantize.files(planted=planted)
    return mixed(
        dataset_folder=data,
        float_file=exact,
        quantized_file=rounded,
        max_sensitivity_drop=LIMIT,
        verify=VerifyConfig(),
        out=out,
    )


@pytest.mark.tf
def test_the_search_returns_the_planted_layer_and_its_reader(found):
    # The layer's output is what 8 bits cannot hold: it stays in float only when its reader takes float too.
    record, _ = found
    assert record.step.kept == (BAD, NEXT)
    assert record.step.satisfied and record.step.sensitivity_drop <= LIMIT
    assert record.reference_auc == 1.0 and record.step.auc > 0.99
    whole = record.steps[0]
    assert whole.kept == () and not whole.satisfied and whole.latency_ratio == 1.0
    assert whole.sensitivity_drop > 0.2
    assert {effect.layer for effect in record.effects[:2]} == {BAD, NEXT}


@pytest.mark.tf
def test_without_any_one_of_the_kept_layers_the_limit_fails(found):
    record, _ = found
    tried = {step.kept: step for step in record.steps}
    for layer in record.step.kept:
        rest = tuple(name for name in record.step.kept if name != layer)
        assert not tried[rest].satisfied


@pytest.mark.tf
def test_every_try_is_on_record_with_its_price(found):
    record, out = found
    assert from_plain(MixedSearch, json.loads((out / "mixed.json").read_text())) == record
    assert (record.n_images, record.n_positive, record.sensitivity_step) == (COUNT, COUNT // 3, 3 / COUNT)
    assert record.file_sha256 == file_digest(out / "model.tflite")
    assert record.step.size_bytes == (out / "model.tflite").stat().st_size
    assert record.steps[0].size_bytes < record.step.size_bytes
    assert all(step.latency_ratio is not None and step.latency_ratio > 0 for step in record.steps)
    assert len({step.kept for step in record.steps}) == len(record.steps)


@pytest.mark.tf
def test_the_file_keeps_the_conventions_of_an_8_bit_file(found):
    record, out = found
    file = inspect_tflite(out / "model.tflite")
    assert file.inputs[0].dtype == "uint8" and file.inputs[0].zero_point == 128
    assert file.inputs[0].scale == np.float32(1 / 127.5)
    assert file.outputs[0].dtype == record.output_dtype == "uint8"
    assert file.load_error is None
    assert file.float_operators == 3  # two layers, and the DEQUANTIZE before them


@pytest.mark.tf
def test_the_test_split_plays_no_part(found, tmp_path):
    data = prepare(tmp_path / "data")
    for shard in (data / "store" / "test").glob("*.u8"):
        shard.write_bytes(bytes(shard.stat().st_size))
    again = _search(data, tmp_path / "out", planted=True)
    untimed = [
        dataclasses.replace(
            record, steps=tuple(dataclasses.replace(step, latency_ratio=None) for step in record.steps)
        )
        for record in (found[0], again)
    ]
    assert untimed[0] == untimed[1]


@pytest.mark.tf
def test_a_network_that_needs_nothing_keeps_nothing(data, tmp_path):
    record = _search(data, tmp_path, planted=False)
    assert record.step.kept == () and len(record.steps) == 1
    _, rounded = hard_to_quantize.files(planted=False)
    images = hard_to_quantize.images(4)
    answers = [LitertRuntime(path).logits(images) for path in (rounded, tmp_path / "model.tflite")]
    assert np.array_equal(*answers)


@pytest.mark.tf
def test_all_layers_in_float_are_the_float_network(tmp_path):
    exact, rounded = (read_graph(path) for path in hard_to_quantize.files(planted=True))
    (tmp_path / "all.tflite").write_bytes(graft(exact, rounded, range(len(exact.nodes))))
    images = hard_to_quantize.images(6)
    expected = LitertRuntime(exact.path).logits(images)
    difference = np.abs(LitertRuntime(tmp_path / "all.tflite").logits(images) - expected)
    assert difference.max() <= FLOAT_KERNELS_RELATIVE * np.ptp(expected)
    file = inspect_tflite(tmp_path / "all.tflite")
    assert (file.inputs[0].dtype, file.outputs[0].dtype) == ("uint8", "float32")


@pytest.mark.tf
def test_a_grafted_file_is_the_same_network_and_the_same_bytes_again(tmp_path):
    exact, rounded = (read_graph(path) for path in hard_to_quantize.files(planted=False))
    (tmp_path / "some.tflite").write_bytes(graft(exact, rounded, {1, 4}))
    match(exact, read_graph(tmp_path / "some.tflite"))
    assert graft(exact, rounded, {4, 1}) == (tmp_path / "some.tflite").read_bytes()
    sizes = [len(graft(exact, rounded, kept)) for kept in ((), {1, 4})]
    assert sizes[0] < sizes[1] < 2 * sizes[0]  # what is not read any more is not kept


@pytest.mark.tf
def test_float_layers_come_from_a_float_file(data, tmp_path):
    exact, rounded = hard_to_quantize.files(planted=False)
    with pytest.raises(ModelError, match="expected float32"):
        mixed(
            dataset_folder=data,
            float_file=rounded,
            quantized_file=exact,
            max_sensitivity_drop=LIMIT,
            verify=VerifyConfig(),
            out=tmp_path,
        )


@pytest.mark.tf
def test_a_network_that_tells_nothing_apart_has_nothing_to_hold(tmp_path):
    data = prepare(tmp_path / "data", lambda count, seed: np.full((count, 32, 32, 3), seed, np.uint8))
    with pytest.raises(ContractError, match="calls every validation image malignant"):
        _search(data, tmp_path / "out", planted=False)


def test_a_limit_that_cannot_be_meant_is_refused(tmp_path):
    with pytest.raises(UsageError, match="max_sensitivity_drop is 1, expected 0 to below 1"):
        mixed(
            dataset_folder=tmp_path,
            float_file=tmp_path,
            quantized_file=tmp_path,
            max_sensitivity_drop=1,
            verify=VerifyConfig(),
            out=tmp_path,
        )
