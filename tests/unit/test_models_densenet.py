"""DenseNet-161 has exactly its published shape, and a frozen network learns nothing but its head."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd import lazy
from edgekd.config import FitConfig, ModelConfig, QatConfig, TeachConfig, VerifyConfig
from edgekd.errors import ModelError
from edgekd.models.catalogue import build, core, with_scaling
from edgekd.models.describe import count_parameters, describe
from edgekd.models.scaling import Scaling
from training_data import PX, write_dataset

pytestmark = pytest.mark.tf

FEATURES, HEAD_1000 = 2208, 2208 * 1000 + 1000
# torchvision 0.x, densenet161: 28,681,000 parameters; Huang et al. 2017, table 1 (k = 48): 7.7 to 7.8 G.
PUBLISHED = 28_681_000
SEED = 5


@pytest.fixture(scope="module")
def densenet() -> Any:
    config = ModelConfig(name="densenet161", weights="none")
    return build(config, input_px=224, n_logits=1000, seed=SEED)


def test_densenet161_has_the_published_parameters(densenet: Any) -> None:
    size = describe(densenet)
    assert size.trainable == PUBLISHED
    assert size.trainable - HEAD_1000 == 26_472_000
    # Keras counts the two moving averages of each normalized channel as well.
    assert size.parameters - size.trainable == 219_936
    assert 7.7e9 < size.macs < 7.8e9


@pytest.mark.parametrize(
    ("layer", "side", "channels"),
    [
        ("conv0", 112, 96),
        ("pool0", 56, 96),
        ("block1_layer6_concat", 56, 384),
        ("transition1_pool", 28, 192),
        ("block2_layer12_concat", 28, 768),
        ("transition2_pool", 14, 384),
        ("block3_layer36_concat", 14, 2112),
        ("transition3_pool", 7, 1056),
        ("block4_layer24_concat", 7, FEATURES),
        ("relu5", 7, FEATURES),
    ],
)
def test_densenet161_has_the_published_shapes(densenet: Any, layer: str, side: int, channels: int) -> None:
    assert core(densenet).get_layer(layer).output_shape == (None, side, side, channels)


def test_densenet161_has_161_layers_with_weights(densenet: Any) -> None:
    layers = lazy.keras().layers
    assert sum(isinstance(layer, layers.Conv2D | layers.Dense) for layer in core(densenet).layers) == 161


@pytest.mark.parametrize(
    ("name", "px", "parameters"),
    [  # without a head, as Keras publishes them; ResNet-50 with two outputs is the "23.6 M" of Khan et al.
        ("resnet50", 32, 23_587_712),
        ("vgg16", 32, 14_714_688),
        pytest.param("efficientnet_b2", 32, 7_768_569, marks=pytest.mark.slow),
        pytest.param("efficientnet_b5", 32, 28_513_527, marks=pytest.mark.slow),
        pytest.param("inception_resnet_v2", 75, 54_336_736, marks=pytest.mark.slow),
    ],
)
def test_the_published_networks_have_their_size(name: str, px: int, parameters: int) -> None:
    model = build(ModelConfig(name=name, weights="none"), input_px=px, n_logits=2, seed=SEED)
    features = core(model).get_layer("features").output_shape[-1]
    assert count_parameters(model) == parameters + 2 * (features + 1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return write_dataset(tmp_path_factory.mktemp("data"))


def weights(model: Any) -> Iterator[tuple[str, Any]]:
    return ((weight.name, weight.numpy()) for weight in core(model).weights)


def assert_only_the_head_moved(before: Any, after: Any) -> None:
    moved = {
        name
        for (name, old), (_, new) in zip(weights(before), weights(after), strict=True)
        if not np.array_equal(old, new)
    }
    assert moved == {"logits/kernel:0", "logits/bias:0"}


def test_frozen_normalization_uses_its_averages_in_training_too() -> None:
    frozen, free = (
        build(
            ModelConfig(name="mobilenet_v2", width=0.1, weights="none", dropout=0, frozen=rests),
            input_px=PX,
            n_logits=2,
            seed=SEED,
        )
        for rests in (True, False)
    )
    images = np.random.Generator(np.random.PCG64(2)).integers(0, 256, (4, PX, PX, 3)).astype(np.float32)
    for model, same in ((frozen, True), (free, False)):
        before = model.get_weights()
        trained, judged = model(images, training=True).numpy(), model(images, training=False).numpy()
        assert np.array_equal(trained, judged) == same
        assert all(map(np.array_equal, before, model.get_weights())) == same


@pytest.mark.parametrize("name", [pytest.param("mobilenet_v2", marks=pytest.mark.slow), "dsnet"])
def test_a_frozen_network_trains_its_head_alone(name: str, dataset: Any, tmp_path: Path) -> None:
    from edgekd.training.teach import MODEL, teach

    config = ModelConfig(name=name, width=0.1, weights="none", frozen=True)
    fit = FitConfig(epochs=1, batch_size=8, learning_rate=1e-2)
    settings = TeachConfig(model=config, fit=fit)
    teach(dataset=dataset, config=settings, verify=VerifyConfig(), seed=SEED, out=tmp_path)
    trained = lazy.keras().models.load_model(tmp_path / MODEL, compile=False)
    assert_only_the_head_moved(build(config, input_px=PX, n_logits=3, seed=SEED), trained)


@pytest.mark.slow
def test_a_frozen_student_is_quantized_with_its_features_at_rest(dataset: Any, tmp_path: Path) -> None:
    from edgekd.models.quantize import load_quantized
    from edgekd.training.qat import QUANTIZED_MODEL, qat
    from edgekd.training.teach import teach

    fit = FitConfig(epochs=1, batch_size=8, learning_rate=1e-2)
    config = ModelConfig(name="dsnet", width=0.1, weights="none", frozen=True)
    student, out = tmp_path / "student", tmp_path / "qat"
    for folder in (student, out):
        folder.mkdir()
    settings = TeachConfig(model=config, fit=fit)
    teach(dataset=dataset, config=settings, verify=VerifyConfig(), seed=SEED, out=student)
    qat(
        dataset=dataset,
        student=student,
        config=QatConfig(fit=fit),
        verify=VerifyConfig(),
        seed=SEED,
        out=out,
    )
    first = build(config, input_px=PX, n_logits=3, seed=SEED)
    kernels = {name.split("/")[0]: value for name, value in weights(first) if name.endswith("kernel:0")}
    rounded = {
        layer.layer.name: layer.layer.get_weights()
        for layer in core(load_quantized(out / QUANTIZED_MODEL)).layers
        if hasattr(layer, "layer")
    }
    for name in ("conv1", "conv2", "conv3"):
        assert any(np.array_equal(kernels[name], value) for value in rounded[name])
    assert not any(np.array_equal(kernels["logits"], value) for value in rounded["logits"])


def test_a_student_whose_pixels_no_byte_stands_for_is_refused(dataset: Any, tmp_path: Path) -> None:
    from edgekd.training.qat import qat

    config = ModelConfig(name="dsnet", width=0.1, weights="none")
    inner = core(build(config, input_px=PX, n_logits=3, seed=SEED))
    with_scaling(inner, Scaling.CAFFE).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"takes pixels as caffe.*mobilenet_v2.*int8-ptq"):
        qat(
            dataset=dataset,
            student=tmp_path,
            config=QatConfig(),
            verify=VerifyConfig(),
            seed=SEED,
            out=tmp_path / "out",
        )


def test_freezing_random_features_is_said(caplog: pytest.LogCaptureFixture) -> None:
    build(ModelConfig(name="dsnet", width=0.1, weights="none", frozen=True), input_px=PX, n_logits=2, seed=1)
    assert "frozen on random weights" in caplog.text
