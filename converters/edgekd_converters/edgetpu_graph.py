"""The operators of any .tflite file as plain values, read with bounds checked and a budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgekd.errors import ModelError
from edgekd_converters.metadata_front import DAMAGED, open_model, read_model

CUSTOM_OP = "edgetpu-custom-op"
"""The operator the Edge TPU's compiler puts in place of all that it mapped."""

_OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}
_DTYPES = {code: name.lower() for name, code in vars(schema.TensorType).items() if name[0] != "_"}
_MAX_ITEMS = 2_000_000

_POOL = (schema.Pool2DOptions, ("FusedActivationFunction",))
_CONV = ("DilationWFactor", "DilationHFactor")
_OPTIONS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "CONCATENATION": (schema.ConcatenationOptions, ("FusedActivationFunction",)),
    "CONV_2D": (schema.Conv2DOptions, _CONV),
    "DEPTHWISE_CONV_2D": (schema.DepthwiseConv2DOptions, _CONV),
    "FULLY_CONNECTED": (schema.FullyConnectedOptions, ("WeightsFormat",)),
    "PACK": (schema.PackOptions, ("Axis",)),
}
"""The options that rules ask for, by operator."""

_LEAVES: Mapping[str, str] = {
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "MatMul",
    "MEAN": "Mean",
}
"""What TensorFlow calls the operation in the name of a tensor."""

_WRAPPERS = re.compile(
    r"^(StatefulPartitionedCall|PartitionedCall|core|pixels_to_logits|(model|functional)(_\d+)?)$"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tensor:
    """A tensor of a file.

    `open_sides` are the places in `shape` that the file leaves to the runtime; the shape has 1 there. `data`
    are the bytes of a constant, None for an activation. `quantized`: it has a scale; `zero_point` is the
    first.
    """

    number: int
    name: str
    shape: tuple[int, ...]
    open_sides: tuple[int, ...]
    dtype: str
    data: NDArray[np.uint8] | None
    quantized: bool
    zero_point: int

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides greater than 1."""
        return tuple(side for side in self.shape if side != 1)

    def integers(self) -> tuple[int, ...] | None:
        """The values of a constant int32 tensor; None for any other."""
        if self.data is None or self.dtype != "int32" or self.data.size % 4:
            return None
        return tuple(int(value) for value in self.data.view("<i4"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """An operator of a file; `inputs` holds None where an optional one is left out."""

    number: int
    operator: str
    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, int]
    custom_options: NDArray[np.uint8] | None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All its tensors."""
        return (*(tensor for tensor in self.inputs if tensor is not None), *self.outputs)

    @property
    def activations(self) -> tuple[Tensor, ...]:
        """The tensors it reads and writes that are no constants."""
        return tuple(tensor for tensor in self.tensors if tensor.data is None)

    @property
    def layer(self) -> str | None:
        """The Keras layer it was made from, as the names of its tensors tell; None where they do not.

        A fused operator carries the names of all its layers; the one that computes is given.
        """
        names = [part for tensor in (*self.outputs, *self.tensors) for part in tensor.name.split(";")]
        leaf = _LEAVES.get(self.operator)
        exact = [name for name in names if leaf and re.fullmatch(rf".*/{leaf}\d*", name)]
        return next((layer for name in (*exact, *names) if (layer := _layer(name)) is not None), None)


@dataclass(frozen=True, kw_only=True)
class Network:
    """The operators of the first subgraph in running order; `inputs` and `outputs` are tensor numbers."""

    size_bytes: int
    subgraphs: int
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_network(path: Path) -> Network:
    """The operators of the .tflite file `path`, which may come from anywhere.

    Raises:
        ModelError: it is missing, not a .tflite file, or damaged.
    """
    data = read_model(path)
    try:
        return _Reader(data).network()
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except DAMAGED as error:
        raise ModelError(f"{path}: damaged .tflite file, its tables point outside of it") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._root, self._size, self._left = open_model(data), len(data), _MAX_ITEMS

    def network(self) -> Network:
        if not self._root.SubgraphsLength():
            raise ModelError("damaged .tflite file: no subgraph in it")
        graph = self._root.Subgraphs(0)
        found = self._each(graph.TensorsLength(), graph.Tensors)
        tensors = [self._tensor(number, tensor) for number, tensor in enumerate(found)]
        operators = self._each(graph.OperatorsLength(), graph.Operators)
        return Network(
            size_bytes=self._size,
            subgraphs=self._root.SubgraphsLength(),
            nodes=tuple(self._node(number, item, tensors) for number, item in enumerate(operators)),
            inputs=tuple(self._each(graph.InputsLength(), graph.Inputs)),
            outputs=tuple(self._each(graph.OutputsLength(), graph.Outputs)),
        )

    def _each(self, length: int, get: Callable[[int], Any]) -> Iterator[Any]:
        self._left -= length
        if self._left < 0:
            raise ModelError(f"damaged .tflite file: more than {_MAX_ITEMS} items in its tables")
        return map(get, range(length))

    def _tensor(self, number: int, tensor: Any) -> Tensor:
        buffer = self._root.Buffers(tensor.Buffer())
        known = tensor.Quantization()
        signature = self._each(tensor.ShapeSignatureLength(), tensor.ShapeSignature)
        return Tensor(
            number=number,
            name=(tensor.Name() or b"").decode(errors="replace"),
            shape=tuple(int(side) for side in self._each(tensor.ShapeLength(), tensor.Shape)),
            open_sides=tuple(place for place, side in enumerate(signature) if side < 0),
            dtype=_DTYPES.get(tensor.Type(), f"unknown_{tensor.Type()}"),
            data=buffer.DataAsNumpy() if buffer.DataLength() else None,
            quantized=known is not None and known.ScaleLength() > 0,
            zero_point=int(known.ZeroPoint(0)) if known is not None and known.ZeroPointLength() else 0,
        )

    def _node(self, number: int, operator: Any, tensors: list[Tensor]) -> Node:
        code = self._root.OperatorCodes(operator.OpcodeIndex())
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _OPERATORS.get(builtin, f"UNKNOWN_{builtin}")
        read = self._each(operator.InputsLength(), operator.Inputs)
        written = self._each(operator.OutputsLength(), operator.Outputs)
        custom = operator.CustomOptionsAsNumpy() if operator.CustomOptionsLength() else None
        return Node(
            number=number,
            operator=str(code.CustomCode() or b"", errors="replace") if name == "CUSTOM" else name,
            version=code.Version(),
            inputs=tuple(tensors[place] if place >= 0 else None for place in read),
            outputs=tuple(tensors[place] for place in written if place >= 0),
            options=_options(name, operator),
            custom_options=custom,
        )


def _options(name: str, operator: Any) -> dict[str, int]:
    if name not in _OPTIONS or operator.BuiltinOptions() is None:
        return {}
    kind, fields = _OPTIONS[name]
    table = operator.BuiltinOptions()
    options = kind()
    options.Init(table.Bytes, table.Pos)
    return {field: int(getattr(options, field)()) for field in fields}


def _layer(name: str) -> str | None:
    """The layer in "core/quant_Conv1/Conv2D", Conv1; wrappers and the prefix of training are left out."""
    parts = [part for part in name.split("/")[:-1] if part and not _WRAPPERS.match(part)]
    if not parts:
        return None
    return "/".join(part.removeprefix("quant_") for part in parts)
