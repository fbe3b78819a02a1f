"""First weights: every format that is read, and one clear line for everything else."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from edgekd import lazy
from edgekd.config import ModelConfig
from edgekd.errors import ModelError, UsageError
from edgekd.models import catalogue
from edgekd.models.weights import load_model

pytestmark = pytest.mark.tf

PX = 32


def _build(
    weights: str | Path, *, name: str = "dsnet", width: float = 0.1, logits: int = 2, seed: int = 1
) -> Any:
    config = ModelConfig(name=name, width=width, weights=str(weights))
    return catalogue.build(config, input_px=PX, n_logits=logits, seed=seed)


def _parts(model: Any) -> tuple[list[Any], list[Any]]:
    """The weights of the backbone, and those of the head (kernel and bias)."""
    arrays = catalogue.core(model).get_weights()
    return arrays[:-2], arrays[-2:]


def _equal(left: list[Any], right: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def donor() -> Any:
    return _build("none", seed=5)


@pytest.fixture(scope="module")
def backbone(donor: Any) -> Any:
    core = catalogue.core(donor)
    return lazy.keras().Model(core.input, core.get_layer("features").input)


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
@pytest.mark.parametrize("file", ["w.weights.h5", "w.h5", "whole.h5", "whole.keras"])
def test_a_backbone_file_sets_all_but_the_head(file: str, backbone: Any, tmp_path: Path) -> None:
    save = backbone.save if file.startswith("whole") else backbone.save_weights
    save(tmp_path / file)
    loaded = _build(tmp_path / file)
    assert _equal(_parts(loaded)[0], backbone.get_weights())
    assert _equal(_parts(loaded)[1], _parts(_build("none"))[1])


@pytest.mark.parametrize("logits", [2, 3])
def test_a_whole_model_sets_the_head_only_where_it_fits(logits: int, donor: Any, tmp_path: Path) -> None:
    donor.save(tmp_path / "model.keras")
    loaded = _parts(_build(tmp_path / "model.keras", logits=logits))
    assert _equal(loaded[0], _parts(donor)[0])
    assert (loaded[1][0].shape == _parts(donor)[1][0].shape and _equal(loaded[1], _parts(donor)[1])) == (
        logits == 2
    )


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
@pytest.mark.parametrize("file", ["w.weights.h5", "w.h5", "model.keras"])
def test_another_width_is_refused_with_what_was_expected(file: str, tmp_path: Path) -> None:
    wide = catalogue.core(_build("none", width=0.2))
    (wide.save if file == "model.keras" else wide.save_weights)(tmp_path / file)
    with pytest.raises(
        ModelError, match=r"does not fit dsnet width 0.1 at 32 px.*expected 1,\d+ values"
    ) as caught:
        _build(tmp_path / file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "neither HDF5 nor .keras"),
        (b"not a model", "neither HDF5 nor .keras"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "cannot be read as HDF5"),
        (b"PK\x03\x04" + bytes(64), "not a Keras model that loads"),
    ],
)
def test_junk_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "junk.h5").write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        _build(tmp_path / "junk.h5")


def test_a_missing_file_names_the_option() -> None:
    with pytest.raises(ModelError, match=r"does not exist; name a file with --set teach.model.weights=FILE"):
        _build("/nowhere/w.h5")


def test_weights_that_are_not_numbers_are_refused(donor: Any, tmp_path: Path) -> None:
    broken = lazy.keras().models.clone_model(catalogue.core(donor))
    broken.set_weights([np.full_like(array, np.nan) for array in broken.get_weights()])
    broken.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ModelError, match="not finite"):
        _build(tmp_path / "w.weights.h5")


def test_code_in_a_model_file_is_not_run(tmp_path: Path) -> None:
    keras = lazy.keras()
    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.Lambda(lambda x: x)(image)).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="not a Keras model that loads"):
        load_model(tmp_path / "model.keras")


def test_offline_is_one_line_that_names_the_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        assert socket.getdefaulttimeout() is not None  # a silent server must not hang the command
        raise URLError("Name or service not known")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("tf_keras.src.utils.data_utils.urlretrieve", unreachable)
    with pytest.raises(ModelError, match=r"cannot download .*teach.model.weights=FILE") as caught:
        _build("imagenet", name="mobilenet_v2", width=0.35)
    assert "\n" not in str(caught.value)
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(("name", "width"), [("dsnet", 1.0), ("mobilenet_v2", 0.1)])
def test_networks_nobody_trained_on_imagenet_say_so(name: str, width: float) -> None:
    with pytest.raises(ModelError, match="no ImageNet weights for"):
        _build("imagenet", name=name, width=width)


def test_a_width_that_does_not_exist_is_a_contradiction() -> None:
    with pytest.raises(UsageError, match=r"resnet50 exists at width 1 only, got 0\.5"):
        _build("none", name="resnet50", width=0.5)


def test_an_input_too_small_is_a_contradiction() -> None:
    with pytest.raises(UsageError, match="xception cannot be built at 32 px"):
        _build("none", name="xception", width=1.0)


@pytest.mark.real
@pytest.mark.parametrize(("width", "values"), [(1.0, 2_257_984), (0.35, 410_208)])
def test_the_shared_imagenet_weights_load(width: float, values: int, shared: Path) -> None:
    file = shared / "weights" / f"mobilenet_v2_{width}_224_imagenet_no_top.weights.h5"
    loaded = _parts(_build(file, name="mobilenet_v2", width=width))[0]
    assert sum(array.size for array in loaded) == values
    random = _parts(_build("none", name="mobilenet_v2", width=width))[0]
    assert not np.array_equal(loaded[0], random[0])
    assert np.abs(loaded[3]).max() > 0  # a moving mean: the statistics were loaded too
