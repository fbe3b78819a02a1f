"""What every student promises, whatever its family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.config import ModelConfig
from edgekd.models import catalogue
from edgekd.models.scaling import Scaling, scaling

pytestmark = pytest.mark.tf

PX = 32
IMAGES = np.random.default_rng(3).integers(0, 256, (4, PX, PX, 3), dtype=np.uint8)
PIXELS = IMAGES.astype(np.float32)


class StudentContract:
    """The tests; a subclass names the network."""

    config: ModelConfig

    @classmethod
    def build(cls, *, seed: int = 1) -> Any:
        return catalogue.build(cls.config, input_px=PX, n_logits=3, seed=seed)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> Any:
        return cls.build()

    def outputs(self, model: Any) -> NDArray[np.float32]:
        result: NDArray[np.float32] = model(PIXELS, training=False).numpy()
        return result

    def test_input_is_named_image_and_takes_pixels(self, model: Any) -> None:
        assert model.input_names == ["image"]
        assert (model.input_shape, model.input.dtype.name) == ((None, PX, PX, 3), "float32")

    def test_outputs_are_raw_logits(self, model: Any) -> None:
        last = catalogue.core(model).layers[-1]
        assert (last.activation.__name__, last.dtype, model.output_shape) == ("linear", "float32", (None, 3))
        last.bias.assign([100.0, -100.0, 0.0])
        raised = self.outputs(model)
        last.bias.assign([0.0, 0.0, 0.0])
        np.testing.assert_allclose(raised - self.outputs(model), [[100, -100, 0]] * 4, rtol=0, atol=1e-3)

    def test_the_core_takes_minus_one_to_one(self, model: Any) -> None:
        assert scaling(model) is Scaling.SIGNED
        by_hand = catalogue.core(model)(PIXELS / 127.5 - 1, training=False)
        np.testing.assert_allclose(self.outputs(model), by_hand, rtol=1e-4, atol=1e-5)

    def test_the_core_is_flat(self, model: Any) -> None:
        kinds = (lazy.keras().Model, lazy.keras().layers.Wrapper)
        assert not any(isinstance(layer, kinds) for layer in catalogue.core(model).layers)

    def test_saving_keeps_every_bit(self, model: Any, tmp_path: Path) -> None:
        model.save(tmp_path / "model.keras")
        again = lazy.keras().models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(self.outputs(again), self.outputs(model))

    def test_the_seed_decides_every_weight(self, model: Any) -> None:
        state = np.random.get_state()[1].tolist()
        again, other = self.build(), self.build(seed=2)
        assert np.random.get_state()[1].tolist() == state
        pairs = list(zip(model.get_weights(), again.get_weights(), other.get_weights(), strict=True))
        assert all(np.array_equal(a, b) for a, b, _ in pairs)
        assert all((a.ndim < 2) or not np.array_equal(a, c) for a, _, c in pairs)

    def test_no_two_kernels_share_their_random_numbers(self, model: Any) -> None:
        firsts = [kernel.ravel()[0] for kernel in model.get_weights() if kernel.ndim >= 2]
        assert len(set(firsts)) == len(firsts)

    def test_the_momentum_reaches_every_normalization(self, model: Any) -> None:
        catalogue.set_batch_norm_momentum(model, 0.5)
        norms = [layer for layer in catalogue.leaves(model) if "BatchNorm" in type(layer).__name__]
        assert {norm.momentum for norm in norms} <= {0.5}
        assert bool(norms) == (self.config.name != "dsnet")

    def test_the_quantized_copy_follows_the_float_model(self, model: Any, tmp_path: Path) -> None:
        from edgekd.models import quantize

        before = model.get_weights()
        copy = quantize.quantization_aware(catalogue.core(model), [IMAGES])
        expected, outputs = self.outputs(model), self.outputs(copy)
        assert scaling(copy) is Scaling.BYTE
        assert np.corrcoef(expected.ravel(), outputs.ravel())[0, 1] > 0.9
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
        quantize.save_quantized(copy, tmp_path / "model.h5")
        again = quantize.load_quantized(tmp_path / "model.h5")
        np.testing.assert_array_equal(self.outputs(again), outputs)


class TestMobileNetV2(StudentContract):
    """Its first three blocks: with and without widening, halving and adding, every kind of layer it has."""

    config = ModelConfig(name="mobilenet_v2", width=0.1, weights="none", blocks=3)


@pytest.mark.slow
class TestWholeMobileNetV2(StudentContract):
    config = ModelConfig(name="mobilenet_v2", width=0.1, weights="none")


class TestMobileNetV3SmallMinimalistic(StudentContract):
    config = ModelConfig(name="mobilenet_v3_small_minimalistic", width=0.25, weights="none")

    @pytest.mark.slow  # every kind of its layers is quantized above
    def test_the_quantized_copy_follows_the_float_model(self, model: Any, tmp_path: Path) -> None:
        super().test_the_quantized_copy_follows_the_float_model(model, tmp_path)


class TestDSNet(StudentContract):
    config = ModelConfig(name="dsnet", width=0.1, weights="none", dropout=0.25)
