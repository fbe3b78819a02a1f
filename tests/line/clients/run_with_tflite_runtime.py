"""Run by tflite-runtime's Python: MODEL IMAGES.npy ANSWER.npy → the stored outputs, a row per image."""

import sys

import numpy as np
from tflite_runtime.interpreter import Interpreter

model, images, answer = sys.argv[1:]
interpreter = Interpreter(model)
interpreter.allocate_tensors()
(image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
rows = []
for pixels in np.load(images):
    interpreter.set_tensor(image["index"], pixels[np.newaxis])
    interpreter.invoke()
    rows.append(interpreter.get_tensor(output["index"]).reshape(-1))
np.save(answer, np.stack(rows))
