"""A file on LiteRT's GPU accelerator: `python -m edgekd_converters.gpu_worker FOLDER`, a process of its own.

FOLDER holds request.json ({"model", "input_range"}) and images.npy; outputs.npz is written into it (`gpu` and
`cpu`, float32 [n, k]). What the accelerator says goes to stderr; JSON on stdout says how it ended.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.options import GpuOptions, Options
from numpy.typing import NDArray

from edgekd.errors import ModelError
from edgekd.plain import read_json
from edgekd.runtimes.litert import LitertRuntime, Port, open_interpreter, ports
from edgekd.runtimes.tflite_runtime import to_input


def compute(folder: Path) -> dict[str, Any]:
    """Run the request in `folder` on CPU and GPU; the step of an 8-bit output (0 for a float one).

    Raises:
        ModelError: LiteRT cannot run the file on the CPU.
        RuntimeError: it cannot on the GPU.
    """
    request = read_json(folder / "request.json")
    path, images = Path(request["model"]), np.load(folder / "images.npy")
    span = tuple(request["input_range"]) if request["input_range"] else None
    runtime = LitertRuntime(path, input_range=span)
    (image,), (vector,) = ports(open_interpreter(path))
    stored = to_input(images, image.dtype.name, span or (0.0, 255.0))
    np.savez(folder / "outputs.npz", cpu=runtime.logits(images), gpu=_on_gpu(path, stored, vector))
    return {"output_step": runtime.output_step}


def _on_gpu(path: Path, stored: NDArray[Any], vector: Port) -> NDArray[np.float32]:
    options = Options(
        hardware_accelerators=HardwareAccelerator.GPU | HardwareAccelerator.CPU,
        # In float32, so that a difference is an error and not a rounding; without benchmark mode `run`
        # returns before the work is done.
        gpu_options=GpuOptions(enforce_f32=True, benchmark_mode=True),
    )
    model = CompiledModel.from_file(str(path), options=options)
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    answers = np.empty((len(stored), vector.shape[-1]), np.float32)
    for number, image in enumerate(stored):
        inputs[0].write(np.ascontiguousarray(image[np.newaxis]))
        model.run_by_index(0, inputs, outputs)
        answers[number] = outputs[0].read(vector.shape[-1], vector.dtype.type)
    if vector.scale:
        answers = (answers - vector.zero_point) * np.float32(vector.scale)
    return answers


def main(folder: Path) -> None:
    """Compute, and say how it ended."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever native code prints must not mix with the answer
    try:
        answer: dict[str, Any] = compute(folder)
    except (ModelError, RuntimeError, ValueError) as error:
        answer = {"error": str(error).strip()}
    out.write(json.dumps(answer))
    out.flush()
    os._exit(0)  # some drivers crash while the process is taken down


if __name__ == "__main__":
    main(Path(sys.argv[1]))
