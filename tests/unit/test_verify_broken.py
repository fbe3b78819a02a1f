"""Deliberately broken artefacts, run by the real interpreter: every one is caught, and named by its reason.

The negative control comes first: the same files, undamaged, pass.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tiny_line
import tiny_students
from edgekd.card import OperatingPoint
from edgekd.config import Precision
from edgekd.metrics.evaluation import read_evaluation
from edgekd.plain import from_plain, read_json, write_json, write_text
from edgekd_converters.verdict import Check, VerdictRecord
from edgekd_converters.verify import verify

pytestmark = pytest.mark.tf


def verdicts(exported: Path, out: Path) -> dict[Precision, VerdictRecord]:
    """The verdict on every file below `exported`, read back from its record."""
    line = tiny_line.line()
    verify(
        dataset_folder=line / "data",
        student=line / "distill",
        qat=line / "qat",
        exported=exported,
        config=tiny_line.CONFIG,
        out=out,
    )
    return {
        Precision(path.parent.name): from_plain(VerdictRecord, json.loads(path.read_text()))
        for path in out.glob("*/verdict.json")
    }


def failures(verdict: VerdictRecord) -> dict[Check, str]:
    """The failed checks of a verdict, which must be a failure by them."""
    found = {finding.check: finding.message for finding in verdict.reasons if finding.verdict == "failed"}
    assert (verdict.verdict, verdict.passed) == ("failed", False) and found
    return found


@pytest.fixture
def judged(tmp_path) -> Callable[[Path], VerdictRecord]:
    """The verdict on the one file below an export folder."""
    return lambda exported: next(iter(verdicts(exported, tmp_path / "verify").values()))


@pytest.fixture
def exported(tmp_path) -> Path:
    return tmp_path / "export"


def copied(exported: Path, precision: Precision) -> Path:
    """A copy of the undamaged file of the line with all that lies beside it."""
    folder = shutil.copytree(tiny_line.line() / "export" / precision, exported / precision)
    return Path(folder) / "model.tflite"


def changed(change: Callable[[Any], None]) -> Any:
    """The student with other weights: `change` gets them by layer, each a list of arrays to edit in place."""
    from edgekd import lazy

    model = lazy.keras().models.clone_model(tiny_students.student())
    weights = tiny_students.student().get_weights()
    change(weights)
    model.set_weights(weights)
    return model


def edited(path: Path, edit: Callable[[Any], None]) -> None:
    """Rewrite a .tflite file after `edit` of its parsed form."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    edit(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def test_undamaged_files_pass(tmp_path):
    found = verdicts(tiny_line.line() / "export", tmp_path / "verify")
    assert set(found) == set(tiny_line.PRECISIONS)
    for verdict in found.values():
        assert (verdict.verdict, verdict.passed, verdict.reasons) == ("passed", True, ())
        assert verdict.n == 60 and verdict.decision_agreement is not None
        assert verdict.decision_agreement.value == pytest.approx(
            1 - len(verdict.discordant) / verdict.n, abs=1e-12
        )


def test_the_network_is_trained_and_its_outputs_spread():
    """What every test here rests on: agreement of flat outputs would prove nothing."""
    record = read_evaluation(tiny_line.line() / "distill" / "evaluation.json")
    assert record.auc.low is not None and record.auc.low > 0.8
    logits = tiny_students.student()(tiny_students.lesions(60, 72)[0].astype(np.float32)).numpy()
    assert logits.std(axis=0).min() > 0.5


def _swap_channels(weights: Any) -> None:
    weights[0] = weights[0][:, :, ::-1]  # the first kernel [h, w, 3, filters]


def _zero_a_layer(weights: Any) -> None:
    kernels = [number for number, array in enumerate(weights) if array.ndim == 4]
    weights[kernels[1]] = np.zeros_like(weights[kernels[1]])


def _permute_outputs(weights: Any) -> None:
    weights[-2], weights[-1] = np.roll(weights[-2], 1, axis=1), np.roll(weights[-1], 1)


def _flatten_outputs(weights: Any) -> None:
    weights[-2] = np.zeros_like(weights[-2])


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        (_swap_channels, {Check.PARITY}),
        (_zero_a_layer, {Check.PARITY}),
        (_permute_outputs, {Check.PARITY, Check.RANKING}),
        (_flatten_outputs, {Check.PARITY, Check.OUTPUTS}),
    ],
    ids=["swapped channels", "a layer zeroed", "labels permuted", "outputs constant"],
)
def test_other_weights_are_another_network(exported, judged, change, checks):
    tiny_line.export_model(exported, Precision.FP32, changed(change))
    assert checks <= set(failures(judged(exported)))


def test_a_core_ml_package_is_judged_like_a_file(exported, tmp_path):
    pytest.importorskip("coremltools", reason="coremltools is not installed (extra: coreml)")
    tiny_line.export_model(exported, Precision.COREML_FP16)
    tiny_line.export_model(tmp_path / "swapped", Precision.COREML_FP16, changed(_swap_channels))
    sound = verdicts(exported, tmp_path / "sound")[Precision.COREML_FP16]
    assert (sound.verdict, sound.reasons) == ("passed", ())
    broken = verdicts(tmp_path / "swapped", tmp_path / "broken")[Precision.COREML_FP16]
    assert Check.PARITY in failures(broken)


@pytest.mark.slow
def test_every_core_ml_precision_passes(exported, tmp_path):
    pytest.importorskip("coremltools", reason="coremltools is not installed (extra: coreml)")
    precisions = [p for p in Precision if p.startswith("coreml")]
    for precision in precisions:
        tiny_line.export_model(exported, precision)
    found = verdicts(exported, tmp_path / "verify")
    assert {precision: found[precision].verdict for precision in precisions} == dict.fromkeys(
        precisions, "passed"
    )


def test_a_wrong_normalisation(exported, judged):
    from edgekd import lazy
    from edgekd.models.catalogue import core
    from edgekd.models.scaling import Scaling, scale

    keras = lazy.keras()
    image = keras.Input((tiny_students.PX, tiny_students.PX, 3))
    model = keras.Model(image, core(tiny_students.student())(scale(image, Scaling.UNIT)))
    tiny_line.export_model(exported, Precision.FP32, model)
    assert Check.PARITY in failures(judged(exported))


def test_a_scale_that_is_off_by_two(exported, judged):
    def double(model: Any) -> None:
        """Twice the step of the last layer's weights, bias and output: consistent, and wrong."""
        graph, dense = model.subgraphs[0], schema.BuiltinOperator.FULLY_CONNECTED
        codes = [code.builtinCode for code in model.operatorCodes]
        last = [operator for operator in graph.operators if codes[operator.opcodeIndex] == dense][-1]
        for number in {*last.inputs[1:], *last.outputs, *graph.outputs}:
            parameters = graph.tensors[number].quantization
            parameters.scale = parameters.scale * 2

    path = copied(exported, Precision.INT8)
    edited(path, double)
    assert "2.00 times as large" in failures(judged(exported))[Check.PARITY]


def test_weights_that_are_not_numbers(exported, judged):
    def poison(model: Any) -> None:
        largest = max(model.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
        values = np.array(largest.data, np.uint8).view(np.float32).copy()
        values[:] = np.nan
        largest.data = values.view(np.uint8)

    path = copied(exported, Precision.FP32)
    edited(path, poison)
    verdict = judged(exported)
    assert "not finite" in failures(verdict)[Check.RUNS]
    assert (verdict.n, verdict.sensitivity_difference.value) == (0, None)


def test_a_truncated_file_is_a_failure_of_that_file_alone(exported, tmp_path):
    path = copied(exported, Precision.FP32)
    path.write_bytes(path.read_bytes()[:2000])
    copied(exported, Precision.DYNAMIC)
    found = verdicts(exported, tmp_path / "verify")
    assert Check.RUNS in failures(found[Precision.FP32])
    assert found[Precision.DYNAMIC].verdict == "passed"
    assert [path.name for path in (tmp_path / "verify" / "fp32").iterdir()] == ["verdict.json"]


def test_labels_permuted_in_the_card(exported, judged):
    path = copied(exported, Precision.FP32)
    card = dataclasses.replace(tiny_line.card(Precision.FP32), labels=("nv", "bkl", "mel"))
    write_text(path.with_name("card.json"), card.to_json())
    assert {Check.CARD, Check.PARITY} <= set(failures(judged(exported)))


def test_labels_of_another_data_set(exported, judged):
    path = copied(exported, Precision.FP32)
    card = dataclasses.replace(tiny_line.card(Precision.FP32), labels=("mel", "nv", "vasc"))
    write_text(path.with_name("card.json"), card.to_json())
    assert {Check.CARD, Check.RUNS} <= set(failures(judged(exported)))


def test_a_threshold_copied_from_the_float_student(exported, judged):
    path = copied(exported, Precision.INT8)
    point = read_evaluation(tiny_line.line() / "distill" / "evaluation.json").operating_point
    card = dataclasses.replace(tiny_line.card(Precision.INT8), operating_point=point)
    write_text(path.with_name("card.json"), card.to_json())
    assert f"{point.threshold:.6g}" in failures(judged(exported))[Check.OPERATING_POINT]


def test_a_threshold_that_is_its_own_is_no_fault(exported, tmp_path):
    path = copied(exported, Precision.INT8)
    verdicts(exported, tmp_path / "first")
    point = read_evaluation(tmp_path / "first" / "int8" / "evaluation.json").operating_point
    assert isinstance(point, OperatingPoint)
    card = dataclasses.replace(tiny_line.card(Precision.INT8), operating_point=point)
    write_text(path.with_name("card.json"), card.to_json())
    assert verdicts(exported, tmp_path / "second")[Precision.INT8].verdict == "passed"


def test_calibration_on_noise(exported, judged):
    noise = np.random.Generator(np.random.PCG64(5)).integers(0, 256, (24, 32, 32, 3), np.uint8)
    tiny_line.export_model(exported, Precision.INT8_PTQ, images=noise)
    assert Check.PARITY in failures(judged(exported))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_calibration_on_images_it_is_judged_by(exported, judged, split):
    record = copied(exported, Precision.INT8_PTQ).with_name("calibration.json")
    plain = read_json(record)
    plain["image_ids"][0] = f"{split}7"
    write_json(record, plain)
    assert f"{split}7" in failures(judged(exported))[Check.CALIBRATION]


def test_calibration_that_is_not_on_record(exported, judged):
    copied(exported, Precision.INT8_PTQ).with_name("calibration.json").unlink()
    assert "no readable calibration record" in failures(judged(exported))[Check.CALIBRATION]


@pytest.mark.parametrize(
    ("field", "value", "message"), [("sha256", "0" * 64, "pixels"), ("seed", 2, "images on record")]
)
def test_calibration_that_cannot_be_repeated(exported, judged, field, value, message):
    record = copied(exported, Precision.INT8_PTQ).with_name("calibration.json")
    write_json(record, {**read_json(record), field: value})
    assert message in failures(judged(exported))[Check.CALIBRATION]
