"""`convert_coreml`: a Keras model as an ML Program (.mlpackage). The only converter that knows coremltools.

A package takes one RGB image [px, px] and answers with raw logits [1, k]: pixels come as bytes from 0 to
255 and the model's own scaling stays in the graph. A patient vector, where the model takes one, is a float32
array [1, f]. It runs from iOS 16 and macOS 13 on.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgekd import lazy
from edgekd.config import Precision
from edgekd.errors import ModelError, UsageError
from edgekd.models.catalogue import leaves
from edgekd.patient_input import TENSOR
from edgekd.plain import file_digest, write_json
from edgekd.runtimes.keras import image_sides
from edgekd.runtimes.mil.package import DATA, MANIFEST
from edgekd_converters.coreml_card import embed_card_coreml, read_card_coreml

__all__ = ["INPUT", "OUTPUT", "convert_coreml", "embed_card_coreml", "read_card_coreml"]

INPUT, OUTPUT = "image", "logits"

_AUTHOR = "com.apple.CoreML"
_MODEL, _WEIGHTS = f"{_AUTHOR}/model.mlmodel", f"{_AUTHOR}/weights"
_DATE = "com.github.apple.coremltools.conversion_date"
_PALETTE_BITS = 4


def convert_coreml(model: Any, precision: Precision, output: Path) -> None:
    """Write `model` in `precision` as the package folder `output`; the same model gives the same bytes.

    `model` maps one square RGB image of raw 0 to 255 values to logits. COREML_FP32 keeps weights and
    arithmetic in float32, COREML_FP16 declares both float16; COREML_INT8 stores the weights of the latter in
    8 bits with a scale per output channel, COREML_PAL4 as indices into a palette of 16 values per tensor,
    found by k-means; both leave tensors of fewer than 2048 values alone. An `output` that exists is replaced.

    Raises:
        UsageError: `model` is quantization-aware: Core ML would get it as a float model that rounds.
        ModelError: `model` is no image classifier, a weight is not finite, or it cannot be converted.
    """
    image_sides(model)
    _check_finite(model)
    function = _freeze(model)
    _check_float(model, function)
    with _quiet():
        coremltools = lazy.optional("coremltools", package="coremltools", extra="coreml")
    try:
        with _quiet():
            program = _SETTINGS[precision](coremltools, function)
    except Exception as error:  # coremltools raises its own, TensorFlow's and NumPy's errors
        with _quiet():
            traceback.clear_frames(error.__traceback__)  # they hold temporary folders
        lines = [line.strip() for line in str(error).split("\n") if line.strip()]
        raise ModelError(
            f"coremltools cannot convert {model.name!r} to {precision}: {(lines or [repr(error)])[0]:.300}"
        ) from error
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
        _write(coremltools, program, Path(folder, "raw"), Path(folder, "whole"))
        if output.exists():
            shutil.rmtree(output)
        Path(folder, "whole").replace(output)


def _check_finite(model: Any) -> None:
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise ModelError(
                f"model {model.name!r}: weight {weight.name} holds NaN or infinity, its training diverged; "
                "lower the learning rate and train again"
            )


def _freeze(model: Any) -> Any:
    """`model` as a concrete function without variables, for one image (and patient vector)."""
    tf = lazy.tensorflow()
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    def logits(*inputs: Any) -> Any:
        return model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

    specs = [
        tf.TensorSpec([1, *tensor.shape[1:]], tf.float32, name=name)
        for tensor, name in zip(model.inputs, (INPUT, TENSOR), strict=False)
    ]
    with _plain_groups(model):
        return convert_variables_to_constants_v2(tf.function(logits).get_concrete_function(*specs))


@contextlib.contextmanager
def _plain_groups(model: Any) -> Iterator[None]:
    """With grouped convolutions as one operation, where tf-keras would call a compiled function."""
    name = "_jit_compiled_convolution_op"
    grouped = [layer for layer in leaves(model) if hasattr(layer, name) and layer.groups > 1]
    for layer in grouped:
        vars(layer)[name] = layer.convolution_op
    try:
        yield
    finally:
        for layer in grouped:
            del vars(layer)[name]


def _check_float(model: Any, function: Any) -> None:
    emulated = [op for op in function.graph.get_operations() if op.type.startswith("FakeQuant")]
    if emulated:
        raise UsageError(
            f"model {model.name!r} is quantization-aware ({len(emulated)} emulated roundings): Core ML "
            "would get it as a float model that rounds; convert the float student it was made from"
        )


def _convert(coremltools: Any, function: Any, *, half: bool) -> Any:
    _, height, width, channels = function.inputs[0].shape
    kinds = coremltools.precision
    return coremltools.convert(
        [function],
        source="tensorflow",
        convert_to="mlprogram",
        inputs=[
            coremltools.ImageType(
                name=INPUT,
                shape=(1, height, width, channels),
                scale=1.0,
                bias=[0.0, 0.0, 0.0],
                color_layout=coremltools.colorlayout.RGB,
            ),
            *_patient(coremltools, function),
        ],
        outputs=[coremltools.TensorType(name=function.outputs[0].op.name, dtype=np.float32)],
        compute_precision=kinds.FLOAT16 if half else kinds.FLOAT32,
        minimum_deployment_target=coremltools.target.iOS16,
        skip_model_load=True,
    )


def _patient(coremltools: Any, function: Any) -> list[Any]:
    """The type of the patient vector, where there is one."""
    return [
        coremltools.TensorType(name=TENSOR, shape=tuple(tensor.shape), dtype=np.float32)
        for tensor in function.inputs[1:]
    ]


def _fp32(coremltools: Any, function: Any) -> Any:
    return _convert(coremltools, function, half=False)


def _fp16(coremltools: Any, function: Any) -> Any:
    return _convert(coremltools, function, half=True)


def _int8(coremltools: Any, function: Any) -> Any:
    optimize = coremltools.optimize.coreml
    settings = optimize.OpLinearQuantizerConfig(
        mode="linear_symmetric", dtype="int8", granularity="per_channel"
    )
    # A channel whose kernel is zero in half precision has scale 0: 0 / 0 there, and 0 · 0 on the phone.
    with np.errstate(invalid="ignore", divide="ignore"):
        return optimize.linear_quantize_weights(
            _fp16(coremltools, function), optimize.OptimizationConfig(global_config=settings)
        )


def _palette(coremltools: Any, function: Any) -> Any:
    optimize = coremltools.optimize.coreml
    settings = optimize.OpPalettizerConfig(mode="kmeans", nbits=_PALETTE_BITS)
    return optimize.palettize_weights(
        _fp16(coremltools, function), optimize.OptimizationConfig(global_config=settings)
    )


_SETTINGS: dict[Precision, Callable[[Any, Any], Any]] = {
    Precision.COREML_FP32: _fp32,
    Precision.COREML_FP16: _fp16,
    Precision.COREML_INT8: _int8,
    Precision.COREML_PAL4: _palette,
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without coremltools' progress bars and its remarks about versions; errors still come."""
    logger = logging.getLogger("coremltools")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _write(coremltools: Any, program: Any, raw: Path, whole: Path) -> None:
    """The converted `program` as the package folder `whole`, without date, random names and random order."""
    raw = raw.with_suffix(".mlpackage")
    program.save(str(raw))
    specification = program.get_spec()
    del specification.description.metadata.userDefined[_DATE]
    coremltools.utils.rename_feature(specification, specification.description.output[0].name, OUTPUT)
    weights = raw / DATA / _WEIGHTS
    (whole / DATA / _AUTHOR).mkdir(parents=True)
    (whole / DATA / _MODEL).write_bytes(specification.SerializeToString(deterministic=True))
    names = {_MODEL: "Specification"}
    if weights.is_dir():
        shutil.copytree(weights, whole / DATA / _WEIGHTS)
        names[_WEIGHTS] = "Weights"
    _write_manifest(whole, names)


def _write_manifest(whole: Path, names: dict[str, str]) -> None:
    root = file_digest(whole / DATA / _MODEL)
    identifiers = {path: str(uuid.uuid5(uuid.NAMESPACE_OID, f"{root} {path}")) for path in names}
    write_json(
        whole / MANIFEST,
        {
            "fileFormatVersion": "1.0.0",
            "itemInfoEntries": {
                identifiers[path]: {
                    "author": _AUTHOR,
                    "description": f"CoreML Model {what}",
                    "name": path.rsplit("/", maxsplit=1)[-1],
                    "path": path,
                }
                for path, what in names.items()
            },
            "rootModelIdentifier": identifiers[_MODEL],
        },
    )
