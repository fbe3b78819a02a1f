"""What a network's last dense layer reads, from .tflite files and Keras models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd import lazy
from edgekd.errors import DataError, ModelError
from edgekd.runtimes import features
from edgekd.runtimes.features import KerasExtractor, TfliteExtractor
from edgekd.runtimes.litert import LitertRuntime
from embedding_data import Held, bytes_with_convolution, floats_with_softmax, images
from tiny_tflite import average_pool
from tolerances import FLOAT_KERNELS_RELATIVE

PX = 8
NOBODY = np.zeros((9, 0), np.float32)


def written(folder: Path, content: bytes, name: str = "model.tflite") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_convolution_on_one_pixel_is_a_dense_layer(tmp_path):
    """The values are the means that a network of the pooling alone answers."""
    shown = images(9, PX)
    extractor = TfliteExtractor(written(tmp_path, bytes_with_convolution(PX)))
    found = extractor.extract(Held(shown), NOBODY)
    means = LitertRuntime(written(tmp_path, average_pool(px=PX), "means.tflite"), kernels="builtin")
    np.testing.assert_array_equal(found.values, means.logits(shown))
    assert extractor.input_px == PX and found.layer == "net/layer_4/op"
    assert (found.engine.name, found.engine.kernels) == ("ai-edge-litert", "builtin")


def test_a_softmax_is_looked_through(tmp_path):
    shown = images(9, PX)
    path = written(tmp_path, floats_with_softmax(PX))
    found = TfliteExtractor(path, (-1.0, 1.0)).extract(Held(shown), NOBODY)
    np.testing.assert_allclose(found.values, shown.mean(axis=(1, 2)) / 127.5 - 1, atol=FLOAT_KERNELS_RELATIVE)
    assert found.layer == "logits"
    with pytest.raises(ModelError, match="does not say what 0 and 255 become"):
        TfliteExtractor(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (average_pool(px=PX), "no dense layer at its end but AVERAGE_POOL_2D: it has no features to show"),
        (b"TFL3" * 40, "LiteRT cannot load it"),
    ],
)
def test_a_file_without_a_dense_layer_or_sense_is_refused(tmp_path, content, said):
    with pytest.raises(ModelError, match=said):
        TfliteExtractor(written(tmp_path, content))


def test_a_process_that_dies_takes_nothing_with_it(tmp_path):
    extractor = TfliteExtractor(written(tmp_path, bytes_with_convolution(PX)))
    with pytest.raises(ModelError, match="LiteRT crashed on an image, or memory ran out"):
        extractor.extract(Held(images(9, PX), deadly=3), NOBODY)


def test_what_cannot_be_used_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path, floats_with_softmax(PX))
    with pytest.raises(ModelError, match="is not finite on 2 of 2 images"):
        TfliteExtractor(path, (float("nan"), 1.0)).extract(Held(images(2, PX)), NOBODY[:2])
    extractor = TfliteExtractor(path, (-1.0, 1.0))
    with pytest.raises(ModelError, match="takes 0 patient values"):
        extractor.extract(Held(images(2, PX)), np.zeros((2, 4), np.float32))
    monkeypatch.setattr(features, "MAX_BYTES", 100)
    with pytest.raises(DataError, match="9 images of 3 features take .* choose fewer images with --split"):
        extractor.extract(Held(images(9, PX)), NOBODY)


def answered(values, layer):
    """What a dense layer makes of `values`."""
    kernel, bias = layer.get_weights()
    return values @ kernel + bias


@pytest.mark.tf
def test_the_features_of_our_own_networks():
    from edgekd.config import ModelConfig
    from edgekd.models.catalogue import build, core

    model = build(ModelConfig(name="dsnet", width=0.1, weights="none"), input_px=32, n_logits=3, seed=1)
    shown = images(40, 32)
    found = KerasExtractor(model).extract(Held(shown), np.zeros((40, 0), np.float32))
    assert found.layer == "logits"
    assert found.values.shape[1] == core(model).get_layer("features").output_shape[1]
    expected = model.predict_on_batch(shown.astype(np.float32))
    ours = answered(found.values, core(model).get_layer("logits"))
    np.testing.assert_allclose(ours, expected, atol=FLOAT_KERNELS_RELATIVE * np.ptp(expected))


@pytest.mark.tf
def test_the_quantization_aware_copy_knows_what_the_student_knows():
    from edgekd.config import ModelConfig
    from edgekd.models.catalogue import build, core
    from edgekd.models.quantize import quantization_aware

    model = build(ModelConfig(name="dsnet", width=0.1, weights="none"), input_px=32, n_logits=3, seed=1)
    shown, nobody = images(12, 32), np.zeros((12, 0), np.float32)
    exact = KerasExtractor(model).extract(Held(shown), nobody).values
    rounded = KerasExtractor(quantization_aware(core(model), [shown])).extract(Held(shown), nobody)
    assert rounded.layer == "logits" and rounded.values.shape == exact.shape
    assert np.corrcoef(rounded.values.ravel(), exact.ravel())[0, 1] > 0.99
    assert len(np.unique(rounded.values)) <= 256  # the values of an 8-bit tensor


@pytest.mark.tf
def test_somebodys_network_of_two_dense_layers_and_a_softmax():
    keras = lazy.keras()
    layers = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, "relu", name="known")]
    layers += [keras.layers.Dropout(0.5), keras.layers.Dense(3, name="answer"), keras.layers.Softmax()]
    model = keras.Sequential([keras.Input((PX, PX, 3)), *layers])
    shown = images(9, PX)
    found = KerasExtractor(model).extract(Held(shown), NOBODY)
    assert found.values.shape == (9, 5) and found.layer == "answer"
    means = shown.mean(axis=(1, 2))
    kernel, bias = model.get_layer("known").get_weights()
    expected = np.maximum(means @ kernel + bias, 0)
    np.testing.assert_allclose(found.values, expected, atol=FLOAT_KERNELS_RELATIVE * np.abs(means).max())


@pytest.mark.tf
def test_a_convolution_at_the_end_of_a_keras_model_and_patient_values_beside_the_picture():
    keras = lazy.keras()
    image, patient = keras.Input((PX, PX, 3)), keras.Input((2,))
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
    answer = keras.layers.Reshape((3,))(keras.layers.Conv2D(3, 1, name="answer")(pooled))
    found = KerasExtractor(keras.Model(image, answer)).extract(Held(images(9, PX)), NOBODY)
    assert found.values.shape == (9, 3) and found.layer == "answer"
    flat = keras.layers.Flatten()(pooled)
    both = keras.Model([image, patient], keras.layers.Dense(3)(keras.layers.Concatenate()([flat, patient])))
    known = np.linspace(0, 1, 18, dtype=np.float32).reshape(9, 2)
    beside = KerasExtractor(both).extract(Held(images(9, PX)), known)
    np.testing.assert_array_equal(beside.values[:, 3:], known)
    np.testing.assert_array_equal(beside.values[:, :3], found.values)
    with pytest.raises(ModelError, match="takes 2 patient values"):
        KerasExtractor(both).extract(Held(images(9, PX)), NOBODY)


@pytest.mark.tf
def test_a_keras_model_without_a_dense_layer_or_pictures_of_another_size_are_refused():
    keras = lazy.keras()
    image = keras.Input((PX, PX, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    with pytest.raises(ModelError, match="no dense layer at its end but GlobalAveragePooling2D"):
        KerasExtractor(keras.Model(image, pooled))
    sound = KerasExtractor(keras.Model(image, keras.layers.Dense(2)(pooled)))
    with pytest.raises(ModelError, match="takes uint8 images"):
        sound.extract(Held(images(9, PX + 1)), NOBODY)
