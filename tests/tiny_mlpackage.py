"""Hand-made .mlpackage folders: a few operations of an ML Program, so that every output is known."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.runtimes.mil.wire import encode

DTYPES = {"bool": 1, "string": 2, "float16": 10, "float32": 11, "int8": 21, "int32": 23, "int4": 25}
DTYPES |= {"uint8": 31, "uint32": 33, "uint4": 35}
_BLOB_TYPES = {"float16": 1, "float32": 2, "uint8": 3, "int8": 4, "int4": 8, "uint4": 11}


def varint(number: int, value: int) -> bytes:
    """One field that holds a whole number."""
    value &= (1 << 64) - 1
    parts = bytearray()
    while True:
        parts.append(value & 0x7F | (0x80 if value >= 0x80 else 0))
        value >>= 7
        if not value:
            return bytes([*_key(number << 3), *parts])


def tensor_type(dtype: str, shape: Sequence[int]) -> bytes:
    """A message ValueType; −1 in `shape` is an open side."""
    sides = [encode(3, encode(2, b"") if side < 0 else encode(1, varint(1, side))) for side in shape]
    return encode(1, varint(1, DTYPES[dtype]) + varint(2, len(shape)) + b"".join(sides))


def named(name: str, dtype: str, shape: Sequence[int]) -> bytes:
    """A message NamedValueType."""
    return encode(1, name) + encode(2, tensor_type(dtype, shape))


def value(content: Any, dtype: str = "") -> bytes:
    """A message Value inside the model file: a text, numbers, or an array."""
    if isinstance(content, str):
        return encode(2, tensor_type("string", ())) + _tensor(4, encode(1, content))
    array = np.asarray(content)
    dtype = dtype or {"f": "float32", "i": "int32", "b": "bool"}[array.dtype.kind]
    if dtype == "float32":
        tensor = _tensor(1, encode(1, array.astype("<f4").tobytes()))
    elif dtype in ("int32", "bool"):
        packed = b"".join(varint(1, int(item))[1:] for item in array.ravel())
        tensor = _tensor(2 if dtype == "int32" else 3, encode(1, packed))
    else:
        tensor = _tensor(7, encode(1, array.tobytes()))
    return encode(2, tensor_type(dtype, array.shape)) + tensor


def blob(
    dtype: str, shape: Sequence[int], offset: int, file: str = "@model_path/weights/weight.bin"
) -> bytes:
    """A message Value that lies in a weight file."""
    return encode(2, tensor_type(dtype, shape)) + encode(5, encode(1, file) + varint(2, offset))


def weight_file(*arrays: tuple[str, bytes]) -> tuple[bytes, list[int]]:
    """A weight file of (dtype, bytes), and where each array is described in it."""
    data, offsets = bytearray(struct.pack("<II56x", len(arrays), 2)), []
    for dtype, content in arrays:
        offsets.append(len(data))
        data += struct.pack("<IIQQ40x", 0xDEADBEEF, _BLOB_TYPES[dtype], len(content), len(data) + 64)
        data += content + bytes(-len(content) % 64)
    return bytes(data), offsets


def operation(
    kind: str,
    inputs: Mapping[str, Any],
    outputs: Sequence[bytes],
    attributes: Mapping[str, bytes] | None = None,
    *,
    block: bytes = b"",
) -> bytes:
    """A message Operation; an input is the name of a value, several names, or a constant (a Value)."""
    parts = [encode(1, kind)]
    for key, given in inputs.items():
        several = given if isinstance(given, list) else [given]
        bindings = b"".join(
            encode(1, encode(1, one) if isinstance(one, str) else encode(2, one)) for one in several
        )
        parts.append(encode(2, encode(1, key) + encode(2, bindings)))
    parts += [encode(3, output) for output in outputs]
    parts += [encode(5, encode(1, key) + encode(2, one)) for key, one in (attributes or {}).items()]
    return b"".join(parts) + (encode(4, block) if block else b"")


def model(
    operations: Sequence[bytes],
    *,
    image: bytes | None = None,
    shape: Sequence[int] = (1, 3, 4, 4),
    output: str = "logits",
    count: int = 3,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a .mlmodel file: `image` → `operations` → `output`."""
    entries = b"".join(
        encode(100, encode(1, key) + encode(2, text)) for key, text in (metadata or {}).items()
    )
    description = (
        encode(1, encode(1, "image") + encode(3, image or image_type(4)))
        + encode(10, encode(1, output) + encode(3, encode(5, varint(1, count) + varint(2, 65568))))
        + encode(100, entries)
    )
    block = encode(2, output) + b"".join(encode(3, one) for one in operations)
    main = (
        encode(1, named("image", "float32", shape))
        + encode(2, "CoreML6")
        + encode(3, encode(1, "CoreML6") + encode(2, block))
    )
    program = varint(1, 1) + encode(2, encode(1, "main") + encode(2, main))
    return varint(1, 7) + encode(2, description) + encode(502, program)


def image_type(px: int, colour: int = 20) -> bytes:
    """A message FeatureType of an image; colours are 10 grey, 20 RGB, 30 BGR."""
    return encode(4, varint(1, px) + varint(2, px) + varint(3, colour))


def array_type() -> bytes:
    """A message FeatureType of a float array."""
    return encode(5, varint(1, 1) + varint(2, 65568))


def write(
    folder: Path, model_file: bytes, weights: bytes = b"", *, root: str = "com.apple.CoreML/model.mlmodel"
) -> Path:
    """The package `folder`."""
    inner = folder / "Data" / "com.apple.CoreML"
    (inner / "weights").mkdir(parents=True, exist_ok=True)
    (inner / "model.mlmodel").write_bytes(model_file)
    if weights:
        (inner / "weights" / "weight.bin").write_bytes(weights)
    manifest = {"itemInfoEntries": {"1": {"path": root}}, "rootModelIdentifier": "1"}
    (folder / "Manifest.json").write_text(json.dumps(manifest))
    return folder


def average(folder: Path, *, colour: int = 20, metadata: Mapping[str, str] | None = None) -> Path:
    """A package that answers the mean of red, green and blue of 4 × 4 pixels."""
    mean = operation(
        "reduce_mean",
        {"x": "image", "axes": value([2, 3]), "keep_dims": value(False)},
        [named("logits", "float32", (1, 3))],
    )
    return write(folder, model([mean], image=image_type(4, colour), metadata=metadata))


def scaled(folder: Path, factors: Sequence[float] = (1.0, 2.0, 3.0)) -> Path:
    """Like `average`, each colour then multiplied by its factor, which lies in the weight file."""
    weights, offsets = weight_file(("float32", np.array(factors, "<f4").tobytes()))
    operations = [
        operation(
            "const", {}, [named("factors", "float32", (1, 3))], {"val": blob("float32", (1, 3), offsets[0])}
        ),
        operation(
            "reduce_mean",
            {"x": "image", "axes": value([2, 3]), "keep_dims": value(False)},
            [named("mean", "float32", (1, 3))],
        ),
        operation("mul", {"x": "mean", "y": "factors"}, [named("logits", "float32", (1, 3))]),
    ]
    return write(folder, model(operations), weights)


def _tensor(field: int, content: bytes) -> bytes:
    return encode(3, encode(1, encode(field, content)))


def _key(key: int) -> bytes:
    return bytes([key]) if key < 0x80 else bytes([key & 0x7F | 0x80, key >> 7])
