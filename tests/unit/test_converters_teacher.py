"""A teacher on the faster engine says what Keras says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.config import NO_WEIGHTS, ModelConfig
from edgekd.errors import ModelError
from edgekd.models.catalogue import build
from edgekd.runtimes.base import Runtime, beside
from edgekd.runtimes.keras import KerasRuntime
from edgekd.training.distill import LONG, engine_for
from edgekd_converters.teacher import on_litert

pytestmark = pytest.mark.tf

PX, FEATURES = 32, 5


def test_it_says_what_keras_says_of_pictures_and_persons(tmp_path: Path) -> None:
    config = ModelConfig(name="dsnet", width=0.5, weights=NO_WEIGHTS)
    model = build(config, input_px=PX, n_logits=3, seed=1, n_features=FEATURES)
    model.save(tmp_path / "model.keras")
    random = np.random.Generator(np.random.PCG64(1))
    images = random.integers(0, 256, (9, PX, PX, 3), np.uint8)
    persons = (random.integers(0, 256, (9, FEATURES)) / 255).astype(np.float32)
    expected = KerasRuntime(model).logits(images, *beside(persons))
    assert np.ptp(expected, axis=0).min() > 0.01  # it tells them apart
    teacher = on_litert(tmp_path / "model.keras", threads=2)
    assert (teacher.input_px, teacher.n_logits, teacher.n_features) == (PX, 3, FEATURES)
    assert teacher.engine.name == "ai-edge-litert"
    np.testing.assert_allclose(teacher.logits(images, *beside(persons)), expected, rtol=1e-4, atol=1e-5)


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_text("no", encoding="utf-8")
    with pytest.raises(ModelError, match="not a Keras model"):
        on_litert(tmp_path / "model.keras", threads=1)


def test_a_schedule_must_be_long_to_pay_for_it() -> None:
    def converted(model: Path) -> Runtime:
        return on_litert(model, threads=1)

    assert engine_for(LONG, converted) is converted
    assert engine_for(LONG - 1, converted) is KerasRuntime
    assert engine_for(LONG, None) is KerasRuntime
