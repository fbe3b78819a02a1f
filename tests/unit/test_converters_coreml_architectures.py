"""Every student, and networks with what students lack, as packages against Keras."""

from __future__ import annotations

import numpy as np
import pytest

import tiny_students
from edgekd.config import ModelConfig, Precision
from edgekd.runtimes.coreml import CoremlRuntime
from edgekd_converters.coreml import convert_coreml
from tolerances import FLOAT_DEEP_RELATIVE

pytestmark = [pytest.mark.tf, pytest.mark.slow]

# Hard-swish and squeeze-excitation; grouped convolutions; pooling with borders, scaling of its own channels.
NETWORKS = [
    ("mobilenet_v2", 0.35),
    ("mobilenet_v3_small_minimalistic", 0.5),
    ("dsnet", 0.25),
    ("mobilenet_v3_small", 1.0),
    ("regnet_y_016", 1.0),
    ("resnet50", 1.0),
]


def _lively(name: str, width: float, images: np.ndarray):
    """A network of random weights, normalized on `images` so that its outputs differ between them."""
    from edgekd.models.catalogue import build, core, set_batch_norm_momentum

    config = ModelConfig(name=name, width=width, weights="none", dropout=0.0)
    model = build(config, input_px=images.shape[1], n_logits=3, seed=1)
    rng = np.random.Generator(np.random.PCG64(2))
    for weight in model.weights:
        if "gamma" in weight.name or "beta" in weight.name or "bias" in weight.name:
            weight.assign_add(rng.uniform(-0.3, 0.3, weight.shape).astype(np.float32))
    set_batch_norm_momentum(model, 0.0)
    model(images.astype(np.float32), training=True)
    logits = np.asarray(model(images.astype(np.float32), training=False))
    head = core(model).get_layer("logits")
    head.kernel.assign(head.kernel * (4 / np.ptp(logits, axis=0)))
    return model


@pytest.mark.parametrize(("name", "width"), NETWORKS)
def test_a_network_answers_like_keras(tmp_path, name, width):
    images = np.repeat(np.repeat(tiny_students.lesions(12, 3)[0], 2, 1), 2, 2)
    model = _lively(name, width, images)
    convert_coreml(model, Precision.COREML_FP32, tmp_path / "a.mlpackage")
    expected = np.asarray(model(images.astype(np.float32), training=False))
    assert np.ptp(expected, axis=0).min() > 2
    runtime = CoremlRuntime(tmp_path / "a.mlpackage")
    allowed = FLOAT_DEEP_RELATIVE * np.ptp(expected)
    assert np.abs(runtime.logits(images) - expected).max() <= allowed
    assert np.abs(runtime.logits(images[..., ::-1]) - expected).max() > 100 * allowed
