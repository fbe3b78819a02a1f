"""Parameters and multiply-accumulates: counted by hand on a toy, frozen for the students."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd import lazy
from edgekd.config import ModelConfig
from edgekd.models.catalogue import build
from edgekd.models.describe import count_parameters, describe

pytestmark = pytest.mark.tf

GOLDEN = Path(__file__).parents[1] / "golden" / "models" / "students_224.txt"
STUDENTS = [
    ("mobilenet_v2", 1.0),
    ("mobilenet_v2", 0.5),
    ("mobilenet_v2", 0.35),
    ("mobilenet_v3_small_minimalistic", 1.0),
    ("mobilenet_v4_conv_small", 1.0),
    ("mobilenet_v4_conv_small", 0.5),
    ("efficientnet_lite0", 1.0),
    ("efficientnet_lite0", 0.5),
    ("dsnet", 1.0),
]


def test_every_kind_of_layer_is_counted() -> None:
    keras = lazy.keras()
    layers = keras.layers
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(image)  # 8·8 · 3·3·3·4 = 6,912
    x = layers.BatchNormalization()(x)  # 16 parameters, 8 of them trainable
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)  # 4·4 · 3·3·4 = 576
    x = layers.SeparableConv2D(6, 3, padding="valid", use_bias=False)(x)  # 2·2 · (3·3·4 + 4·6) = 240
    x = layers.Conv2D(6, 1, groups=2, use_bias=False)(x)  # 2·2 · 3·6 = 72
    x = layers.GlobalAveragePooling2D()(x)
    inner = keras.Model(image, layers.Dense(5)(x))  # 6·5 = 30; 35 parameters
    outer = keras.Model(image, inner(image))
    assert describe(outer).macs == describe(inner).macs == 6912 + 576 + 240 + 72 + 30
    assert describe(outer).parameters == count_parameters(outer) == 108 + 16 + 36 + 60 + 18 + 35
    assert describe(outer).trainable == 108 + 8 + 36 + 60 + 18 + 35


def test_dsnet_has_the_parameters_of_the_paper() -> None:
    model = build(ModelConfig(name="dsnet", weights="none"), input_px=224, n_logits=2, seed=1)
    assert count_parameters(model) == 268_898


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        # Qin et al. 2024, table 5: 3.8 M, 0.2 G; timm's mobilenetv4_conv_small to the unit.
        ("mobilenet_v4_conv_small", 3_774_024, (0.18e9, 0.20e9)),
        # EfficientNet-Lite's README: 4.7 M, 407 M with the work of normalization; timm's efficientnet_lite0.
        ("efficientnet_lite0", 4_652_008, (0.38e9, 0.41e9)),
    ],
)
def test_a_student_has_its_published_size(name: str, parameters: int, macs: tuple[float, float]) -> None:
    size = describe(build(ModelConfig(name=name, weights="none"), input_px=224, n_logits=1000, seed=1))
    assert size.trainable == parameters
    assert macs[0] < size.macs < macs[1]


@pytest.mark.slow
def test_students_keep_their_size(regenerate_golden: bool) -> None:
    lines = [f"{'two logits at 224 px':<32} {'width':>5} {'parameters':>10} {'trainable':>10} {'MACs':>13}"]
    for name, width in STUDENTS:
        config = ModelConfig(name=name, width=width, weights="none")
        size = describe(build(config, input_px=224, n_logits=2, seed=1))
        lines.append(f"{name:<32} {width:>5} {size.parameters:>10,} {size.trainable:>10,} {size.macs:>13,}")
    text = "\n".join(lines) + "\n"
    if regenerate_golden:
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")
