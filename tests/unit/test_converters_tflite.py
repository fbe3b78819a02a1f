from __future__ import annotations

import json
import stat

import numpy as np
import pytest

import tiny_line
import tiny_students
from edgekd.card import read_card
from edgekd.config import ExportConfig, Precision, VerifyConfig
from edgekd.errors import ModelError, UsageError
from edgekd.plain import from_plain, write_json
from edgekd.runtimes.litert import KERNELS, LitertRuntime
from edgekd_converters import worker
from edgekd_converters.export import export, export_file, model_file, write_exported
from edgekd_converters.inspect import inspect_tflite
from edgekd_converters.metadata import find_card, strip_card
from edgekd_converters.mixed import MixedSearch
from edgekd_converters.standard_metadata import strip_standard_metadata
from tiny_dataset import CLASSES, prepare
from tolerances import FLOAT_KERNELS_RELATIVE, INT8_MAX_STEPS, INT8_MEAN_STEPS, ROUNDED_WEIGHTS_MEAN_STEPS

FLOATS = (Precision.FP32, Precision.FP16, Precision.DYNAMIC)
CALIBRATED = (Precision.INT8_PTQ, Precision.INT16X8)
EVERY = (*FLOATS, Precision.INT8, *CALIBRATED)


@pytest.fixture(scope="module")
def images():
    noise = np.random.Generator(np.random.PCG64(5)).integers(0, 256, (12, 32, 32, 3), np.uint8)
    return np.concatenate([tiny_students.lesions(36, 3)[0], noise])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Every precision converted here, in this process."""
    from edgekd_converters.tflite import convert

    folder = tmp_path_factory.mktemp("files")
    calibration = tiny_students.lesions(48, 2)[0]
    for precision in EVERY:
        model = tiny_students.quantized() if precision is Precision.INT8 else tiny_students.student()
        (folder / f"{precision}.tflite").write_bytes(convert(model, precision, calibration))
    return {precision: folder / f"{precision}.tflite" for precision in EVERY}


@pytest.mark.tf
@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("precision", EVERY)
def test_a_file_answers_like_its_keras_twin(files, images, precision, kernels):
    twin = tiny_students.quantized() if precision is Precision.INT8 else tiny_students.student()
    expected = np.asarray(twin(images.astype(np.float32), training=False))
    runtime = LitertRuntime(files[precision], kernels=kernels)
    difference = np.abs(runtime.logits(images) - expected)
    step = runtime.output_step or np.ptp(expected) / 255
    assert np.ptp(expected) > 2
    if precision is Precision.FP32:
        assert difference.max() <= FLOAT_KERNELS_RELATIVE * np.ptp(expected)
    elif precision is Precision.INT8:
        assert difference.mean() <= INT8_MEAN_STEPS * step
        assert difference.max() <= INT8_MAX_STEPS * step
    else:
        assert difference.mean() <= ROUNDED_WEIGHTS_MEAN_STEPS * step


@pytest.mark.tf
@pytest.mark.parametrize("precision", EVERY)
def test_a_file_takes_one_raw_image(files, precision):
    found = inspect_tflite(files[precision])
    (image,), (logits,) = found.inputs, found.outputs
    assert (image.shape, image.dtype, logits.shape) == ((1, 32, 32, 3), "uint8", (1, 3))
    assert found.dynamic_tensors == 0
    assert not {"SHAPE", "STRIDED_SLICE", "PACK"} & {operator.name for operator in found.operators}


@pytest.mark.tf
@pytest.mark.parametrize("precision", [Precision.INT8, Precision.INT8_PTQ])
def test_int8_is_8_bit_throughout(files, precision):
    found = inspect_tflite(files[precision])
    assert found.float_operators == 0
    assert not {"float32", "float16"} & found.tensors.keys()
    assert found.inputs[0].scale == np.float32(1 / 127.5) and found.inputs[0].zero_point == 128
    assert found.outputs[0].dtype == "uint8" and found.outputs[0].scale is not None


@pytest.mark.tf
def test_smaller_precisions_are_smaller(files):
    size = {precision: path.stat().st_size for precision, path in files.items()}
    assert size[Precision.FP16] < size[Precision.FP32] and size[Precision.DYNAMIC] < size[Precision.FP16]
    assert size[Precision.INT8] < size[Precision.FP32]
    dense = [op for op in inspect_tflite(files[Precision.DYNAMIC]).operators if op.name == "FULLY_CONNECTED"]
    assert dense[0].version < 12  # runtimes up to 2.14 refuse version 12


@pytest.mark.tf
def test_the_station_writes_files_with_their_cards(files, tmp_path):
    precisions = (Precision.FP32, Precision.INT8)
    metrics = export(
        dataset_folder=prepare(tmp_path / "data"),
        student=tiny_students.folder(),
        qat=tiny_students.folder(),
        config=ExportConfig(precisions=precisions),
        verify=VerifyConfig(),
        seed=7,
        out=tmp_path / "export",
        name="tiny",
    )
    for precision in precisions:
        folder = tmp_path / "export" / precision
        assert sorted(path.name for path in folder.iterdir()) == ["card.json", "inspect.json", "model.tflite"]
        # Another process, the same bytes as here: nothing of time, place or hash order is in them.
        assert (
            strip_standard_metadata(strip_card((folder / "model.tflite").read_bytes()))
            == files[precision].read_bytes()
        )
        card = read_card(folder / "card.json")
        assert find_card((folder / "model.tflite").read_bytes()) == card
        assert (card.name, card.precision, card.input_px) == (f"tiny-{precision}", precision, 32)
        assert (card.labels, card.malignant, card.operating_point) == (CLASSES, ("mel",), None)
        assert card.provenance["seed"] == "7" and len(card.provenance["weights_sha256"]) == 64
        assert metrics[f"{precision}_size_bytes"] == (folder / "model.tflite").stat().st_size
        assert 10**8 < metrics.get(f"{precision}_peak_memory_bytes", 10**9) < 10**10


@pytest.mark.tf
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.DYNAMIC])
def test_a_file_that_was_not_quantized_is_not_called_int8(files, tmp_path, precision):
    (tmp_path / "model.tflite").write_bytes(files[precision].read_bytes())
    with pytest.raises(ModelError, match="operators still compute in float, int8 has"):
        write_exported(tmp_path / "model.tflite", tiny_line.card(Precision.INT8))
    assert not (tmp_path / "inspect.json").exists()


@pytest.mark.tf
@pytest.mark.slow
def test_the_station_puts_a_mixed_file_together(tmp_path):
    precisions = (Precision.INT8_MIXED, Precision.INT8_PTQ, Precision.FP32)
    tiny_students.student()
    data = prepare(tmp_path / "data", lambda count, seed: tiny_students.lesions(count, 70 + seed)[0])
    folders = {"dataset_folder": data, "student": tiny_students.folder(), "qat": None}
    rest = {"verify": VerifyConfig(), "seed": 7, "out": tmp_path / "export"}
    metrics = export(**folders, **rest, config=ExportConfig(precisions=precisions))
    folder = tmp_path / "export" / Precision.INT8_MIXED
    assert {path.name for path in folder.iterdir()} == {
        *("card.json", "inspect.json", "model.tflite", "mixed.json", "calibration.json")
    }
    card = read_card(folder / "card.json")
    assert find_card((folder / "model.tflite").read_bytes()) == card
    assert (card.precision, card.labels) == (Precision.INT8_MIXED, CLASSES)
    record = from_plain(MixedSearch, json.loads((folder / "mixed.json").read_text()))
    assert record.max_sensitivity_drop == 0.01 and record.step.satisfied
    sizes = [metrics[f"{precision}_size_bytes"] for precision in (Precision.INT8_PTQ, Precision.INT8_MIXED)]
    assert sizes[0] <= sizes[1] + 1000  # what a file packed anew may save
    with pytest.raises(UsageError, match="int8-mixed is put together from fp32 and int8-ptq: add int8-ptq"):
        export(**folders, **rest, config=ExportConfig(precisions=(Precision.INT8_MIXED, Precision.FP32)))


@pytest.mark.tf
@pytest.mark.parametrize("precision", FLOATS)
def test_a_second_conversion_makes_the_same_bytes(files, precision):
    from edgekd_converters.tflite import convert

    assert convert(tiny_students.student(), precision) == files[precision].read_bytes()


@pytest.mark.tf
def test_weights_that_are_not_finite_are_refused():
    from edgekd import lazy
    from edgekd_converters.tflite import convert

    model = lazy.keras().models.clone_model(tiny_students.student())
    weights = model.get_weights()
    weights[0][0, 0, 0, 0] = np.nan
    model.set_weights(weights)
    with pytest.raises(ModelError, match="holds NaN or infinity, its training diverged"):
        convert(model, Precision.FP32)


@pytest.mark.tf
def test_a_strangers_keras_model_is_refused(tmp_path):
    from edgekd import lazy

    layers = lazy.keras().layers
    model = lazy.keras().Sequential([layers.GlobalAveragePooling2D(input_shape=(32, 32, 3)), layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    answer, output = tmp_path / "answer.json", tmp_path / "model.tflite"
    request = worker.Request(
        model=str(tmp_path / "model.keras"),
        precision=Precision.FP32,
        output=str(output),
        answer=str(answer),
    )
    write_json(tmp_path / "request.json", request)
    assert worker._main(tmp_path / "request.json") == ModelError.exit_code
    assert "tell with --scaling" in answer.read_text()
    assert not output.exists()


def test_int8_wants_a_quantization_aware_model(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"")
    with pytest.raises(UsageError, match="int8 needs a quantization-aware model"):
        export_file(tmp_path / "model.keras", Precision.INT8, tmp_path / "model.tflite")
    with pytest.raises(UsageError, match="run the station qat"):
        model_file(tmp_path, None, Precision.INT8)
    with pytest.raises(ModelError, match="no such model file"):
        export_file(tmp_path / "absent.keras", Precision.FP32, tmp_path / "model.tflite")


def test_a_crash_of_the_converter_is_told_in_one_line(tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho loading >&2; echo 'LLVM ERROR: no' >&2; kill -SEGV $$\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(worker.sys, "executable", str(script))
    (tmp_path / "model.keras").write_bytes(b"")
    with pytest.raises(ModelError, match=r"crashed .*loading \| LLVM ERROR: no") as caught:
        export_file(tmp_path / "model.keras", Precision.FP32, tmp_path / "model.tflite")
    assert "\n" not in str(caught.value)
