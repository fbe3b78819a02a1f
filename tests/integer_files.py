"""A quantization-aware network as an open 8-bit file."""

from __future__ import annotations

from typing import Any

from edgekd import lazy


def opened(quantized: Any, px: int) -> Any:
    """The interpreter of the file that `quantized` (a core, images of `px`) becomes, ready to run."""
    from ai_edge_litert.interpreter import Interpreter

    tf = lazy.tensorflow()
    run = tf.function(lambda image: quantized(image, training=False))
    concrete = run.get_concrete_function(tf.TensorSpec((1, px, px, 3), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], quantized)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    return interpreter
