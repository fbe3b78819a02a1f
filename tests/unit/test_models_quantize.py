"""Quantization-aware copies: what they keep, what they refuse, and that the int8 file computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.config import ModelConfig
from edgekd.errors import ModelError
from edgekd.models import catalogue
from tolerances import INT8_MEAN_STEPS, MENDED_CHANNEL, QUANTIZED_OUTPUT_STEPS

pytestmark = pytest.mark.tf

PX = 16
RANDOM = np.random.Generator(np.random.PCG64(11))
IMAGES = RANDOM.integers(0, 256, (64, PX, PX, 3), dtype=np.uint8)
LABELS = (IMAGES[..., 0].mean((1, 2)) > IMAGES[..., 2].mean((1, 2))).astype(np.int32)
DEAD = {"a": 5, "b": 2}


def _toy() -> Any:
    """Every layer of a MobileNetV2 block once, with normalizations that have seen something."""
    keras = lazy.keras()
    layers = keras.layers
    image = x = keras.Input((PX, PX, 3))
    for name, layer in (
        ("a", layers.Conv2D(8, 3, padding="same", use_bias=False, name="a")),
        ("b", layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="b")),
    ):
        x = layers.BatchNormalization(name=f"{name}_norm")(layer(x))
        x = layers.ReLU(6.0, name=f"{name}_relu")(x)
    y = layers.Conv2D(8, 1, use_bias=False, name="c")(x)
    x = layers.Add(name="add")([x, layers.BatchNormalization(name="c_norm")(y)])
    x = layers.GlobalAveragePooling2D(name="features")(x)
    model = keras.Model(image, layers.Dense(2, name="logits")(x), name=catalogue.CORE)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        layer.set_weights([_fill(rng, weight) for weight in layer.weights])
    return model


def _fill(rng: np.random.Generator, weight: Any) -> NDArray[Any]:
    if "gamma" in weight.name or "variance" in weight.name:
        return rng.uniform(0.5, 1.5, weight.shape)
    return rng.normal(0, 0.4, weight.shape)


def _train(model: Any, steps: int) -> None:
    tf, keras = lazy.tensorflow(), lazy.keras()
    optimizer = keras.optimizers.SGD(0.02)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(images: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            value = loss(labels, model(images, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    for _ in range(steps):
        step(tf.constant(IMAGES, tf.float32), tf.constant(LABELS))


def _convert(model: Any) -> bytes:
    tf, core = lazy.tensorflow(), catalogue.core(model)
    run = tf.function(lambda image: core(image, training=False))
    concrete = run.get_concrete_function(tf.TensorSpec((1, PX, PX, 3), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], core)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
    return bytes(converter.convert())


def _interpreter(file: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=file, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    return interpreter


def _steps(interpreter: Any, images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], float]:
    """The int8 outputs less their zero point, and the output scale."""
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = given["quantization"]
    rows = []
    for image in images:
        interpreter.set_tensor(taken["index"], image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(given["index"])[0].astype(np.int64) - zero)
    return np.stack(rows), scale


@pytest.fixture(scope="module")
def core() -> Any:
    return _toy()


@pytest.fixture(scope="module")
def trained(core: Any) -> Any:
    from edgekd.models.quantize import freeze_batch_norm, quantization_aware

    model = quantization_aware(core, [IMAGES[:32], IMAGES[32:]])
    freeze_batch_norm(model)
    _train(model, 20)
    return model


@pytest.fixture(scope="module")
def interpreter(trained: Any) -> Any:
    return _interpreter(_convert(trained))


def test_a_raw_byte_is_a_value_of_the_input(interpreter: Any) -> None:
    taken = interpreter.get_input_details()[0]
    assert taken["dtype"] is np.uint8
    assert taken["quantization"] == (np.float32(1 / 127.5), 128)


def test_no_pixel_is_rounded(trained: Any) -> None:
    rounding = next(
        layer for layer in catalogue.core(trained).layers if type(layer).__name__ == "QuantizeLayer"
    )
    every_byte = ((np.arange(256, dtype=np.float32) - 128) / 127.5).reshape(1, 256, 1, 1)
    np.testing.assert_allclose(rounding(every_byte, training=True), every_byte, rtol=0, atol=1e-6)


def test_no_operation_is_left_in_float(interpreter: Any) -> None:
    kinds = {tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    assert kinds == {np.uint8, np.int8, np.int32}


def test_the_int8_file_computes_what_was_trained(trained: Any, interpreter: Any) -> None:
    images = np.random.default_rng(5).integers(0, 256, (100, PX, PX, 3), dtype=np.uint8)
    steps, scale = _steps(interpreter, images)
    expected = np.rint(trained(images.astype(np.float32), training=False).numpy() / scale)
    assert np.ptp(expected, axis=0).min() > 20  # outputs that are all alike would agree with anything
    assert np.abs(steps - expected).max() <= QUANTIZED_OUTPUT_STEPS


def test_depthwise_kernels_have_one_scale_per_channel(interpreter: Any) -> None:
    kernel = next(t for t in interpreter.get_tensor_details() if tuple(t["shape"]) == (1, 3, 3, 8))
    assert len(set(kernel["quantization_parameters"]["scales"])) == 8


def _toy_with_dead_channels() -> Any:
    core = _toy()
    for name, channel in DEAD.items():
        layer, norm = core.get_layer(name), core.get_layer(f"{name}_norm")
        alive = np.ones(8)
        alive[channel] = 0
        kernel = layer.get_weights()[0]
        layer.set_weights([kernel * (alive if name == "a" else alive[:, None])])
        norm.beta.assign(np.where(alive, norm.beta, 2.5))
    return core


def test_mending_dead_channels_changes_nothing() -> None:
    from edgekd.models.quantize import without_dead_kernels

    core = _toy_with_dead_channels()
    mended = without_dead_kernels(core)
    pixels = (IMAGES.astype(np.float32) - 128) / 127.5
    np.testing.assert_allclose(mended(pixels), core(pixels), rtol=0, atol=MENDED_CHANNEL)
    alive = [channel for channel in range(8) if channel != DEAD["a"]]
    before, after = (model.get_layer("a").get_weights()[0] for model in (core, mended))
    np.testing.assert_array_equal(after[..., alive], before[..., alive])
    assert np.count_nonzero(after[..., DEAD["a"]]) == 1


def test_a_dead_channel_keeps_its_offset_in_the_file() -> None:
    from edgekd.models.quantize import quantization_aware

    copy = quantization_aware(_toy_with_dead_channels(), [IMAGES])
    steps, scale = _steps(_interpreter(_convert(copy)), IMAGES)
    expected = np.rint(copy(IMAGES.astype(np.float32), training=False).numpy() / scale)
    # Lost, as the converter does it by default, the offset moves the outputs by six steps on average.
    assert np.abs(steps - expected).mean() < INT8_MEAN_STEPS


def test_ranges_start_where_the_float_model_lives(core: Any) -> None:
    from edgekd.models.quantize import quantization_aware

    copy = catalogue.core(quantization_aware(core, [IMAGES[:32], IMAGES[32:]]))
    scaled = (IMAGES.astype(np.float32) - 128) / 127.5
    probe = lazy.keras().Model(core.input, core.get_layer("add").output)
    high = np.mean([probe(half).numpy().max() for half in (scaled[:32], scaled[32:])])
    found = {weight.name.split("/")[-1]: weight.numpy() for weight in copy.get_layer("quant_add").weights}
    assert found["output_max:0"] == pytest.approx(high, rel=1e-6)


def test_training_moves_kernels_and_inference_moves_nothing(core: Any) -> None:
    from edgekd.models.quantize import quantization_aware

    model = quantization_aware(core, [IMAGES])
    before = model.get_weights()
    model(IMAGES.astype(np.float32), training=False)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    kernels = [weight.numpy() for weight in model.trainable_weights]
    _train(model, 1)
    assert all(
        not np.array_equal(a, b.numpy()) for a, b in zip(kernels, model.trainable_weights, strict=True)
    )


def test_frozen_statistics_stay_and_thaw_in_the_file(core: Any, tmp_path: Path) -> None:
    from edgekd.models import quantize

    model = quantize.quantization_aware(core, [IMAGES])
    quantize.freeze_batch_norm(model)
    assert [weight.name for weight in model.trainable_weights if "norm" in weight.name] == []
    means = [weight.numpy() for weight in model.weights if "moving_" in weight.name]
    _train(model, 2)
    after = [weight.numpy() for weight in model.weights if "moving_" in weight.name]
    assert len(means) == 6
    assert all(np.array_equal(a, b) for a, b in zip(means, after, strict=True))
    quantize.save_quantized(model, tmp_path / "model.h5")
    again = quantize.load_quantized(tmp_path / "model.h5")
    pixels = IMAGES.astype(np.float32)
    np.testing.assert_array_equal(again(pixels, training=False), model(pixels, training=False))
    assert all(norm.trainable for norm in quantize._batch_norms(again))
    assert not any(norm.trainable for norm in quantize._batch_norms(model))


def test_a_network_that_cannot_be_quantized_names_layer_and_students() -> None:
    from edgekd.models.quantize import quantization_aware

    model = catalogue.build(
        ModelConfig(name="mobilenet_v3_small", weights="none"), input_px=32, n_logits=2, seed=1
    )
    with pytest.raises(
        ModelError, match=r"cannot quantize layer '\S+' \(\w+\); choose .*: mobilenet_v2"
    ) as caught:
        quantization_aware(catalogue.core(model), [IMAGES])
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_files_that_are_not_ours_are_named(core: Any, tmp_path: Path) -> None:
    from edgekd.models.quantize import load_quantized

    with pytest.raises(ModelError, match="does not exist"):
        load_quantized(tmp_path / "model.h5")
    (tmp_path / "junk.h5").write_bytes(b"junk")
    with pytest.raises(ModelError, match="not a quantized model that loads"):
        load_quantized(tmp_path / "junk.h5")
    core.save(tmp_path / "float.h5")
    with pytest.raises(ModelError, match=r"holds model 'core', expected the \.h5 file of the qat station"):
        load_quantized(tmp_path / "float.h5")
