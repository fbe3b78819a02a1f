"""Channels taken out of a wider network: what is kept, what it computes, and what is refused."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.config import ModelConfig
from edgekd.errors import ModelError, UsageError
from edgekd.models import catalogue
from edgekd.models.mobilenet import mobilenet_v2
from edgekd.models.slice import importances, sliced

pytestmark = pytest.mark.tf

PX = 32
IMAGES = np.random.default_rng(2).uniform(-1, 1, (4, PX, PX, 3)).astype(np.float32)
STREAMS = ([0], [1, 2], [3, 4, 5], [6, 7, 8, 9], [10, 11, 12], [13, 14, 15], [16])
"""The blocks of each stage of MobileNetV2 (table 2 of the paper): they add into one residual stream."""


@functools.cache
def _built(width: float, blocks: int, seed: int) -> tuple[Any, list[NDArray[np.float32]]]:
    """One network of each kind for all tests, and the weights it began with."""
    model = mobilenet_v2(px=PX, width=width, weights=None, blocks=blocks)
    return model, model.get_weights()


def _network(width: float, *, blocks: int = 17, seed: int = 1) -> Any:
    """A MobileNetV2 whose normalizations have seen something; the same object each time, made anew."""
    rng = np.random.default_rng(seed)
    model, first = _built(width, blocks, seed)
    model.set_weights(first)
    for norm in _norms(model):
        size = norm.gamma.shape
        drawn = rng.uniform(0.5, 1.5, size), rng.normal(0, 0.3, size), rng.normal(0, 0.1, size)
        norm.set_weights([*drawn, rng.uniform(0.5, 1.5, size)])
    return model


def _norms(model: Any) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, lazy.keras().layers.BatchNormalization)]


def _features(model: Any) -> NDArray[np.float32]:
    return np.asarray(model(IMAGES, training=False))


def _silence(model: Any, name: str, channels: NDArray[np.intp]) -> None:
    """Make `channels` exactly nothing behind the normalization `name`."""
    norm = model.get_layer(name)
    gamma, beta, *rest = norm.get_weights()
    gamma[channels] = beta[channels] = 0
    norm.set_weights([gamma, beta, *rest])


def _normalizations(blocks: int) -> Iterator[list[str]]:
    """For every set of channels that stand or fall together: the normalizations that make them."""
    yield ["expanded_conv_depthwise_BN"]
    yield from ([f"block_{number}_depthwise_BN"] for number in range(1, min(blocks, 17)))
    for stage in STREAMS:
        names = [f"block_{number}_project_BN" for number in stage if number < blocks]
        if names:
            yield [name.replace("block_0", "expanded_conv") for name in names]
    yield [f"block_{blocks}_expand_BN" if blocks < 17 else "Conv_1_bn"]


def test_the_same_width_is_the_identity() -> None:
    wide, narrow = _network(0.35), _network(0.35, seed=2)
    assert not np.array_equal(_features(wide), _features(narrow))
    sliced(wide, narrow)
    assert np.array_equal(_features(wide), _features(narrow))
    assert _features(wide).std() > 0.1


@pytest.mark.parametrize("blocks", [17, 7])
def test_taking_out_what_is_nothing_changes_nothing(blocks: int) -> None:
    """Everywhere the channels that do not fit are silent: the narrow network computes the same."""
    rng = np.random.default_rng(3)
    wide, narrow = _network(0.5, blocks=blocks), _network(0.35, blocks=blocks)
    for names in _normalizations(blocks):
        there, wanted = (int(model.get_layer(names[0]).gamma.shape[0]) for model in (wide, narrow))
        silent = rng.permutation(there)[wanted:]
        for name in names:
            _silence(wide, name, silent)
    sliced(wide, narrow)
    whole = _features(wide)
    kept = np.setdiff1d(np.arange(whole.shape[-1]), silent)
    assert len(kept) == narrow.output_shape[-1]
    assert not whole[..., silent].any()
    np.testing.assert_allclose(_features(narrow), whole[..., kept], rtol=1e-4, atol=1e-4)
    assert whole[..., kept].std() > 0.1


def test_importance_is_what_is_written_times_what_is_read() -> None:
    keras = lazy.keras()
    layers = keras.layers
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(2, 1, use_bias=False, name="a")(image)
    x = layers.BatchNormalization(name="a_norm")(x)
    y = layers.Conv2D(2, 1, use_bias=False, name="b")(x)
    y = layers.BatchNormalization(name="b_norm", epsilon=1.0)(y)
    model = keras.Model(image, layers.Add(name="add")([x, y]))
    zero, one = np.zeros(2), np.ones(2)
    model.get_layer("b").set_weights([np.array([[[[3.0, 8.0], [0.0, 1.0]]]])])
    model.get_layer("a_norm").set_weights([np.array([3.0, -6.0]), zero, zero, one])
    model.get_layer("b_norm").set_weights([np.array([4.0, 8.0]), zero, zero, np.array([3.0, 15.0])])
    # One stream, written twice: √(3² + 4²) = 5 and √(6² + 8²) = 10. The reader's factors are
    # 4/√(3 + 1) = 2 and 8/√(15 + 1) = 2, its rows 2·(3, 8) and 2·(0, 1).
    found = importances(model)
    assert list(found) == ["a"]
    np.testing.assert_allclose(found["a"], [5 * 2 * np.sqrt(73), 10 * 2], rtol=1e-6)


def test_the_larger_factors_are_kept_in_their_order() -> None:
    """Where nothing reads, at the features, the factor of the normalization decides; its sign does not."""
    wide, narrow = _network(0.5, blocks=2), _network(0.35, blocks=2)
    norm = wide.get_layer("block_2_expand_BN")
    rest = norm.get_weights()[1:]
    norm.set_weights([np.linspace(-2, 1, len(rest[0])), *rest])
    sliced(wide, narrow)
    gamma = narrow.get_layer("block_2_expand_BN").get_weights()[0]
    assert len(gamma) == 48  # six times the 8 channels of its stream, out of six times 16
    everything = np.abs(norm.get_weights()[0])
    assert np.abs(gamma).min() >= np.sort(everything)[-48]
    assert (np.diff(gamma) > 0).all()


def test_a_wider_network_cannot_be_sliced_from_a_narrower() -> None:
    with pytest.raises(ModelError, match="cannot slice 16 channels out of 8: expected a wider network"):
        sliced(_network(0.35), _network(0.5))


def test_other_layers_are_refused() -> None:
    with pytest.raises(ModelError, match="has other layers than"):
        sliced(_network(0.5), _network(0.35, blocks=7))


@pytest.mark.slow
def test_a_network_is_built_from_the_file_of_a_wider_one(tmp_path: Path) -> None:
    whole = _network(0.5)
    file = tmp_path / "w.weights.h5"
    whole.save_weights(file)
    config = ModelConfig(width=0.35, blocks=5, weights=str(file), sliced_from=0.5)
    core = catalogue.core(catalogue.build(config, input_px=PX, n_logits=3, seed=1))
    body = lazy.keras().Model(core.input, core.get_layer("features").input)
    expected = _network(0.35, blocks=5)
    sliced(lazy.keras().Model(whole.input, whole.get_layer("block_5_expand_relu").output), expected)
    assert np.array_equal(_features(body), _features(expected))
    assert _features(body).std() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("sliced_from", "expected"), [(0.0, "width 0.35"), (0.75, "width 0.75")])
def test_a_file_of_another_width_is_refused_unless_it_is_named(
    sliced_from: float, expected: str, tmp_path: Path
) -> None:
    _network(0.5).save_weights(tmp_path / "w.weights.h5")
    config = ModelConfig(width=0.35, weights=str(tmp_path / "w.weights.h5"), sliced_from=sliced_from)
    with pytest.raises(ModelError, match=f"does not fit mobilenet_v2 {expected} at 32 px.*and sliced_from"):
        catalogue.build(config, input_px=PX, n_logits=3, seed=1)


@pytest.mark.slow
def test_the_published_weights_of_a_wider_network_are_sliced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Keras finds the download of an earlier day in ~/.keras. To freeze what was sliced is warned about."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".keras" / "models"
    folder.mkdir(parents=True)
    wide = lazy.keras().applications.MobileNetV2(
        include_top=False, weights=None, alpha=0.5, input_shape=(96, 96, 3)
    )
    wide.save_weights(folder / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.5_96_no_top.h5")
    config = ModelConfig(width=0.35, blocks=3, sliced_from=0.5, frozen=True)
    core = catalogue.core(catalogue.build(config, input_px=96, n_logits=3, seed=1))
    kernel = core.get_layer("Conv1").get_weights()[0]
    assert np.array_equal(kernel, wide.get_layer("Conv1").get_weights()[0])  # 16 channels in both
    assert core.get_layer("block_3_expand").get_weights()[0].shape == (1, 1, 8, 48)
    assert "frozen on sliced weights" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sliced_from": 0.5}, "sliced_from is 0.5, expected 0 or a width of 1.0 or more"),
        ({"sliced_from": 1.0, "weights": "none"}, "weights is none, expected the weights of that width"),
    ],
)
def test_a_slice_of_nothing_is_a_contradiction(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ModelConfig(**changes)


def test_a_network_that_cannot_be_sliced_says_so() -> None:
    with pytest.raises(
        UsageError, match="dsnet can be neither cut nor sliced, got blocks=0 and sliced_from=1"
    ):
        catalogue.build(ModelConfig(name="dsnet", sliced_from=1.0), input_px=PX, n_logits=3, seed=1)


@pytest.mark.real
def test_the_shared_weights_are_sliced(shared: Path) -> None:
    file = shared / "weights" / "mobilenet_v2_1.0_224_imagenet_no_top.weights.h5"
    config = ModelConfig(width=0.75, weights=str(file), sliced_from=1.0)
    core = catalogue.core(catalogue.build(config, input_px=PX, n_logits=2, seed=1))
    body = lazy.keras().Model(core.input, core.get_layer("features").input)
    assert body.count_params() == 1_382_064
    assert _features(body).std() > 0.01
