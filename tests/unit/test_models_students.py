"""Every student of the catalogue becomes a file that computes in integers alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd import lazy
from edgekd.config import ModelConfig
from edgekd.models.catalogue import STUDENTS, build, core

pytestmark = [pytest.mark.tf, pytest.mark.slow]

PX = 32
IMAGES = np.random.default_rng(3).integers(0, 256, (32, PX, PX, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", list(STUDENTS))
def test_a_student_is_whole_integers(name: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from edgekd.models.quantize import quantization_aware

    tf = lazy.tensorflow()
    student = build(ModelConfig(name=name, width=0.35, weights="none"), input_px=PX, n_logits=3, seed=1)
    quantized = core(quantization_aware(core(student), [IMAGES]))
    run = tf.function(lambda image: quantized(image, training=False))
    concrete = run.get_concrete_function(tf.TensorSpec((1, PX, PX, 3), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], quantized)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    assert {tensor["dtype"] for tensor in interpreter.get_tensor_details()} <= {np.uint8, np.int8, np.int32}
    assert tuple(interpreter.get_output_details()[0]["shape"]) == (1, 3)
