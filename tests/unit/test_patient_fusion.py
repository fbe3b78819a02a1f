"""Picture and patient in one network: built, rounded, converted, and fed the right way round."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import tiny_students
from edgekd.assess import check_card
from edgekd.config import ExportConfig, Precision, VerifyConfig
from edgekd.data.dataset import Dataset
from edgekd.errors import ModelError, UsageError
from edgekd.metrics.predictions import Predictions
from edgekd.patient_input import PatientInput
from edgekd_converters.verdict_parity import ParityRecord, measure_parity
from fused_students import (
    CLASSES,
    COLUMNS,
    CONFIG,
    FILES,
    PX,
    F,
    card,
    exported,
    opened,
    pairs,
    student,
    twin,
)
from patient_data import write_patients

pytestmark = pytest.mark.tf


def parity(precision: Precision, ours: np.ndarray, theirs: np.ndarray) -> ParityRecord:
    def said(logits: np.ndarray) -> Predictions:
        return Predictions(
            image_ids=tuple(str(n) for n in range(len(logits))),
            labels=np.arange(len(logits)) % 3 == 0,
            logits=logits,
            names=CLASSES,
            malignant=("mel",),
        )

    return measure_parity(
        said(ours),
        said(theirs),
        precision=precision,
        twin_name="twin",
        twin_threshold=0.0,
        output_step=0.0,
        config=VerifyConfig(),
    )


@pytest.mark.parametrize("precision", FILES)
def test_a_file_is_its_twin_on_both_inputs_and_a_wrong_patient_vector_is_noticed(precision) -> None:
    images, vectors, _ = pairs(30, 4)
    runtime, expected = opened(exported(precision)), twin(precision).logits(images, vectors)
    assert runtime.n_features == F
    assert parity(precision, runtime.logits(images, vectors), expected).passed
    wrong = {
        "order": vectors[:, ::-1].copy(),
        "scale": np.round(vectors * 127) / np.float32(255),
        "absent": np.zeros_like(vectors),
        "of the next person": np.roll(vectors, 1, axis=0),
    }
    recoloured = runtime.logits(images[..., ::-1].copy(), vectors)
    assert not parity(precision, recoloured, expected).passed
    for name, other in wrong.items():
        assert not parity(precision, runtime.logits(images, other.astype(np.float32)), expected).passed, name


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8_PTQ, Precision.INT8])
def test_a_tflite_file_takes_two_tensors_of_bytes_by_name_and_tells_what_they_are(precision) -> None:
    from edgekd_converters.inspect import inspect_tflite
    from edgekd_converters.standard_metadata import read_standard_metadata

    found = inspect_tflite(exported(precision))
    image, patient = sorted(found.inputs, key=lambda port: -len(port.shape))
    assert (image.name, image.dtype, image.shape) == ("image", "uint8", (1, PX, PX, 3))
    assert (patient.name, patient.dtype, patient.shape) == ("patient", "uint8", (1, F))
    if precision is not Precision.FP32:
        assert (patient.scale, patient.zero_point) == (float(np.float32(1 / 255)), 0)
        assert found.float_operators == 0
    told = {tensor.name: tensor for tensor in read_standard_metadata(exported(precision)).inputs}
    assert (told["image"].kind, told["patient"].kind) == ("image", "feature")
    assert [tensor.name for tensor in read_standard_metadata(exported(precision)).inputs] == [
        port.name for port in found.inputs
    ]
    assert told["patient"].description.startswith("age, site_a, site_b, site_c. byte = floor(255")


def test_the_card_inside_says_how_the_second_input_is_made() -> None:
    from edgekd.runtimes.mil.package import open_package
    from edgekd.runtimes.mil.spec import read_specification
    from edgekd_converters.coreml_card import read_card_coreml
    from edgekd_converters.metadata import read_card

    package = exported(Precision.COREML_FP32)
    for found in (read_card(exported(Precision.INT8)), read_card_coreml(package)):
        assert found.patient == PatientInput(columns=COLUMNS)
        assert found.patient.missing.startswith("byte 0 for all that is not known")
    inputs = {port.name: port for port in read_specification(open_package(package).read_model()).inputs}
    assert (inputs["patient"].kind, inputs["patient"].dtype, inputs["patient"].shape) == (
        "array",
        "float32",
        (1, F),
    )
    assert inputs["patient"].description.startswith(f"float32 [1, {F}], 0 to 1: age, site_a")
    assert inputs["image"].description.startswith("RGB")


def test_a_missing_or_misshapen_patient_vector_is_refused_by_every_engine() -> None:
    images, vectors, _ = pairs(2, 4)
    for runtime in (twin(Precision.FP32), *(opened(exported(precision)) for precision in FILES)):
        for wrong in (None, vectors[:1], vectors[:, :2], vectors * 2, vectors * np.float32(np.nan)):
            with pytest.raises(ModelError, match="patient values"):
                runtime.logits(images, wrong)
    alone = tiny_students.student()
    from edgekd.runtimes.keras import KerasRuntime

    with pytest.raises(ModelError, match="takes 0 patient values"):
        KerasRuntime(alone).logits(images, vectors)


def test_calibration_without_the_patients_is_refused() -> None:
    from edgekd_converters.tflite import convert

    images, vectors, _ = pairs(4, 3)
    for wrong in (None, vectors[:2], vectors[:, :2]):
        with pytest.raises(UsageError, match="patient values of each calibration image"):
            convert(student(), Precision.INT8_PTQ, images, wrong)


def test_a_file_with_another_number_of_patient_values_does_not_take_the_card() -> None:
    from edgekd_converters.standard_metadata import embed_standard_metadata

    model = exported(Precision.FP32).read_bytes()
    fewer = dataclasses.replace(card(Precision.FP32), patient=PatientInput(columns=COLUMNS[:2]))
    for wrong in (fewer, dataclasses.replace(fewer, patient=None)):
        with pytest.raises(ModelError, match="2 inputs and 1 outputs"):
            embed_standard_metadata(model, wrong)


def test_without_patient_data_a_network_is_what_it_was() -> None:
    from edgekd.models.catalogue import build, core

    alone = build(CONFIG, input_px=PX, n_logits=3, seed=1)
    assert [tensor.name for tensor in alone.inputs] == ["image"]
    both = build(CONFIG, input_px=PX, n_logits=3, seed=1, n_features=F)
    assert [tensor.name for tensor in both.inputs] == ["image", "patient"]
    for name in ("conv1", "conv2", "conv3"):
        ours, theirs = (core(model).get_layer(name).kernel.numpy() for model in (alone, both))
        assert np.array_equal(ours, theirs)
    assert core(both).get_layer("patient_dense1").kernel.shape == (F, 8)


def test_the_model_is_called_with_what_it_takes() -> None:
    from edgekd.models.inputs import feed, n_features

    images, vectors, _ = pairs(2, 4)
    nothing = np.zeros((2, 0), np.float32)
    assert n_features(student()) == F and n_features(tiny_students.student()) == 0
    assert feed(tiny_students.student(), images, nothing) is images
    assert [
        part is whole for part, whole in zip(feed(student(), images, vectors), (images, vectors), strict=True)
    ]
    for model, wrong in ((student(), nothing), (tiny_students.student(), vectors)):
        with pytest.raises(ModelError, match="prepare the data with the patient fields"):
            feed(model, images, wrong)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_engines_that_are_timed_answer_as_litert_does(precision) -> None:
    from edgekd.runtimes.litert import open_interpreter, ports
    from edgekd.runtimes.tflite_runtime import TfliteRuntime
    from edgekd_bench.backend_litert import open_litert
    from edgekd_bench.backend_tflite_runtime import open_tflite_runtime
    from edgekd_bench.loaded import PortRuntime, interpreted

    path = exported(precision)
    images, vectors, _ = pairs(20, 4)
    here = opened(path)
    expected = here.logits(images, vectors)
    for loaded in (open_litert(path, 1, "xnnpack"), open_tflite_runtime(path, 1, "litert-2")):
        assert sorted(len(port.shape) for port in loaded.input) == [2, 4]
        loaded.run()
        loaded.close()
    interpreter = open_interpreter(path)
    known = ports(interpreter)
    bench = PortRuntime(path, here.engine, known, interpreted(interpreter, *known))
    worker = TfliteRuntime(path, "litert-2")
    try:
        for runtime in (bench, worker):
            assert runtime.n_features == F
            np.testing.assert_array_equal(runtime.logits(images, vectors), expected)
        assert len(worker.time_runs(3)) == 3
    finally:
        worker.close()


def test_a_second_input_of_somebody_else_is_not_taken_for_patient_values(tmp_path) -> None:
    from edgekd.models.scaling import Scaling
    from edgekd_converters.stranger import load_model

    student().save(tmp_path / "stranger.keras")
    with pytest.raises(ModelError, match="a second input, and nothing says what belongs there"):
        load_model(tmp_path / "stranger.keras", Scaling.SIGNED)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_patients(tmp_path_factory.mktemp("patients") / "data")


def test_a_mixed_file_is_not_promised(dataset, tmp_path) -> None:
    from edgekd_converters.export import export

    wanted = ExportConfig(precisions=(Precision.FP32, Precision.INT8_PTQ, Precision.INT8_MIXED))
    with pytest.raises(UsageError, match="int8-mixed is not made for a network that takes patient data"):
        export(
            dataset_folder=dataset.folder,
            student=tmp_path,
            qat=None,
            config=wanted,
            verify=VerifyConfig(),
            seed=1,
            out=tmp_path / "out",
        )


def test_a_card_that_makes_patient_values_otherwise_is_found_out(dataset) -> None:
    from edgekd_converters.verify_findings import card_findings

    right = dataclasses.replace(card(Precision.FP32), patient=dataset.patient)
    assert card_findings(right, dataset) == ()
    for wrong in (None, PatientInput(columns=COLUMNS)):
        (finding,) = card_findings(dataclasses.replace(right, patient=wrong), dataset)
        assert "patient values in another way" in finding.message


def test_a_card_of_another_model_is_refused_before_anybody_is_judged() -> None:
    runtime = opened(exported(Precision.FP32))
    check_card(runtime, card(Precision.FP32))
    for wrong in (None, PatientInput(columns=COLUMNS[:2])):
        with pytest.raises(ModelError, match="this is the card of another model"):
            check_card(runtime, dataclasses.replace(card(Precision.FP32), patient=wrong))


def test_what_calibrates_are_training_rows_with_their_persons(dataset) -> None:
    from edgekd_converters.calibration import choose_calibration

    chosen = choose_calibration(dataset, count=20, seed=1)
    place = {row.image_id: number for number, row in enumerate(dataset.train.rows)}
    numbers = [place[name] for name in chosen.record.image_ids]
    assert np.array_equal(chosen.features, dataset.train.features[numbers])
    swapped = dataclasses.replace(dataset.train, features=np.roll(dataset.train.features, 1, axis=0))
    other = choose_calibration(dataclasses.replace(dataset, train=swapped), count=20, seed=1)
    assert other.record.sha256 == chosen.record.sha256
    assert other.record.patient_sha256 != chosen.record.patient_sha256
