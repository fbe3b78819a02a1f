"""`read_specification`: what a Core ML model file says, as dataclasses.

Field numbers: coremltools' mlmodel/format/Model.proto, FeatureTypes.proto and MIL.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from edgekd.errors import ModelError
from edgekd.runtimes.mil.wire import Budget, Message

OPEN = -1
"""A side of a shape that is left to the caller."""

_MAX_NESTING = 8
_MAX_RANK = 16
_ML_PROGRAM = 502
_KINDS = {_ML_PROGRAM: "mlProgram", 500: "neuralNetwork", 403: "neuralNetworkClassifier", 202: "pipeline"}
_COLOURS = {10: "GRAYSCALE", 20: "RGB", 30: "BGR", 40: "GRAYSCALE_FLOAT16"}
_ARRAYS = {65568: "float32", 65600: "float64", 131104: "int32", 131080: "int8", 65552: "float16"}


class Dtype(Enum):
    """The element types of a program: (number in MIL.proto, bits per element)."""

    BOOL = (1, 8)
    STRING = (2, 0)
    FLOAT16 = (10, 16)
    FLOAT32 = (11, 32)
    FLOAT64 = (12, 64)
    BFLOAT16 = (13, 16)
    INT8 = (21, 8)
    INT16 = (22, 16)
    INT32 = (23, 32)
    INT64 = (24, 64)
    INT4 = (25, 4)
    UINT8 = (31, 8)
    UINT16 = (32, 16)
    UINT32 = (33, 32)
    UINT64 = (34, 64)
    UINT4 = (35, 4)
    UINT2 = (36, 2)
    UINT1 = (37, 1)
    UINT6 = (38, 6)
    UINT3 = (39, 3)
    FLOAT8E4M3FN = (40, 8)
    FLOAT8E5M2 = (41, 8)
    UNKNOWN = (0, 0)

    @property
    def label(self) -> str:
        """The type's name as records write it: "float16"."""
        return self.name.lower()

    @property
    def bits(self) -> int:
        """The bits of one element; 0 where elements have no fixed size."""
        return self.value[1]


_DTYPES = {dtype.value[0]: dtype for dtype in Dtype}


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape; `OPEN` in `shape` is a side left to the caller."""

    dtype: Dtype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A constant: inside the model file (`immediate`), or at `offset` of the weight file `file`."""

    type: TensorType
    immediate: Message | None
    file: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """One step: what it computes, from which values (names or constants), into which names.

    `attributes` are constants, the same to an evaluator as constant inputs.
    """

    type: str
    inputs: dict[str, tuple[str | Value, ...]]
    outputs: tuple[tuple[str, TensorType], ...]
    attributes: dict[str, Value]
    blocks: int


@dataclass(frozen=True, slots=True)
class Program:
    """The main function of an ML Program, in the order of its steps."""

    opset: str
    inputs: tuple[tuple[str, TensorType], ...]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """An input or output as an application sees it.

    `kind` is "image", "array", "dictionary" or "other"; `dtype` the colour order of an image ("RGB") and the
    element type of an array.
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """A Core ML model file; `program` is null for the kinds before ML Programs.

    `standard` holds the metadata Core ML has names for, `user_defined` all other entries.
    """

    version: int
    kind: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    predicted_feature: str
    standard: dict[str, str]
    user_defined: dict[str, str]
    program: Program | None


def read_specification(data: bytes) -> Specification:
    """The specification in the bytes of a .mlmodel file.

    Raises:
        ModelError: these are not the bytes of a model, or they are damaged.
    """
    model = Message(data, Budget())
    description = model.message(2)
    metadata = description.message(100)
    if 2 not in model:
        raise ModelError("not a Core ML model: it describes no input and output")
    return Specification(
        version=model.integer(1),
        kind=_kind(model),
        inputs=tuple(_feature(feature) for feature in description.messages(1)),
        outputs=tuple(_feature(feature) for feature in description.messages(10)),
        predicted_feature=description.text(11),
        standard={name: metadata.text(number) for name, number in STANDARD.items() if number in metadata},
        user_defined={entry.text(1): entry.text(2) for entry in metadata.messages(100)},
        program=_program(model.message(_ML_PROGRAM)) if _ML_PROGRAM in model else None,
    )


STANDARD = {"short_description": 1, "version": 2, "author": 3, "license": 4}
"""The fields of message Metadata."""


def nested_operations(data: bytes) -> Iterator[str]:
    """The type of every operation of the program in `data`, those inside of loops and branches too.

    Raises:
        ModelError: the bytes are damaged, or nested deeper than any model.
    """
    program = Message(data, Budget()).message(_ML_PROGRAM)
    for function in program.mapping(2).values():
        for block in function.mapping(3).values():
            yield from _types(block, 0)


def _types(block: Message, depth: int) -> Iterator[str]:
    if depth > _MAX_NESTING:
        raise ModelError(f"damaged model file: operations nested deeper than {_MAX_NESTING}")
    for operation in block.messages(3):
        yield operation.text(1)
        for inner in operation.messages(4):
            yield from _types(inner, depth + 1)


def _kind(model: Message) -> str:
    numbers = [number for number in model.numbers() if number >= 200]
    return _KINDS.get(numbers[0], f"kind {numbers[0]}") if numbers else "empty"


def _feature(feature: Message) -> Feature:
    kinds = feature.message(3)
    kind, dtype = "other", ""
    shape: tuple[int, ...] = ()
    if 4 in kinds:
        image = kinds.message(4)
        kind, dtype = "image", _COLOURS.get(image.integer(3), "unknown")
        shape = (image.integer(2), image.integer(1), 3 if dtype in ("RGB", "BGR") else 1)
    elif 5 in kinds:
        array = kinds.message(5)
        kind, dtype = "array", _ARRAYS.get(array.integer(2), "unknown")
        shape = tuple(array.integers(1))
    elif 6 in kinds:
        kind = "dictionary"
    return Feature(name=feature.text(1), kind=kind, dtype=dtype, shape=shape, description=feature.text(2))


def _program(program: Message) -> Program:
    functions = program.mapping(2)
    if "main" not in functions:
        raise ModelError(f"expected a function 'main' in the program, got {sorted(functions)!r:.200}")
    main = functions["main"]
    opset = main.text(2)
    blocks = main.mapping(3)
    if opset not in blocks:
        raise ModelError(f"damaged program: no operations for its own operator set {opset!r:.100}")
    block = blocks[opset]
    return Program(
        opset=opset,
        inputs=tuple(_named_type(entry) for entry in main.messages(1)),
        outputs=block.texts(2),
        operations=tuple(_operation(operation) for operation in block.messages(3)),
    )


def _operation(operation: Message) -> Operation:
    return Operation(
        type=operation.text(1),
        inputs={
            name: tuple(_binding(binding) for binding in argument.messages(1))
            for name, argument in operation.mapping(2).items()
        },
        outputs=tuple(_named_type(entry) for entry in operation.messages(3)),
        attributes={name: _value(value) for name, value in operation.mapping(5).items() if name != "name"},
        blocks=len(operation.blobs(4)),
    )


def _binding(binding: Message) -> str | Value:
    return binding.text(1) if 1 in binding else _value(binding.message(2))


def _named_type(entry: Message) -> tuple[str, TensorType]:
    return entry.text(1), _tensor_type(entry.message(2))


def _tensor_type(message: Message) -> TensorType:
    tensor = message.message(1)
    sides = tensor.messages(3)
    if len(sides) > _MAX_RANK:
        raise ModelError(f"damaged program: a tensor of {len(sides)} dimensions")
    dtype = _DTYPES.get(tensor.integer(1), Dtype.UNKNOWN)
    return TensorType(dtype, tuple(_side(dimension) for dimension in sides))


def _side(dimension: Message) -> int:
    if 1 not in dimension:
        return OPEN
    size = dimension.message(1).integer(1)
    if size < 0:
        raise ModelError("damaged program: a tensor with a side above 2^63")
    return size


def _value(value: Message) -> Value:
    type_ = _tensor_type(value.message(2))
    if 5 in value:
        blob = value.message(5)
        return Value(type_, None, blob.text(1), blob.integer(2))
    return Value(type_, value.message(3))
