"""Every network sees the pixels it was trained with."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.config import ModelConfig
from edgekd.errors import ModelError
from edgekd.models import catalogue
from edgekd.models.applications import APPLICATIONS
from edgekd.models.scaling import Scaling, scale, scaling
from tolerances import SCALING_ABSOLUTE

pytestmark = pytest.mark.tf

PIXELS = np.random.default_rng(7).integers(0, 256, (2, 9, 9, 3)).astype(np.float32)


def _scaled(kind: Scaling) -> NDArray[np.float32]:
    keras = lazy.keras()
    image = keras.Input((9, 9, 3), name="image")
    result: NDArray[np.float32] = keras.Model(image, scale(image, kind))(PIXELS).numpy()
    return result


def _official(constructor: str) -> NDArray[np.float32]:
    module = importlib.import_module(getattr(lazy.keras().applications, constructor).__module__)
    result: NDArray[np.float32] = np.asarray(module.preprocess_input(PIXELS.copy()))
    return result


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_scaling_is_that_of_preprocess_input(name: str) -> None:
    constructor, kind = APPLICATIONS[name]
    np.testing.assert_allclose(_scaled(kind), _official(constructor), rtol=0, atol=SCALING_ABSOLUTE)


def test_students_take_minus_one_to_one() -> None:
    assert {family.scaling for family in catalogue.STUDENTS.values()} == {Scaling.SIGNED}
    np.testing.assert_allclose(
        _scaled(Scaling.SIGNED), _official("MobileNetV2"), rtol=0, atol=SCALING_ABSOLUTE
    )


def test_byte_scaling_is_the_quantized_input() -> None:
    step = np.float32(1 / 127.5)
    np.testing.assert_allclose(_scaled(Scaling.BYTE), (PIXELS - 128) * step, rtol=0, atol=SCALING_ABSOLUTE)


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small"])
def test_a_network_scaled_by_itself_really_holds_a_scaling(name: str) -> None:
    model = catalogue.build(ModelConfig(name=name, weights="none"), input_px=32, n_logits=2, seed=1)
    first = [type(layer).__name__ for layer in catalogue.core(model).layers[:2]]
    assert (scaling(model), first) == (Scaling.OWN, ["InputLayer", "Rescaling"])


def test_reversed_channels_survive_saving(tmp_path: Path) -> None:
    keras = lazy.keras()
    image = keras.Input((9, 9, 3), name="image")
    model = keras.Model(image, scale(image, Scaling.CAFFE))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(PIXELS), model(PIXELS))
    assert scaling(again) is Scaling.CAFFE


def test_a_foreign_model_has_no_scaling() -> None:
    keras = lazy.keras()
    image = keras.Input((9, 9, 3))
    with pytest.raises(ModelError, match="was not built by edgekd .* tell with --scaling"):
        scaling(keras.Model(image, keras.layers.ReLU()(image)))
