from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest

from edgekd.errors import MissingError, ModelError
from edgekd.plain import from_plain, to_plain
from edgekd.runtimes.environments import ENVIRONMENTS, environment, is_made
from edgekd.runtimes.tflite_runtime import Worker
from edgekd_converters import compat
from edgekd_converters.compat import (
    CompatRecord,
    LoadRecord,
    TargetRuntime,
    accepted_by,
    agreement,
    check_compat,
    prove_loading,
)
from edgekd_converters.compat_probe import CUSTOM, builtin_file, custom_file, probe_runtime
from edgekd_converters.inspect import inspect_tflite
from edgetpu_files import Op, T, network, single
from tiny_tflite import average_pool

OLD = (TargetRuntime.TFLITE_2_9, TargetRuntime.TFLITE_RUNTIME_2_14, TargetRuntime.TFLITE_2_16)
FULLY_CONNECTED = 9
SLOW_TO_MAKE = () if is_made("tflite-runtime-2.14") else (pytest.mark.slow,)


def _written(folder, data):
    path = folder / "model.tflite"
    path.write_bytes(data)
    return path


def _dense(op_version):
    tensors = [T((1, 4), "float32"), T((3, 4), "float32", data=np.ones(12, "<f4")), T((1, 3), "float32")]
    return network(tensors, [Op("FULLY_CONNECTED", (0, 1), (2,))], version=op_version)


@pytest.fixture(scope="module")
def old_runtime():
    """The name of tflite-runtime 2.14's environment, made when there is none yet."""
    try:
        environment("tflite-runtime-2.14")
    except MissingError as error:
        pytest.skip(str(error))
    return TargetRuntime.TFLITE_RUNTIME_2_14


def test_every_runtime_has_a_column_with_its_source_and_an_environment():
    assert {runtime.value for runtime in TargetRuntime} == set(ENVIRONMENTS) == set(compat._table())
    for runtime in TargetRuntime:
        accepted = accepted_by(runtime)
        assert ENVIRONMENTS[runtime].distribution in accepted.source and accepted.version in accepted.source
        assert len(accepted.operators) > 140 and accepted.custom == set(CUSTOM)
        pinned = [r for r in ENVIRONMENTS[runtime].requirements if ENVIRONMENTS[runtime].distribution in r]
        assert not pinned or pinned == [f"{ENVIRONMENTS[runtime].distribution}=={accepted.version}"]


def test_newer_runtimes_accept_what_older_ones_do():
    order = (*OLD, TargetRuntime.LITERT_1_0, TargetRuntime.LITERT_1, TargetRuntime.LITERT_2_0)
    for older, newer in zip(order, (*order[1:], TargetRuntime.LITERT_2), strict=True):
        theirs = accepted_by(newer).operators
        for name, span in accepted_by(older).operators.items():
            assert set(span) <= set(theirs[name]), (older, newer, name)


@pytest.mark.parametrize("runtime", TargetRuntime)
def test_dense_version_12_is_refused_by_name_where_it_is_unknown(tmp_path, runtime):
    found = check_compat(_written(tmp_path, _dense(12)), runtime)
    newest = max(accepted_by(runtime).operators["FULLY_CONNECTED"])
    assert found.passed is (runtime not in OLD) is (newest >= 12)
    if not found.passed:
        (refusal,) = found.refused
        assert (refusal.operator, refusal.version, refusal.uses) == ("FULLY_CONNECTED", 12, 1)
        assert refusal.accepts == f"1-{newest}" and runtime.value in refusal.reason
    assert from_plain(CompatRecord, to_plain(found)) == found


def test_an_inspection_does_as_well_as_a_file(tmp_path):
    path = _written(tmp_path, _dense(12))
    inspection = inspect_tflite(path, run=False)
    for runtime in TargetRuntime:
        assert check_compat(inspection, runtime) == check_compat(path, runtime)


def test_operators_a_runtime_does_not_know(tmp_path):
    path = _written(tmp_path, single("my-op", [T((1, 4))], T((1, 4))))
    (refusal,) = check_compat(path, TargetRuntime.LITERT_2).refused
    assert refusal.accepts is None and "does not know it" in refusal.reason
    path = _written(tmp_path, custom_file("TFLite_Detection_PostProcess"))
    assert check_compat(path, TargetRuntime.TFLITE_2_9).passed
    path = _written(tmp_path, single("edgetpu-custom-op", [T((1, 4))], T((1, 4))))
    assert "delegate of an Edge TPU" in check_compat(path, TargetRuntime.LITERT_2).refused[0].reason
    path = _written(tmp_path, single("STABLEHLO_ADD", [T((1, 4), "float32")] * 2, T((1, 4), "float32")))
    assert [check_compat(path, runtime).passed for runtime in OLD] == [False, False, True]


def test_the_column_of_the_runtime_that_is_here():
    """A few of its operators asked again; all of them in the slow test below."""
    accepted = accepted_by(TargetRuntime.LITERT_2)
    if version("ai-edge-litert") != accepted.version:
        pytest.skip(f"the table is of {accepted.version}, installed is {version('ai-edge-litert')}")
    worker = Worker("litert-2")
    for name, code in {"ADD": 0, "CONV_2D": 3, "FULLY_CONNECTED": FULLY_CONNECTED, "GELU": 150}.items():
        last = accepted.operators[name][-1]
        answers = [worker.ask("accept", builtin_file(code, v))[0]["known"] for v in (1, last, last + 1)]
        assert answers == [True, True, False], name
    assert worker.ask("accept", custom_file("absent"))[0]["known"] is False
    worker.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["litert-2", "tflite-runtime-2.14"])
def test_a_column_made_anew_is_the_same(name):
    try:
        environment(name)
    except MissingError as error:
        pytest.skip(str(error))
    accepted = compat._table()[name]
    found = probe_runtime(name)
    if found["version"] != accepted["version"]:
        pytest.skip(f"the table is of {accepted['version']}, installed is {found['version']}")
    assert found == {**accepted, "source": found["source"]}


def test_agreement_in_steps():
    expected = np.array([[0.0, 1.0], [2.0, 5.1]], np.float32)
    same = agreement(expected, expected, 0.1)
    assert (same["max_difference"], same["agrees"], same["same_decision"]) == (0.0, True, 1.0)
    off = agreement(expected + np.float32([[0, 0.4], [0, 0]]), expected, 0.1)
    assert off["max_difference_steps"] == pytest.approx(4) and off["mean_difference_steps"] == pytest.approx(
        1
    )
    swapped = agreement(expected[:, ::-1], expected, 0.1)
    assert (swapped["agrees"], swapped["same_decision"]) == (False, 0.0)
    assert agreement(expected + np.float32(0.02), expected, 0.0)["mean_difference_steps"] == pytest.approx(
        1, rel=1e-4
    )


def test_loading_is_proved_by_running(tmp_path):
    images = np.random.Generator(np.random.PCG64(3)).integers(0, 256, (6, 8, 8, 3), np.uint8)
    found = prove_loading(_written(tmp_path, average_pool()), TargetRuntime.LITERT_2, images)
    assert found.loaded and found.agrees and found.max_difference == 0 and found.images == 6
    assert found.engine == found.here and found.output_spread is not None and found.output_spread > 0
    assert from_plain(LoadRecord, to_plain(found)) == found


def test_outputs_that_are_no_numbers_cannot_be_compared(tmp_path):
    path, images = _written(tmp_path, average_pool(dtype="float32")), np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(ModelError, match="not finite"):
        prove_loading(path, TargetRuntime.LITERT_2, images, input_range=(np.nan, 1.0))


def test_what_does_not_run_here_cannot_be_compared(tmp_path):
    images = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(ModelError, match="unresolved custom op"):
        prove_loading(_written(tmp_path, average_pool(custom="odd")), TargetRuntime.LITERT_2, images)


@pytest.mark.parametrize("_", [pytest.param(0, marks=SLOW_TO_MAKE)])
def test_the_old_runtime_refuses_dense_version_12_and_says_so(tmp_path, old_runtime, _):
    from edgekd.runtimes.tflite_runtime import TfliteRuntime

    path = _written(tmp_path, _dense(12))
    with pytest.raises(ModelError, match="'FULLY_CONNECTED' version '12'"):
        TfliteRuntime(path, old_runtime.value)
    assert not check_compat(path, old_runtime).passed


@pytest.mark.parametrize("_", [pytest.param(0, marks=SLOW_TO_MAKE)])
def test_the_old_runtime_runs_a_file_like_the_new_one(tmp_path, old_runtime, _):
    images = np.random.Generator(np.random.PCG64(3)).integers(0, 256, (6, 8, 8, 3), np.uint8)
    found = prove_loading(_written(tmp_path, average_pool()), old_runtime, images)
    assert found.loaded and found.agrees and found.engine is not None
    assert (found.engine.name, found.engine.version) == ("tflite-runtime", "2.14.0")
    assert found.max_difference_steps is not None and found.max_difference_steps <= 1.001  # one rounding


@pytest.mark.tf
@pytest.mark.slow
def test_exported_files_run_in_the_old_runtime(tmp_path, old_runtime):
    import tiny_students
    from edgekd.config import Precision
    from edgekd_converters.tflite import convert

    calibration, images = tiny_students.lesions(48, 2)[0], tiny_students.lesions(24, 3)[0]
    for precision in (Precision.FP32, Precision.FP16, Precision.DYNAMIC, Precision.INT8, Precision.INT8_PTQ):
        model = tiny_students.quantized() if precision is Precision.INT8 else tiny_students.student()
        path = _written(tmp_path, convert(model, precision, calibration))
        assert check_compat(path, old_runtime).passed, precision
        found = prove_loading(path, old_runtime, images)
        assert found.loaded and found.agrees, (precision, found)
        assert found.output_spread is not None and found.output_spread > 2


@pytest.mark.tf
@pytest.mark.slow
def test_a_file_that_loads_there_and_is_wrong_is_caught(tmp_path, old_runtime):
    """What ai-edge-quantizer writes as dynamic range passes the table and loads in 2.14, and is nonsense."""
    quantizer = pytest.importorskip("ai_edge_quantizer.quantizer")
    from ai_edge_quantizer import recipe

    import tiny_students
    from edgekd.config import Precision
    from edgekd_converters.tflite import convert

    path = _written(tmp_path, convert(tiny_students.student(), Precision.FP32))
    made = quantizer.Quantizer(str(path), recipe.dynamic_wi8_afp32()).quantize()
    made.export_model(str(tmp_path / "dynamic.tflite"))
    found = prove_loading(tmp_path / "dynamic.tflite", old_runtime, tiny_students.lesions(24, 3)[0])
    assert check_compat(tmp_path / "dynamic.tflite", old_runtime).passed
    assert found.loaded and found.agrees is False
