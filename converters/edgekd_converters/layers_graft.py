"""Files between a float one and its 8-bit twin: `graft` keeps layers in float, `inject` rounds one alone.

In a grafted file the layers that stay 8-bit are those of the 8-bit file, weights, scales and all; the chosen
ones are those of the float file, DEQUANTIZE in front of them and QUANTIZE behind them where a neighbour is
8-bit. Between two chosen layers nothing is rounded. The input stays as it is, raw bytes; a chosen layer that
reads the image reads it as it does in the float file, which may have its scaling in the weights of that
layer. The output is float32 when the last layer is chosen, otherwise the 8-bit one.
"""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd.errors import ModelError
from edgekd_converters.layers_graph import IMAGE, Graph, Node, front, match
from edgekd_converters.layers_pack import (
    add_activation,
    add_constant,
    add_operator_code,
    indices,
    pack,
    sweep,
)
from edgekd_converters.layers_values import constant, dtype

_QUANTIZE, _DEQUANTIZE = schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE
_VERSION = {_QUANTIZE: 1, _DEQUANTIZE: 2}  # the first that knows int8
_INT16_VERSION = 3  # of both
_FLOAT = "float32"


def graft(exact: Graph, quantized: Graph, kept: Collection[int]) -> bytes:
    """The file with the layers at the places `kept` in float; with none, the 8-bit file packed anew.

    Raises:
        ModelError: the two do not hold the same network, a layer to keep is not float32 in `exact`, or the
            two take images of different types.
    """
    match(exact, quantized)
    ours, theirs = (dtype(graph, _image(graph)) for graph in (exact, quantized))
    if ours != theirs:
        raise ModelError(f"{exact.path}: the input is {ours}, that of {quantized.path} {theirs}")
    return _Graft(exact, quantized, frozenset(kept)).bytes()


def inject(exact: Graph, quantized: Graph, place: int) -> bytes:
    """The float network with nothing but the rounding of the layer at `place` in it.

    That layer computes in float with the weights and offsets the 8-bit file stands for, and its output goes
    through the 8-bit file's values. What the answer loses is that layer's doing and nobody else's.

    Raises:
        ModelError: as `graft`.
    """
    match(exact, quantized)
    return _Graft(exact, quantized, frozenset(range(len(exact.nodes))), rounded=place).bytes()


def _image(graph: Graph) -> int:
    return int(graph.model.subgraphs[0].inputs[0])


class _Graft:
    def __init__(
        self, exact: Graph, quantized: Graph, kept: frozenset[int], rounded: int | None = None
    ) -> None:
        self._exact, self._quantized, self._kept, self._rounded = exact, quantized, kept, rounded
        self._model: Any = schema.ModelT.InitFromPackedBuf(pack(quantized.model), 0)
        self._graph = self._model.subgraphs[0]
        self._operators: list[Any] = []
        self._written: dict[int, int] = {}  # the place of a chosen layer → its output in float
        self._unrounded: dict[int, int] = {}  # an 8-bit tensor → the same values in float
        # A tensor at the front of the float file → its copy here.
        self._front = {_image(exact): _image(quantized)}

    def bytes(self) -> bytes:
        place_of = {node.number: place for place, node in enumerate(self._quantized.nodes)}
        for number, operator in enumerate(self._graph.operators):
            place = place_of.get(number)
            if place in self._kept:
                self._place_float(place)
            else:
                self._operators.append(operator)
        self._graph.operators = self._operators
        last = len(self._quantized.nodes) - 1
        if last in self._kept:
            self._graph.outputs = indices([self._written[last]])
        self._model.signatureDefs = None
        sweep(self._model)
        return pack(self._model)

    def _place_float(self, place: int) -> None:
        """The float layer, and its output rounded for whoever reads it so; `sweep` takes away the unread."""
        ours, theirs = self._exact.nodes[place], self._quantized.nodes[place]
        self._check_float(ours)
        rounded = place == self._rounded
        tensors = [
            self._activation(ours, theirs, position, rounded=rounded)
            if position in ours.active
            else self._constant(tensor, theirs.inputs[position] if rounded else None)
            for position, tensor in enumerate(ours.inputs)
        ]
        like, stored = self._exact.tensors[ours.output], theirs.output
        if dtype(self._quantized, stored) == _FLOAT:
            self._written[place] = stored
            self._copy(ours.number, tensors, stored)
            return
        self._written[place] = add_activation(self._model, like, self._name(stored))
        self._copy(ours.number, tensors, self._written[place])
        self._add(_QUANTIZE, self._written[place], stored)
        if rounded:
            self._written[place] = self._dequantized(stored)

    def _check_float(self, node: Node) -> None:
        found = dtype(self._exact, node.output)
        if found != _FLOAT:
            raise ModelError(
                f"{self._exact.path}: operator {node.number} ({node.kind}) writes {found}, expected float32; "
                "give the fp32 file of the network"
            )

    def _activation(self, ours: Node, theirs: Node, position: int, *, rounded: bool) -> int:
        """The float tensor a layer reads at `position`; one that is rounded reads the image as in 8 bits."""
        source = theirs.sources[theirs.active.index(position)]
        if source == IMAGE and not rounded:
            return self._image_in_float(ours.inputs[position])
        if source in self._kept:
            return self._written[source]
        return self._dequantized(theirs.inputs[position])

    def _dequantized(self, tensor: int) -> int:
        if dtype(self._quantized, tensor) == _FLOAT:
            return tensor
        if tensor not in self._unrounded:
            like = copy(self._graph.tensors[tensor])
            like.type, like.quantization = schema.TensorType.FLOAT32, None
            self._unrounded[tensor] = add_activation(self._model, like, self._name(tensor))
            self._add(_DEQUANTIZE, tensor, self._unrounded[tensor])
        return self._unrounded[tensor]

    def _image_in_float(self, tensor: int) -> int:
        """The copy of `tensor` of the float file, with the operators that make it of the image."""
        for number in front(self._exact, tensor):
            operator = self._exact.model.subgraphs[0].operators[number]
            made = int(operator.outputs[0])
            if made not in self._front:
                inputs = (int(t) for t in operator.inputs)
                tensors = [self._front[t] if t in self._front else self._constant(t) for t in inputs]
                self._front[made] = add_activation(self._model, self._exact.tensors[made], "image_float")
                self._copy(number, tensors, self._front[made])
        return self._front[tensor]

    def _constant(self, tensor: int, stands_for: int | None = None) -> int:
        """A constant tensor of the float file, or with the values that one of the 8-bit file stands for."""
        if tensor < 0:
            return tensor
        like = self._exact.tensors[tensor]
        if stands_for is None or dtype(self._exact, tensor) != _FLOAT:
            return add_constant(self._model, like, self._exact.model.buffers[like.buffer].data)
        values = constant(self._quantized, stands_for).astype(np.float32)
        return add_constant(self._model, like, np.frombuffer(values.tobytes(), np.uint8))

    def _copy(self, number: int, read: list[int], written: int) -> None:
        """Operator `number` of the float file, between tensors of this one."""
        operator = copy(self._exact.model.subgraphs[0].operators[number])
        code = self._exact.model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        operator.opcodeIndex = add_operator_code(self._model, kind, code.version)
        operator.inputs, operator.outputs = indices(read), indices([written])
        self._operators.append(operator)

    def _add(self, kind: int, read: int, written: int) -> None:
        operator = schema.OperatorT()
        eight_bit = written if kind == _QUANTIZE else read
        version = _INT16_VERSION if dtype(self._quantized, eight_bit) == "int16" else _VERSION[kind]
        operator.opcodeIndex = add_operator_code(self._model, kind, version)
        operator.inputs, operator.outputs = indices([read]), indices([written])
        self._operators.append(operator)

    def _name(self, tensor: int) -> str:
        return (self._quantized.tensors[tensor].name or b"").decode(errors="replace") + "_float"
