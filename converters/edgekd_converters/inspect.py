"""`inspect_tflite`: what a .tflite file holds, without trusting it."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd.card import METADATA_NAME
from edgekd.errors import ModelError
from edgekd.runtimes.probe import probe
from edgekd_converters.metadata_front import DAMAGED, open_model, read_model

SCHEMA = "edgekd.inspect/1"

_OPERATORS: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"
}
_DTYPES: dict[int, str] = {
    code: name.lower() for name, code in vars(schema.TensorType).items() if name[0] != "_"
}
_FLOATS = {"float16", "float32", "float64", "bfloat16"}
_MAX_ITEMS = 2_000_000
_MIN_RUNTIME = "min_runtime_version"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One kind of operator: its name (of a custom one, its own), version and number of uses."""

    name: str
    version: int
    count: int


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """An input or output; −1 in `shape` is a size left open. `scale` is null without quantization."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a .tflite file holds (schema edgekd.inspect/1).

    `tensors` counts tensors by dtype. `float_operators` is the number of operators that write a float
    tensor: 0 in a full-8-bit file. `dynamic_tensors` have a size left open. `macs` are the multiplications of
    convolutions and dense layers for one image, null where the file leaves shapes to the runtime.
    `min_runtime_version` is what the converter wrote and not reliable.
    `delegate_partitions` is the number of pieces XNNPACK runs; null, with the reason in
    `load_error`, when LiteRT cannot run the file on this machine (both null: it was not tried).
    """

    schema: str = SCHEMA
    sha256: str
    size_bytes: int
    subgraphs: int
    operators: tuple[Operator, ...]
    tensors: dict[str, int]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    float_operators: int
    dynamic_tensors: int
    macs: int | None
    metadata: tuple[str, ...]
    has_card: bool
    min_runtime_version: str | None
    delegate_partitions: int | None
    load_error: str | None


def inspect_tflite(path: Path, *, run: bool = True) -> Inspection:
    """What the .tflite file `path` holds; the file may come from anywhere.

    It is read with bounds checked and, unless `run` is false, run once in a process of its own.

    Raises:
        ModelError: the file is missing, larger than 1 GiB, not a .tflite file, or damaged.
    """
    data = read_model(path)
    try:
        found = _Reader(data).facts()
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except DAMAGED as error:
        raise ModelError(f"{path}: damaged .tflite file, its tables point outside of it") from error
    partitions, load_error = _partitions(path) if run else (None, None)
    return Inspection(
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        delegate_partitions=partitions,
        load_error=load_error,
        **found,
    )


def _partitions(path: Path) -> tuple[int | None, str | None]:
    try:
        return probe(path), None
    except ModelError as error:
        return None, str(error).removeprefix(f"{path}: ")


class _Reader:
    """Walks the tables of a file; a budget of items keeps a malicious one from taking for ever."""

    def __init__(self, data: bytes) -> None:
        self._root = open_model(data)
        self._left = _MAX_ITEMS

    def facts(self) -> dict[str, Any]:
        """The fields of `Inspection` that the bytes tell."""
        root = self._root
        codes = list(self._each(root.OperatorCodesLength(), root.OperatorCodes))
        graphs = list(self._each(root.SubgraphsLength(), root.Subgraphs))
        if not graphs:
            raise ModelError("damaged .tflite file: no subgraph in it")
        names = [_operator_name(code) for code in codes]
        tensors = [list(self._each(graph.TensorsLength(), graph.Tensors)) for graph in graphs]
        uses = [
            (names[operator.OpcodeIndex()], codes[operator.OpcodeIndex()].Version(), operator, owned)
            for graph, owned in zip(graphs, tensors, strict=True)
            for operator in self._each(graph.OperatorsLength(), graph.Operators)
        ]
        counts = Counter((name, version) for name, version, _, _ in uses)
        metadata = self._metadata()
        everything = [tensor for owned in tensors for tensor in owned]
        return {
            "subgraphs": len(graphs),
            "operators": tuple(
                Operator(name=name, version=version, count=count)
                for (name, version), count in sorted(counts.items())
            ),
            "tensors": dict(sorted(Counter(_dtype(tensor) for tensor in everything).items())),
            "inputs": self._ports(graphs[0].InputsLength(), graphs[0].Inputs, tensors[0]),
            "outputs": self._ports(graphs[0].OutputsLength(), graphs[0].Outputs, tensors[0]),
            "float_operators": sum(self._writes_float(operator, owned) for _, _, operator, owned in uses),
            "dynamic_tensors": sum(self._is_open(tensor) for tensor in everything),
            "macs": self._macs(uses),
            "metadata": tuple(metadata),
            "has_card": METADATA_NAME in metadata,
            "min_runtime_version": metadata.get(_MIN_RUNTIME),
        }

    def _each(self, length: int, get: Callable[[int], T]) -> Iterator[T]:
        self._left -= length
        if self._left < 0:
            raise ModelError(f"damaged .tflite file: more than {_MAX_ITEMS} items in its tables")
        return (get(number) for number in range(length))

    def _metadata(self) -> dict[str, str]:
        """The metadata entries; of the short ones also the text."""
        found = {}
        for entry in self._each(self._root.MetadataLength(), self._root.Metadata):
            name = entry.Name().decode(errors="replace")
            buffer = self._root.Buffers(entry.Buffer())
            text = bytes(buffer.DataAsNumpy()) if 0 < buffer.DataLength() <= 64 else b""
            found[name] = text.rstrip(b"\0").decode(errors="replace")
        return found

    def _ports(self, length: int, get: Callable[[int], int], owned: list[Any]) -> tuple[TensorInfo, ...]:
        return tuple(self._describe(owned[number]) for number in self._each(length, get))

    def _describe(self, tensor: Any) -> TensorInfo:
        scale, zero_point = _quantization(tensor)
        shape = self._shape(tensor, signature=tensor.ShapeSignatureLength() > 0)
        name = (tensor.Name() or b"").decode(errors="replace")
        return TensorInfo(name=name, shape=shape, dtype=_dtype(tensor), scale=scale, zero_point=zero_point)

    def _shape(self, tensor: Any, *, signature: bool = False) -> tuple[int, ...]:
        if signature:
            return tuple(self._each(tensor.ShapeSignatureLength(), tensor.ShapeSignature))
        return tuple(self._each(tensor.ShapeLength(), tensor.Shape))

    def _is_open(self, tensor: Any) -> bool:
        return any(side < 0 for side in self._shape(tensor, signature=True))

    def _writes_float(self, operator: Any, owned: list[Any]) -> bool:
        written = self._each(operator.OutputsLength(), operator.Outputs)
        return any(_dtype(owned[number]) in _FLOATS for number in written if number >= 0)

    def _macs(self, uses: list[tuple[str, int, Any, list[Any]]]) -> int | None:
        total = 0
        for name, _, operator, owned in uses:
            if name in _PER_OUTPUT:
                weights = self._shape(owned[operator.Inputs(1)])
                output = self._shape(owned[operator.Outputs(0)])
                if not output:
                    return None
                total += math.prod(output) * math.prod(_PER_OUTPUT[name](weights))
        return total


_PER_OUTPUT: dict[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "CONV_2D": lambda weights: weights[1:],  # [out, height, width, in]
    "DEPTHWISE_CONV_2D": lambda weights: weights[1:3],  # [1, height, width, out]
    "FULLY_CONNECTED": lambda weights: weights[1:],  # [out, in]
}
"""The sides of a weight tensor that one output value multiplies with."""


def _operator_name(code: Any) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _OPERATORS.get(number, f"UNKNOWN_{number}")
    return str(code.CustomCode(), errors="replace") if name == "CUSTOM" else name


def _dtype(tensor: Any) -> str:
    return _DTYPES.get(tensor.Type(), f"unknown_{tensor.Type()}")


def _quantization(tensor: Any) -> tuple[float | None, int | None]:
    """The scale and zero point of a tensor quantized as a whole."""
    found = tensor.Quantization()
    if found is None or found.ScaleLength() != 1 or not np.isfinite(found.Scale(0)):
        return None, None
    return float(np.float32(found.Scale(0))), int(found.ZeroPoint(0)) if found.ZeroPointLength() else 0
