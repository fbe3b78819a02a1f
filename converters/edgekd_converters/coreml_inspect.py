"""`inspect_coreml`: what an .mlpackage holds, without trusting it and without running it."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgekd.card import METADATA_NAME, ModelCard
from edgekd.config import Precision
from edgekd.errors import EdgekdError
from edgekd.runtimes.mil.evaluate import unknown_operations
from edgekd.runtimes.mil.package import Package, naming, open_package
from edgekd.runtimes.mil.spec import (
    OPEN,
    Dtype,
    Feature,
    Operation,
    Program,
    Specification,
    Value,
    nested_operations,
    read_specification,
)
from edgekd.runtimes.mil.values import Values

SCHEMA = "edgekd.inspect-coreml/1"

_PALETTE = "constexpr_lut_to_dense"
_SETTINGS = {Dtype.BOOL, Dtype.STRING, Dtype.INT32, Dtype.UINT32}
_PER_OUTPUT = {
    "conv": ("weight", slice(1, None)),
    "linear": ("weight", slice(1, None)),
    "matmul": ("x", slice(-1, None)),
}
"""The operand, and those of its sides, that one output value multiplies with."""

_STORED_AS = {
    Precision.COREML_FP32: "float32",
    Precision.COREML_FP16: "float16",
    Precision.COREML_INT8: "int8",
    Precision.COREML_PAL4: "4-bit palette",
}
_ROUNDING = ("round", "quantize")


@dataclass(frozen=True, kw_only=True)
class OperationCount:
    """One kind of operation and how often it is used, inside of loops and branches too."""

    name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class FeatureInfo:
    """An input or output: "image" in a colour order, "array" of an element type; −1 is a size left open."""

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CoremlInspection:
    """What an .mlpackage holds (schema edgekd.inspect-coreml/1).

    `sha256` is over the digests of its files (see `Package.sha256`). `weight_bytes` and `weight_values` tell
    how the constants of more than one value are stored, by kind: "float32", "float16", "int8", "4-bit
    palette" …; `unknown_operations` are those `CoremlRuntime` cannot evaluate off macOS. `macs` are the
    multiplications of convolutions and dense layers for one image, null where shapes are left open.
    `warnings` say where the package is not what its name or its card says.
    """

    schema: str = SCHEMA
    sha256: str
    size_bytes: int
    files: int
    kind: str
    specification_version: int
    opset: str
    operations: tuple[OperationCount, ...]
    unknown_operations: tuple[str, ...]
    weight_bytes: dict[str, int]
    weight_values: dict[str, int]
    inputs: tuple[FeatureInfo, ...]
    outputs: tuple[FeatureInfo, ...]
    macs: int | None
    metadata: tuple[str, ...]
    has_card: bool
    warnings: tuple[str, ...]


def inspect_coreml(path: Path) -> CoremlInspection:
    """What the .mlpackage folder `path` holds; it may come from anywhere.

    Files are read with bounds checked and a budget of bytes, fields and nesting; nothing is computed.

    Raises:
        ModelError: it is missing, larger than 1 GiB, no such folder, or damaged; in one line.
    """
    package = open_package(path)
    with naming(path):
        data = package.read_model()
        specification = read_specification(data)
        counts = Counter(nested_operations(data))
        weights = _Weights(package, specification.program)
    program = specification.program
    return CoremlInspection(
        sha256=package.sha256(),
        size_bytes=package.size_bytes,
        files=len(package.sizes),
        kind=specification.kind,
        specification_version=specification.version,
        opset=program.opset if program else "",
        operations=tuple(OperationCount(name=name, count=count) for name, count in sorted(counts.items())),
        unknown_operations=unknown_operations(program) if program else (),
        weight_bytes=dict(sorted(weights.bytes.items())),
        weight_values=dict(sorted(weights.values.items())),
        inputs=_features(specification.inputs),
        outputs=_features(specification.outputs),
        macs=_macs(program) if program else None,
        metadata=(*specification.standard, *sorted(specification.user_defined)),
        has_card=METADATA_NAME in specification.user_defined,
        warnings=tuple(_warnings(path, specification, counts, weights.values)),
    )


class _Weights:
    """How many bytes and values are stored in which way; a place in a weight file counts once."""

    def __init__(self, package: Package, program: Program | None) -> None:
        self.bytes: Counter[str] = Counter()
        self.values: Counter[str] = Counter()
        self._reader = Values(package)
        self._seen: set[tuple[str, int]] = set()
        for operation in program.operations if program else ():
            for name, value in _constants(operation):
                self._count(operation, name, value)

    def _count(self, operation: Operation, name: str, value: Value) -> None:
        count = math.prod(value.type.shape)
        if value.immediate is None:
            if (value.file, value.offset) in self._seen:
                return
            self._seen.add((value.file, value.offset))
            self._reader.check(value)
        elif count < 2 or value.type.dtype in _SETTINGS:
            return
        kind, dense = _storage(operation, name, value)
        self.bytes[kind] += (count * value.type.dtype.bits + 7) // 8
        self.values[kind] += count if dense is None else dense


def _constants(operation: Operation) -> Iterator[tuple[str, Value]]:
    yield from operation.attributes.items()
    for name, bindings in operation.inputs.items():
        yield from ((name, binding) for binding in bindings if isinstance(binding, Value))


def _storage(operation: Operation, name: str, value: Value) -> tuple[str, int | None]:
    """The kind of storage, and how many values an array of packed palette indices stands for."""
    if operation.type == _PALETTE and name == "indices":
        palette = operation.attributes.get("lut")
        if palette is not None and operation.outputs and "shape" in operation.attributes:
            entries = max(2, math.prod(palette.type.shape))
            return f"{entries.bit_length() - 1}-bit palette", math.prod(operation.outputs[0][1].shape)
        return f"{value.type.dtype.bits}-bit palette", None
    return value.type.dtype.label, None


def _features(features: tuple[Feature, ...]) -> tuple[FeatureInfo, ...]:
    return tuple(
        FeatureInfo(name=feature.name, kind=feature.kind, dtype=feature.dtype, shape=feature.shape)
        for feature in features
    )


def _macs(program: Program) -> int | None:
    shapes = {name: type_.shape for operation in program.operations for name, type_ in operation.outputs}
    shapes |= {name: type_.shape for name, type_ in program.inputs}
    total = 0
    for operation in program.operations:
        if operation.type not in _PER_OUTPUT or not operation.outputs:
            continue
        factor, sides = _PER_OUTPUT[operation.type]
        bindings = operation.inputs.get(factor, ("",))
        weights = shapes.get(bindings[0], ()) if isinstance(bindings[0], str) else bindings[0].type.shape
        output = operation.outputs[0][1].shape
        if OPEN in (*weights, *output):
            return None
        total += math.prod(output) * math.prod(weights[sides])
    return total


def _warnings(
    path: Path, specification: Specification, counts: Counter[str], values: Counter[str]
) -> Iterator[str]:
    claimed = _claimed(path, specification)
    kind = max(sorted(values), key=lambda name: values[name], default="nothing")
    if claimed is not None and kind != _STORED_AS[claimed]:
        yield f"called {claimed}, but most of its weights are stored as {kind}, not {_STORED_AS[claimed]}"
    rounding = sum(counts[name] for name in _ROUNDING)
    if rounding and kind.startswith("float"):
        yield (
            f"{rounding} operations round values while the weights are {kind}: a quantization-aware model "
            "that was converted as a float model"
        )
    if METADATA_NAME in specification.user_defined:
        try:
            ModelCard.from_json(specification.user_defined[METADATA_NAME])
        except (EdgekdError, RecursionError) as error:
            yield f"the card inside is not readable: {error!s:.200}"


def _claimed(path: Path, specification: Specification) -> Precision | None:
    """What the card, else the name of the package or of its folder, says it is."""
    try:
        names = [ModelCard.from_json(specification.user_defined[METADATA_NAME]).precision]
    except (KeyError, EdgekdError, RecursionError):
        names = [path.stem.lower(), path.resolve().parent.name]
    for precision, name in itertools.product(_STORED_AS, names):
        if name == precision or precision.removeprefix("coreml-") in name.split("-"):
            return precision
    return None
