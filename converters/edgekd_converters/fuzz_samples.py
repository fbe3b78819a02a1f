"""Tiny whole model files to damage, for when none are given; the same bytes each time."""

from __future__ import annotations

import io
import json
import zipfile
from importlib.util import find_spec
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd.card import ModelCard
from edgekd_converters.metadata import embed_card
from edgekd_converters.standard_metadata import embed_standard_metadata

PX, LABELS = 8, ("mel", "nv", "bkl")
CARD = ModelCard(name="fuzz", precision="int8", input_px=PX, labels=LABELS, malignant=("mel",))


def samples() -> dict[str, bytes]:
    """File name → bytes: a .tflite file, plain and with all metadata; with TensorFlow also Keras files."""
    plain = _convolution()
    both = embed_card(embed_standard_metadata(plain, CARD), CARD)
    keras = _keras_files() if find_spec("tensorflow") else {}
    return {"plain.tflite": plain, "metadata.tflite": both, **keras}


def _convolution() -> bytes:
    """A uint8 convolution over the whole image, [1, 8, 8, 3] → [1, 1, 1, 3]."""
    weights = np.random.Generator(np.random.PCG64(1)).integers(0, 256, (3, PX, PX, 3), np.uint8)
    graph = schema.SubGraphT()
    graph.tensors = [
        _tensor("image", (1, PX, PX, 3), 0, 1 / 127.5),
        _tensor("weights", weights.shape, 1, 0.01),
        _tensor("bias", (3,), 2, 0.01 / 127.5),
        _tensor("logits", (1, 1, 1, 3), 0, 0.1),
    ]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([3], np.int32)
    graph.operators = [_operator()]
    model = schema.ModelT()
    model.version, model.description, model.subgraphs = 3, "fuzz", [graph]
    model.buffers = [_buffer(b""), _buffer(weights.tobytes()), _buffer(bytes(12))]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 1
    model.operatorCodes = [code]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str, shape: tuple[int, ...], buffer: int, scale: float) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name, np.array(shape, np.int32), buffer
    tensor.type = schema.TensorType.INT32 if name == "bias" else schema.TensorType.UINT8
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = np.array([scale], np.float32)
    tensor.quantization.zeroPoint = np.array([0 if name == "bias" else 128], np.int64)
    return tensor


def _operator() -> Any:
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideW = options.strideH = 1
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = np.array([0, 1, 2], np.int32), np.array([3], np.int32)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    return operator


def _buffer(content: bytes) -> Any:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8) if content else None
    return buffer


def _keras_files() -> dict[str, bytes]:
    """A dense layer on a flattened image in Keras's own format and in HDF5."""
    layers: list[tuple[str, dict[str, Any]]] = [
        ("InputLayer", {"batch_input_shape": [None, PX, PX, 3], "dtype": "float32", "name": "image"}),
        ("Flatten", {"name": "flatten", "dtype": "float32"}),
        ("Dense", {"name": "logits", "units": len(LABELS), "activation": "linear", "dtype": "float32"}),
    ]
    described = [{"module": "keras.layers", "class_name": kind, "config": config} for kind, config in layers]
    config = {"class_name": "Sequential", "config": {"name": "fuzz", "layers": described}}
    shape = {"input_shape": [None, PX, PX, 3]}
    files = {
        "metadata.json": b"{}",
        "config.json": json.dumps({"module": "keras", **config, "build_config": shape}).encode(),
        "model.weights.h5": _hdf5("layers/dense/vars/0", "layers/dense/vars/1"),
    }
    kernel, bias = (f"model_weights/logits/logits/{name}:0" for name in ("kernel", "bias"))
    return {"dense.keras": _archive(files), "dense.h5": _hdf5(kernel, bias, model_config=json.dumps(config))}


def _archive(files: dict[str, bytes]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return output.getvalue()


def _hdf5(kernel: str, bias: str, *, model_config: str = "") -> bytes:
    """The weights of the dense layer at two paths; with a network's description, a whole model."""
    import h5py

    output = io.BytesIO()
    with h5py.File(output, "w") as file:
        file[kernel] = np.zeros((PX * PX * 3, len(LABELS)), np.float32)
        file[bias] = np.zeros(len(LABELS), np.float32)
        file.create_group("vars")
        if model_config:
            file.attrs["model_config"] = model_config
            file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
            weights = file["model_weights"]
            weights.attrs["layer_names"] = [b"flatten", b"logits"]
            weights.create_group("flatten").attrs["weight_names"] = np.array([], "S1")
            weights["logits"].attrs["weight_names"] = [b"logits/kernel:0", b"logits/bias:0"]
    return output.getvalue()
