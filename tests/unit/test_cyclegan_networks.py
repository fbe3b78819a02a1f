"""CycleGAN's networks: the published shapes, layers by their formulas, files that load again."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.errors import ModelError, UsageError
from tolerances import FLOAT_KERNELS_RELATIVE

pytestmark = pytest.mark.tf

TINY = {"px": 32, "width": 0.0625}


@pytest.mark.parametrize(("px", "parameters"), [(256, 11_378_179), (128, 7_837_699)])
def test_the_generators_have_the_published_size(px: int, parameters: int) -> None:
    """11.378 M with nine blocks, 7.838 M with six (Zhu et al. 2017, the authors' program)."""
    from edgekd.models.cyclegan import generator

    model = generator(px=px, seed=1)
    assert model.count_params() == parameters
    assert model.output_shape == (None, px, px, 3)


def test_the_discriminator_has_the_published_size_and_sees_patches_of_70_pixels() -> None:
    from edgekd.models.cyclegan import discriminator, keras

    model = discriminator(px=256, seed=1)
    assert model.count_params() == 2_764_737
    assert model.output_shape == (None, 30, 30, 1)
    side = 1
    for layer in reversed(model.layers):
        if isinstance(layer, keras.layers.Conv2D):
            side = (side - 1) * layer.strides[0] + layer.kernel_size[0]
    assert side == 70


@pytest.mark.parametrize("px", [32, 64, 100])
def test_small_pictures_keep_their_size(px: int) -> None:
    from edgekd.models.cyclegan import discriminator, generator

    assert generator(px=px, width=0.0625, blocks=1, seed=1).output_shape[1:] == (px, px, 3)
    assert discriminator(px=px, width=0.0625, seed=1).output_shape[1] == px // 8 - 2


@pytest.mark.parametrize("px", [28, 34])
def test_other_sizes_are_refused(px: int) -> None:
    from edgekd.models.cyclegan import discriminator, generator

    for build in (generator, discriminator):
        with pytest.raises(UsageError, match=f"pictures of {px} px: .* a multiple of 4"):
            build(px=px, seed=1)


def test_instance_norm_is_its_formula() -> None:
    from edgekd.models.cyclegan import InstanceNorm

    x = np.random.default_rng(1).normal(3, 2, (2, 8, 8, 5)).astype(np.float32)
    mean, variance = x.mean(axis=(1, 2), keepdims=True), x.var(axis=(1, 2), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(InstanceNorm()(x).numpy(), expected, atol=10 * FLOAT_KERNELS_RELATIVE)


def test_reflection_repeats_all_but_the_edge() -> None:
    from edgekd.models.cyclegan import ReflectionPad

    row = np.arange(4, dtype=np.float32).reshape(1, 1, 4, 1).repeat(4, axis=1)
    assert ReflectionPad(2)(row).numpy()[0, 0, :, 0].tolist() == [2, 1, 0, 1, 2, 3, 2, 1]


def test_first_weights_depend_on_the_seed_alone() -> None:
    from edgekd.models.cyclegan import generator
    from edgekd.models.weights import weights_sha256

    found = [weights_sha256(generator(**TINY, blocks=1, seed=seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    kernels = np.concatenate(
        [w.ravel() for w in generator(px=32, width=0.5, seed=1).get_weights() if w.ndim > 1]
    )
    # A million draws: the deviation is 0.02 within a thousandth of itself.
    assert kernels.std() == pytest.approx(0.02, rel=5e-3)
    assert abs(kernels.mean()) < 1e-4


def test_a_saved_generator_answers_the_same(tmp_path) -> None:
    from edgekd.models.cyclegan import generator, load_generator
    from edgekd.training.determinism import save_model

    model = generator(**TINY, blocks=2, seed=4)
    save_model(model, tmp_path / "generator.keras")
    loaded = load_generator(tmp_path / "generator.keras")
    pictures = np.random.default_rng(2).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(pictures).numpy(), model(pictures).numpy())
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]


def test_what_is_no_generator_is_refused(tmp_path) -> None:
    from edgekd.models.cyclegan import load_generator

    with pytest.raises(ModelError, match="no such generator"):
        load_generator(tmp_path / "none.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ModelError, match="not a generator that can be loaded"):
        load_generator(tmp_path / "text.keras")
