"""MobileNetV2 that ends early: its size, the weights it starts from, its int8 file, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd import lazy, pipeline
from edgekd.config import DataConfig, Experiment, ModelConfig, SourceConfig, SourceKind
from edgekd.errors import ModelError, UsageError
from edgekd.models import catalogue
from edgekd.models.describe import describe
from edgekd.models.mobilenet import mobilenet_v2
from edgekd.pipeline import Station
from edgekd.runs import Run, State
from edgekd.settings import apply_settings
from integer_files import opened

PX = 32
IMAGES = np.random.default_rng(2).uniform(-1, 1, (4, PX, PX, 3)).astype(np.float32)


def _build(weights: str | Path, *, blocks: int = 6, width: float = 0.35, name: str = "mobilenet_v2") -> Any:
    config = ModelConfig(name=name, width=width, blocks=blocks, weights=str(weights))
    return catalogue.build(config, input_px=PX, n_logits=3, seed=1)


def _body(model: Any) -> Any:
    core = catalogue.core(model)
    return lazy.keras().Model(core.input, core.get_layer("features").input)


def _maps(model: Any) -> NDArray[np.float32]:
    return np.asarray(model(IMAGES, training=False))


@pytest.fixture(scope="module")
def whole() -> Any:
    return mobilenet_v2(px=PX, width=0.35, weights=None)


@pytest.mark.tf
@pytest.mark.parametrize(
    ("blocks", "features", "parameters", "macs"),
    [
        (8, 384, 165_703, 136e6),
        pytest.param(11, 576, 378_759, 175e6, marks=pytest.mark.slow),
        pytest.param(13, 576, 620_295, 221e6, marks=pytest.mark.slow),
        (14, 960, 880_711, 233e6),
    ],
)
def test_a_cut_network_is_small(blocks: int, features: int, parameters: int, macs: float) -> None:
    config = ModelConfig(blocks=blocks, weights="none")
    model = catalogue.build(config, input_px=224, n_logits=7, seed=1)
    assert catalogue.core(model).get_layer("features").output_shape == (None, features)
    assert describe(model).parameters == parameters
    assert describe(model).macs == pytest.approx(macs, rel=0.01)


@pytest.mark.tf
def test_seventeen_blocks_are_all(whole: Any) -> None:
    cut = mobilenet_v2(px=PX, width=0.35, weights=None, blocks=17)
    assert [layer.name for layer in cut.layers[1:]] == [layer.name for layer in whole.layers[1:]]


@pytest.mark.tf
@pytest.mark.filterwarnings("ignore:.*HDF5 file")
@pytest.mark.parametrize(
    "file", ["w.weights.h5", pytest.param("w.h5", marks=pytest.mark.slow), "whole.keras"]
)
def test_the_weights_of_the_whole_network_fill_its_beginning(file: str, whole: Any, tmp_path: Path) -> None:
    (whole.save if file.startswith("whole") else whole.save_weights)(tmp_path / file)
    middle = lazy.keras().Model(whole.input, whole.get_layer("block_6_expand_relu").output)
    found = _maps(_body(_build(tmp_path / file)))
    assert np.array_equal(found, _maps(middle))
    assert found.std() > 0


@pytest.fixture(scope="module")
def shorter() -> Any:
    return catalogue.core(_build("none", blocks=5))


@pytest.mark.tf
def test_a_cut_network_starts_from_one_of_its_own_kind(shorter: Any, tmp_path: Path) -> None:
    donor = lazy.keras().models.clone_model(shorter)
    kernel, bias = donor.get_layer("logits").get_weights()
    donor.get_layer("logits").set_weights([kernel + 1, bias])
    donor.save_weights(tmp_path / "w.weights.h5")
    assert np.array_equal(_maps(catalogue.core(_build(tmp_path / "w.weights.h5", blocks=5))), _maps(donor))


@pytest.mark.tf
@pytest.mark.parametrize("file", ["w.weights.h5", "model.keras"])
def test_a_shorter_network_does_not_fill_a_longer(file: str, shorter: Any, tmp_path: Path) -> None:
    (shorter.save if file == "model.keras" else shorter.save_weights)(tmp_path / file)
    with pytest.raises(
        ModelError, match="does not fit mobilenet_v2 width 0.35 ending after block 6 at 32 px"
    ):
        _build(tmp_path / file)


@pytest.mark.tf
@pytest.mark.real
def test_the_shared_weights_fill_a_cut_network(shared: Path) -> None:
    file = shared / "weights" / "mobilenet_v2_1.0_224_imagenet_no_top.weights.h5"
    middle = mobilenet_v2(px=PX, width=1.0, weights=None)
    middle.load_weights(file)
    middle = lazy.keras().Model(middle.input, middle.get_layer("block_13_expand_relu").output)
    assert np.array_equal(_maps(_body(_build(file, width=1.0, blocks=13))), _maps(middle))


@pytest.mark.tf
def test_more_blocks_than_there_are_is_one_clear_line() -> None:
    with pytest.raises(UsageError, match="mobilenet_v2 has 17 blocks, got blocks=18; choose 1 to 17"):
        _build("none", blocks=18)


@pytest.mark.tf
@pytest.mark.parametrize("name", ["mobilenet_v4_conv_small", "dsnet"])
def test_a_network_that_cannot_be_cut_says_so(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} can be neither cut nor sliced, got blocks=6"):
        _build("none", name=name)


def test_fewer_blocks_than_none_are_a_contradiction() -> None:
    with pytest.raises(UsageError, match=r"blocks is -1, expected 0 \(all\) or more"):
        ModelConfig(blocks=-1)


@pytest.mark.parametrize("station", [Station.TEACH, Station.DISTILL])
@pytest.mark.parametrize(("field", "before", "after"), [("blocks", 0, 13), ("sliced_from", 0.0, 1.0)])
def test_a_station_is_stale_once_its_network_is_another(
    station: Station, field: str, before: float, after: float, tmp_path: Path
) -> None:
    sources = (SourceConfig(name="a", kind=SourceKind.SYNTHETIC, count=5, image_px=64),)
    experiment = Experiment(name="trial", data=DataConfig(sources=sources))
    changed = apply_settings(experiment, [f"{station}.model.{field}={after}"])
    run = Run(tmp_path)
    known, wanted = (_alone(pipeline.step(run, which, station)) for which in (experiment, changed))
    run.do(known)
    assert run.find(known).state is State.KEPT
    assert run.find(wanted).state is State.STALE
    assert run.find(wanted).reason == f"config.model.{field}: {before} → {after}"


def _alone(step: Any) -> Any:
    """`step` with its own configuration and key, standing on nothing and writing an empty folder."""
    return dataclasses.replace(step, make=lambda out: {}, needs=(), tools=())


@pytest.mark.tf
@pytest.mark.slow
def test_a_cut_network_is_whole_integers(tmp_path: Path) -> None:
    from edgekd.models.quantize import load_quantized, quantization_aware, save_quantized

    images = np.random.default_rng(3).integers(0, 256, (32, PX, PX, 3), dtype=np.uint8)
    model = quantization_aware(catalogue.core(_build("none")), [images])
    save_quantized(model, tmp_path / "model.h5")
    quantized = catalogue.core(load_quantized(tmp_path / "model.h5"))
    assert np.array_equal(_maps(quantized), _maps(catalogue.core(model)))
    interpreter = opened(quantized, PX)
    assert {tensor["dtype"] for tensor in interpreter.get_tensor_details()} <= {np.uint8, np.int8, np.int32}
    assert tuple(interpreter.get_output_details()[0]["shape"]) == (1, 3)
