"""Somebody else's models: read as they are meant, refused where they hold code or are damaged."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from edgekd.config import Precision
from edgekd.errors import ModelError
from edgekd.models.scaling import Scaling

pytestmark = pytest.mark.tf
IMAGES = np.random.Generator(np.random.PCG64(3)).integers(0, 256, (4, 16, 16, 3)).astype(np.float32)


def network(ending: str | None = None, *, extra=()):
    """A small classifier of inputs in [0, 1] with random weights."""
    from edgekd import lazy

    keras = lazy.keras()
    keras.utils.set_random_seed(2)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    for layer in extra:
        x = layer(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(3, activation=ending)(x))


def load(path, **options):
    from edgekd_converters.stranger import load_model

    return load_model(path, Scaling.UNIT, **options)


def lambda_layer():
    from edgekd import lazy

    return lazy.keras().layers.Lambda(lambda x: x * 2)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_a_softmax_at_the_end_comes_off(tmp_path, suffix):
    model = network("softmax")
    model.save(tmp_path / f"model{suffix}")
    logits = np.asarray(load(tmp_path / f"model{suffix}")(IMAGES))
    expected = np.asarray(model(IMAGES / 255))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, expected, atol=1e-6)  # float32 of numbers below 1
    assert np.abs(logits.sum(axis=1) - 1).max() > 1e-3


def test_logits_stay(tmp_path):
    model = network()
    model.save(tmp_path / "model.keras")
    logits = np.asarray(load(tmp_path / "model.keras")(IMAGES))
    np.testing.assert_allclose(logits, np.asarray(model(IMAGES / 255)), atol=1e-6)


def test_a_saved_model_answers_through_its_signature(tmp_path):
    from edgekd.runtimes.litert import LitertRuntime
    from edgekd_converters.tflite import convert

    model = network()
    model.export(str(tmp_path / "saved"))
    loaded = load(tmp_path / "saved")
    expected = np.asarray(model(IMAGES / 255))
    np.testing.assert_allclose(np.asarray(loaded(IMAGES)), expected, atol=1e-6)
    (tmp_path / "model.tflite").write_bytes(convert(loaded, Precision.FP32))
    answers = LitertRuntime(tmp_path / "model.tflite").logits(IMAGES.astype(np.uint8))
    np.testing.assert_allclose(answers, expected, atol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_a_lambda_is_refused(tmp_path, suffix):
    network(extra=[lambda_layer()]).save(tmp_path / f"model{suffix}")
    with pytest.raises(ModelError, match="holds Lambda, which runs code of the file; .*--trust"):
        load(tmp_path / f"model{suffix}")


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_a_trusted_lambda_runs(tmp_path):
    model = network(extra=[lambda_layer()])
    model.save(tmp_path / "model.h5")
    logits = np.asarray(load(tmp_path / "model.h5", trusted=True)(IMAGES))
    np.testing.assert_allclose(logits, np.asarray(model(IMAGES / 255)), atol=1e-6)


def test_a_graph_that_writes_files_is_refused_before_it_is_loaded(tmp_path):
    from edgekd import lazy

    tf = lazy.tensorflow()

    class Writer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 3])])
        def __call__(self, image):
            tf.io.write_file(str(tmp_path / "written"), "x")
            return {"logits": tf.reduce_mean(image, axis=(1, 2))}

    writer = Writer()
    tf.saved_model.save(writer, str(tmp_path / "saved"), signatures=writer.__call__)
    with pytest.raises(ModelError, match="holds WriteFile, which reach outside"):
        load(tmp_path / "saved")
    assert not (tmp_path / "written").exists()


def test_an_archive_that_unpacks_to_too_much_is_refused_unopened(tmp_path, monkeypatch):
    from edgekd_converters import stranger

    monkeypatch.setattr(stranger, "MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({}))
        archive.writestr("model.weights.h5", bytes(8 << 20))
    with pytest.raises(ModelError, match="unpacks to 8388610 bytes in 2 entries, expected at most 1048576"):
        load(tmp_path / "bomb.keras")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.keras", b"", "not a .keras archive"),
        ("model.keras", b"PK\x03\x04 and nothing", "not a .keras archive"),
        ("model.h5", b"", "not an HDF5 file"),
        ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(64), "not an HDF5 file"),
        ("model.onnx", b"", "no .keras or .h5 file and no SavedModel folder"),
        ("saved/saved_model.pb", b"\xff" * 40, "damaged"),
        ("saved/other.pb", b"", "not a SavedModel folder"),
    ],
)
def test_a_damaged_file_is_one_clear_line(tmp_path, name, content, said):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ModelError, match=said) as caught:
        load(path if path.parent == tmp_path else path.parent)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_weights_alone_are_no_model(tmp_path):
    network().save_weights(tmp_path / "model.h5")
    with pytest.raises(ModelError, match="weights but no network"):
        load(tmp_path / "model.h5")


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_a_description_of_no_known_letters_is_refused(tmp_path):
    network().save(tmp_path / "model.h5")
    data = (tmp_path / "model.h5").read_bytes()
    (tmp_path / "model.h5").write_bytes(data.replace(b'{"class_name"', b'{"class\xdfname"', 1))
    with pytest.raises(ModelError, match="its description is not JSON"):
        load(tmp_path / "model.h5")


@pytest.mark.filterwarnings("ignore:.*:UserWarning:tf_keras")
def test_a_network_without_layers_is_refused(tmp_path):
    from edgekd import lazy

    lazy.keras().Sequential([]).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="a network without layers"):
        load(tmp_path / "model.keras")


def test_deeply_nested_json_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "[" * 100_000 + "]" * 100_000)
    with pytest.raises(ModelError, match="description is not JSON"):
        load(tmp_path / "model.keras")


def test_an_8_bit_file_calibrated_on_photographs(tmp_path):
    from edgekd.imaging.opencv import cv2
    from edgekd.runtimes.litert import LitertRuntime
    from edgekd_converters.calibration import choose_files
    from edgekd_converters.export import export_file
    from edgekd_converters.inspect import inspect_tflite

    model = network("softmax")
    model.save(tmp_path / "model.keras")
    rng = np.random.Generator(np.random.PCG64(4))
    for number in range(12):
        photograph = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (32, 24))
        cv2.imwrite(str(tmp_path / f"{number:02d}.png"), photograph)
    files = choose_files(tmp_path, count=10, seed=1)
    assert len(set(files)) == 10 and files == choose_files(tmp_path, count=10, seed=1)
    export_file(
        tmp_path / "model.keras",
        Precision.INT8_PTQ,
        tmp_path / "model.tflite",
        calibration_files=files,
        scaling=Scaling.UNIT,
    )
    found = inspect_tflite(tmp_path / "model.tflite")
    assert found.float_operators == 0
    assert (found.inputs[0].scale, found.inputs[0].zero_point) == (np.float32(1 / 255), 0)
    runtime = LitertRuntime(tmp_path / "model.tflite")
    expected = np.asarray(load(tmp_path / "model.keras")(IMAGES))
    # Noise lies a little outside of what photographs calibrate: a few steps in each of three layers.
    assert np.abs(runtime.logits(IMAGES.astype(np.uint8)) - expected).mean() < 6 * runtime.output_step


def test_a_model_of_unknown_scaling_is_not_guessed_at(tmp_path):
    from edgekd_converters.export import export_file

    network().save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="does not say what it expects of pixels: tell with --scaling"):
        export_file(tmp_path / "model.keras", Precision.FP32, tmp_path / "model.tflite")
