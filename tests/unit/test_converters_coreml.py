from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny_mlpackage as tiny
import tiny_students
from edgekd.card import ModelCard, OperatingPoint
from edgekd.config import Precision
from edgekd.errors import ModelError, StorageError, UsageError
from edgekd.runtimes.coreml import CoremlRuntime
from edgekd.runtimes.mil.package import open_package
from edgekd.runtimes.mil.spec import read_specification
from edgekd_converters import coreml_card
from edgekd_converters.coreml import convert_coreml, embed_card_coreml, read_card_coreml
from edgekd_converters.coreml_inspect import inspect_coreml
from tolerances import (
    FLOAT_KERNELS_RELATIVE,
    HALF_PRECISION_RELATIVE,
    PALETTE_MEAN_STEPS,
    ROUNDED_WEIGHTS_MEAN_STEPS,
)

PRECISIONS = (Precision.COREML_FP32, Precision.COREML_FP16, Precision.COREML_INT8, Precision.COREML_PAL4)
STORED_AS = dict(zip(PRECISIONS, ("float32", "float16", "int8", "4-bit palette"), strict=True))


@pytest.fixture(scope="module")
def images():
    noise = np.random.Generator(np.random.PCG64(5)).integers(0, 256, (12, 32, 32, 3), np.uint8)
    return np.concatenate([tiny_students.lesions(36, 3)[0], noise])


@pytest.fixture(scope="module")
def expected(images):
    logits = np.asarray(tiny_students.student()(images.astype(np.float32), training=False))
    assert np.ptp(logits, axis=0).min() > 2  # flat outputs would agree whatever is wrong
    return logits


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    for precision in PRECISIONS:
        convert_coreml(tiny_students.student(), precision, folder / f"{precision}.mlpackage")
    return {precision: folder / f"{precision}.mlpackage" for precision in PRECISIONS}


def card(precision: str = "coreml-fp16", **changes) -> ModelCard:
    return ModelCard(
        name=f"tiny-{precision}",
        precision=precision,
        input_px=32,
        labels=("mel", "nv", "bkl"),
        malignant=("mel",),
        provenance={"edgekd": "0.1.0", "weights_sha256": "ab" * 32},
        **changes,
    )


@pytest.mark.tf
def test_float_packages_answer_like_keras(packages, images, expected):
    found = CoremlRuntime(packages[Precision.COREML_FP32]).logits(images)
    assert np.abs(found - expected).max() <= FLOAT_KERNELS_RELATIVE * np.ptp(expected)
    for kernels in ("float32", "float16"):
        found = CoremlRuntime(packages[Precision.COREML_FP16], kernels).logits(images)
        assert 0 < np.abs(found - expected).max() <= HALF_PRECISION_RELATIVE * np.ptp(expected)


@pytest.mark.tf
def test_compressed_packages_answer_nearly_like_keras(packages, images, expected):
    step = np.ptp(expected) / 255
    rounded = np.abs(CoremlRuntime(packages[Precision.COREML_INT8]).logits(images) - expected)
    palette = np.abs(CoremlRuntime(packages[Precision.COREML_PAL4]).logits(images) - expected)
    assert rounded.mean() <= ROUNDED_WEIGHTS_MEAN_STEPS * step
    assert rounded.mean() < palette.mean() <= PALETTE_MEAN_STEPS * step


@pytest.mark.tf
def test_what_would_break_a_package_is_noticed(packages, images, expected, tmp_path):
    """The same comparison as above, on packages and pixels with one thing wrong each."""
    allowed = FLOAT_KERNELS_RELATIVE * np.ptp(expected)
    whole = packages[Precision.COREML_FP32]
    swapped = CoremlRuntime(whole).logits(images[..., ::-1])
    assert np.abs(swapped - expected).max() > 100 * allowed
    assert np.abs(CoremlRuntime(whole).logits(images)[:, [1, 0, 2]] - expected).max() > 100 * allowed
    biases = [layer.bias.numpy() for layer in _dense_and_conv(tiny_students.student())]
    for number, bias in enumerate(biases):
        path = shutil.copytree(whole, tmp_path / f"{number}.mlpackage")
        weights = path / "Data/com.apple.CoreML/weights/weight.bin"
        data = weights.read_bytes()
        assert bias.tobytes() in data or len(bias) < 10  # a short one lies in the model file
        if bias.tobytes() in data:
            weights.write_bytes(data.replace(bias.tobytes(), bytes(bias.nbytes)))
            assert np.abs(CoremlRuntime(path).logits(images) - expected).max() > 10 * allowed


def _dense_and_conv(model):
    from edgekd.models.catalogue import leaves

    return [layer for layer in leaves(model) if getattr(layer, "bias", None) is not None]


@pytest.mark.tf
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_package_takes_a_picture_and_stores_its_weights_as_its_name_says(packages, precision):
    found = inspect_coreml(packages[precision])
    (image,), (logits,) = found.inputs, found.outputs
    assert (image.name, image.kind, image.dtype, image.shape) == ("image", "image", "RGB", (32, 32, 3))
    assert (logits.name, logits.kind, logits.dtype, logits.shape) == ("logits", "array", "float32", (1, 3))
    assert found.kind == "mlProgram" and found.specification_version == 7 and not found.unknown_operations
    assert max(found.weight_values, key=found.weight_values.__getitem__) == STORED_AS[precision]
    assert found.weight_values.get("float32", 0) == 0 or precision is Precision.COREML_FP32
    assert not found.warnings and not found.has_card
    parameters = sum(int(np.prod(weight.shape)) for weight in tiny_students.student().weights)
    assert sum(found.weight_values.values()) == pytest.approx(parameters, rel=0.05)


@pytest.mark.tf
def test_smaller_precisions_are_smaller(packages):
    sizes = [sum(inspect_coreml(packages[precision]).weight_bytes.values()) for precision in PRECISIONS]
    assert sizes == sorted(sizes, reverse=True) and sizes[3] < 0.3 * sizes[0]


@pytest.mark.tf
def test_a_package_under_another_name_is_warned_of(packages, tmp_path):
    path = shutil.copytree(packages[Precision.COREML_FP16], tmp_path / "coreml-int8.mlpackage")
    (warning,) = inspect_coreml(path).warnings
    assert warning == "called coreml-int8, but most of its weights are stored as float16, not int8"
    inside = shutil.copytree(packages[Precision.COREML_FP16], tmp_path / "coreml-pal4" / "model.mlpackage")
    assert "called coreml-pal4" in inspect_coreml(inside).warnings[0]
    embed_card_coreml(path, card("coreml-fp16"))  # a card counts more than a name
    assert not inspect_coreml(path).warnings


@pytest.mark.tf
def test_a_second_conversion_makes_the_same_bytes(packages, tmp_path):
    output = tmp_path / "again.mlpackage"
    output.mkdir()
    (output / "old").touch()
    for precision in (Precision.COREML_INT8, Precision.COREML_PAL4):
        convert_coreml(tiny_students.student(), precision, output)
        assert open_package(output).sha256() == open_package(packages[precision]).sha256()
    assert [path.name for path in tmp_path.iterdir()] == ["again.mlpackage"]
    text = b"".join(path.read_bytes() for path in output.rglob("*") if path.is_file())
    assert b"conversion_date" not in text


@pytest.mark.tf
@pytest.mark.slow
def test_another_process_makes_the_same_bytes(packages, tmp_path):
    code = (
        "import sys; from pathlib import Path; from edgekd.config import Precision\n"
        "from edgekd.runtimes.keras import load_keras; from edgekd_converters.coreml import convert_coreml\n"
        "model = load_keras(Path(sys.argv[1]))\n"
        "for name in ('coreml-pal4', 'coreml-fp32'):\n"
        "    convert_coreml(model, Precision(name), Path(sys.argv[2], name + '.mlpackage'))\n"
    )
    model = tiny_students.folder() / "model.keras"
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    subprocess.run([sys.executable, "-c", code, str(model), str(tmp_path)], env=environment, check=True)
    for precision in (Precision.COREML_PAL4, Precision.COREML_FP32):
        found = open_package(tmp_path / f"{precision}.mlpackage").sha256()
        assert found == open_package(packages[precision]).sha256()


@pytest.mark.tf
def test_the_digest_is_that_of_the_shells_tools(packages):
    path = packages[Precision.COREML_FP32]
    command = "find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == inspect_coreml(path).sha256


@pytest.mark.tf
def test_a_strangers_keras_model_converts_too(tmp_path, images):
    from edgekd import lazy

    layers = lazy.keras().layers
    lazy.keras().utils.set_random_seed(3)
    model = lazy.keras().Sequential(
        [
            layers.Rescaling(1 / 255, input_shape=(32, 32, 3)),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="swish"),
            layers.DepthwiseConv2D(3, padding="same", activation="relu6"),
            layers.Conv2D(12, 3, groups=4, activation="relu"),
            layers.AveragePooling2D(3, 2, padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, kernel_initializer=lazy.keras().initializers.RandomNormal(stddev=20, seed=1)),
        ]
    )
    convert_coreml(model, Precision.COREML_FP32, tmp_path / "a.mlpackage")
    expected = np.asarray(model(images.astype(np.float32), training=False))
    assert np.ptp(expected) > 2
    found = CoremlRuntime(tmp_path / "a.mlpackage").logits(images)
    assert np.abs(found - expected).max() <= FLOAT_KERNELS_RELATIVE * np.ptp(expected)


def _emulating_model():
    from edgekd import lazy

    keras, tf = lazy.keras(), lazy.tensorflow()
    image = keras.Input((32, 32, 3))
    rounded = tf.quantization.fake_quant_with_min_max_vars(image, 0.0, 255.0)
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(rounded)))


@pytest.mark.tf
def test_a_quantization_aware_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="quantization-aware .* convert the float student"):
        convert_coreml(_emulating_model(), Precision.COREML_INT8, tmp_path / "a.mlpackage")
    assert not list(tmp_path.iterdir())


@pytest.mark.tf
@pytest.mark.slow
def test_the_quantization_aware_student_is_refused(tmp_path):
    with pytest.raises(UsageError, match="quantization-aware"):
        convert_coreml(tiny_students.quantized(), Precision.COREML_INT8, tmp_path / "a.mlpackage")


@pytest.mark.tf
def test_a_quantization_aware_model_converted_elsewhere_is_warned_of(tmp_path, monkeypatch):
    from edgekd_converters import coreml

    monkeypatch.setattr(coreml, "_check_float", lambda model, function: None)
    convert_coreml(_emulating_model(), Precision.COREML_FP32, tmp_path / "coreml-int8.mlpackage")
    warnings = inspect_coreml(tmp_path / "coreml-int8.mlpackage").warnings
    assert any("a quantization-aware model that was converted as a float model" in line for line in warnings)


@pytest.mark.tf
def test_weights_that_are_not_finite_are_refused(tmp_path):
    from edgekd import lazy

    model = lazy.keras().models.clone_model(tiny_students.student())
    weights = model.get_weights()
    weights[0][0, 0, 0, 0] = np.inf
    model.set_weights(weights)
    with pytest.raises(ModelError, match="holds NaN or infinity"):
        convert_coreml(model, Precision.COREML_FP32, tmp_path / "a.mlpackage")


@pytest.mark.tf
def test_coremltools_reads_what_was_written(packages, tmp_path):
    """The card is put in without coremltools: its own reader has to find the same."""
    import coremltools

    path = shutil.copytree(packages[Precision.COREML_INT8], tmp_path / "a.mlpackage")
    written = card(
        "coreml-int8", operating_point=OperatingPoint(rule="r(0.9)", threshold=-1.5, fitted_on="v")
    )
    embed_card_coreml(path, written)
    specification = coremltools.utils.load_spec(str(path))
    metadata = specification.description.metadata
    assert ModelCard.from_json(metadata.userDefined["edgekd.card"]) == written
    assert metadata.userDefined["edgekd.labels"] == "mel, nv, bkl"
    assert metadata.userDefined["edgekd.malignant"] == "mel"
    assert metadata.userDefined["edgekd.threshold"] == "-1.5 (r(0.9), fitted on v)"
    assert metadata.userDefined["com.github.apple.coremltools.version"]
    assert metadata.shortDescription.startswith("tiny-coreml-int8: Research")
    assert (metadata.author, metadata.versionString) == ("edgekd 0.1.0", "ab" * 6)
    assert "licences of the training images" in metadata.license
    assert specification.description.output[0].shortDescription == "Raw logits of mel, nv, bkl, in this order"
    before = coremltools.utils.load_spec(str(packages[Precision.COREML_INT8]))
    assert specification.mlProgram == before.mlProgram
    assert specification.description.input[0].type == before.description.input[0].type
    assert "imageClassifier" not in str(metadata)


def test_a_card_goes_in_and_comes_out(tmp_path):
    path = tiny.average(tmp_path / "a.mlpackage", metadata={"theirs": "kept", "edgekd.card": "old"})
    first, second = card(), card(limits=("ä",))
    with pytest.raises(ModelError, match="not JSON"):
        read_card_coreml(path)
    for one in (first, second, first):
        embed_card_coreml(path, one)
        assert read_card_coreml(path) == one
        last = (path / open_package(path).model).read_bytes()
    embed_card_coreml(path, second)
    embed_card_coreml(path, first)
    assert (path / open_package(path).model).read_bytes() == last
    found = read_specification(last)
    assert found.user_defined["theirs"] == "kept" and found.standard["author"] == "edgekd 0.1.0"
    assert inspect_coreml(path).has_card
    np.testing.assert_allclose(CoremlRuntime(path).logits(np.full((1, 4, 4, 3), 9, np.uint8)), [[9, 9, 9]])


def test_labels_in_another_order_are_another_card(tmp_path):
    path = tiny.average(tmp_path / "a.mlpackage")
    embed_card_coreml(path, card())
    permuted = replace(card(), labels=("nv", "mel", "bkl"))
    assert read_card_coreml(path) != permuted
    before = read_specification(open_package(path).read_model())
    embed_card_coreml(path, permuted)
    after = read_specification(open_package(path).read_model())
    assert before.outputs[0].description != after.outputs[0].description
    assert before.user_defined["edgekd.labels"] != after.user_defined["edgekd.labels"]


def test_no_card_and_a_damaged_card(tmp_path):
    with pytest.raises(ModelError, match="no model card inside"):
        read_card_coreml(tiny.average(tmp_path / "a.mlpackage"))
    path = tiny.average(tmp_path / "b.mlpackage", metadata={"edgekd.card": "[" * 100_000})
    with pytest.raises(ModelError, match="b.mlpackage"):
        read_card_coreml(path)
    assert "not readable" in inspect_coreml(path).warnings[0]
    with pytest.raises(ModelError, match="no such folder"):
        embed_card_coreml(tmp_path / "absent.mlpackage", card())


def test_a_card_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tiny.average(tmp_path / "a.mlpackage")
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(coreml_card.Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left"):
        embed_card_coreml(path, card())
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_the_preview_of_xcode_is_for_classifiers(tmp_path):
    from edgekd.runtimes.mil.wire import Budget, Message, encode
    from edgekd.runtimes.mil.wire import replace as rewrite

    path = tiny.average(tmp_path / "a.mlpackage")
    embed_card_coreml(path, card())
    model = path / open_package(path).model
    key = "com.apple.coreml.model.preview.type"
    assert key not in read_specification(model.read_bytes()).user_defined
    data = model.read_bytes()
    description = Message(data, Budget()).joined(2) + encode(11, "label")
    model.write_bytes(rewrite(data, 2, [description]))
    embed_card_coreml(path, card())
    assert read_specification(model.read_bytes()).user_defined[key] == "imageClassifier"


def test_cards_need_neither_coremltools_nor_tensorflow(tmp_path):
    path = tiny.average(tmp_path / "a.mlpackage")
    code = (
        "import sys; from pathlib import Path; from edgekd.card import ModelCard\n"
        "from edgekd_converters.coreml import embed_card_coreml, read_card_coreml\n"
        "from edgekd_converters.coreml_inspect import inspect_coreml\n"
        "card = ModelCard.from_json(sys.argv[2]); path = Path(sys.argv[1]); embed_card_coreml(path, card)\n"
        "print(read_card_coreml(path) == card, inspect_coreml(path).has_card)\n"
        "print({'coremltools', 'tensorflow', 'google'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), card().to_json()], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["True True", "set()"]


def test_the_record_is_plain_json(tmp_path):
    from edgekd.plain import from_plain, write_json
    from edgekd_converters.coreml_inspect import CoremlInspection

    found = inspect_coreml(tiny.scaled(tmp_path / "a.mlpackage"))
    write_json(tmp_path / "inspect.json", found)
    read = json.loads(Path(tmp_path, "inspect.json").read_text())
    assert from_plain(CoremlInspection, read) == found
    assert found.schema == "edgekd.inspect-coreml/1" and found.macs == 0
    assert found.weight_bytes == {"float32": 12} and found.weight_values == {"float32": 3}
