"""The computing operators of a .tflite file as a graph, and the proof that two files hold the same one.

What only changes the format (QUANTIZE, DEQUANTIZE, CAST) and the scaling of the pixels at the front are no
layers: they differ between a float file and its 8-bit twin, and are looked through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekd.errors import ModelError
from edgekd_converters.metadata import strip_card
from edgekd_converters.metadata_front import DAMAGED, open_model, read_model
from edgekd_converters.standard_metadata import strip_standard_metadata

IMAGE = -1
"""The place of the input image among the sources of a node."""

OPERATORS: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"
}
_FORMAT = {"QUANTIZE", "DEQUANTIZE", "CAST"}
_SCALING = {"MUL", "ADD", "SUB", "DIV"}
_LEAF = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "MatMul"}
_QAT_PREFIX, _CORE = "quant_", "core"


@dataclass(frozen=True)
class Node:
    """One computing operator of a file.

    `number` is its place among the file's operators; `inputs` its tensors, −1 where an optional one is left
    out; `active` the positions in `inputs` that hold activations, the others are constants; `sources`, one
    for each of those, the places of the nodes that made them, `IMAGE` for the image; `output` the tensor it
    writes.
    """

    number: int
    kind: str
    inputs: tuple[int, ...]
    active: tuple[int, ...]
    sources: tuple[int, ...]
    output: int

    @property
    def constants(self) -> tuple[int, ...]:
        """The tensors of its weights, offsets and parameters."""
        return tuple(t for n, t in enumerate(self.inputs) if n not in self.active and t >= 0)


@dataclass(frozen=True)
class Graph:
    """A file opened for changes (`model` is the object form of the schema) and its nodes in running order."""

    path: Path
    model: Any
    nodes: tuple[Node, ...]

    @property
    def tensors(self) -> list[Any]:
        """The tensors of the only subgraph."""
        return list(self.model.subgraphs[0].tensors)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The sides of a tensor; none for a scalar."""
        sides = self.tensors[tensor].shape
        return () if sides is None else tuple(int(side) for side in sides)

    def data(self, tensor: int) -> bytes:
        """The stored bytes of a constant tensor; empty for an activation."""
        stored = self.model.buffers[self.tensors[tensor].buffer].data
        return b"" if stored is None else bytes(stored)


def read_graph(path: Path) -> Graph:
    """The graph of the file `path`, which must have been found sound by `inspect_tflite` before.

    The card and the standard metadata in it are left out: they describe that file, and no other made of it.

    Raises:
        ModelError: it cannot be read, or is not one straight network from one image to one output.
    """
    data = read_model(path)
    try:
        data = strip_standard_metadata(strip_card(data))
        open_model(data)
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        return Graph(path, model, _nodes(model))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except DAMAGED as error:
        raise ModelError(f"{path}: damaged .tflite file, its tables contradict each other") from error


def operator_kind(model: Any, operator: Any) -> str:
    """The builtin name of an operator, CUSTOM for a custom one."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return OPERATORS.get(number, f"UNKNOWN_{number}")


def _nodes(model: Any) -> tuple[Node, ...]:
    graphs = model.subgraphs or []
    if len(graphs) != 1 or len(graphs[0].inputs) != 1 or len(graphs[0].outputs) != 1:
        raise ModelError("expected one subgraph with one input and one output")
    graph = graphs[0]
    origin = {int(graph.inputs[0]): IMAGE}
    nodes: list[Node] = []
    for number, operator in enumerate(graph.operators or []):
        kind, written = operator_kind(model, operator), [int(t) for t in operator.outputs]
        inputs = tuple(int(t) for t in operator.inputs)
        active = tuple(n for n, tensor in enumerate(inputs) if tensor in origin)
        if not active:
            raise ModelError(f"operator {number} ({kind}) reads no activation: export it as fp32 or int8")
        if len(written) != 1:
            raise ModelError(f"operator {number} ({kind}) writes {len(written)} tensors, expected one")
        sources = tuple(origin[inputs[n]] for n in active)
        scaling = kind in _SCALING and sources == (IMAGE,)
        if kind in _FORMAT or scaling:
            origin[written[0]] = sources[0]
            continue
        origin[written[0]] = len(nodes)
        nodes.append(Node(number, kind, inputs, active, sources, written[0]))
    if not nodes or origin.get(int(graph.outputs[0])) != len(nodes) - 1:
        raise ModelError("its output is not that of its last operator")
    return tuple(nodes)


def front(graph: Graph, tensor: int) -> tuple[int, ...]:
    """The operators, in running order, that make `tensor`, which a first layer reads, out of the image."""
    wanted, found = {tensor}, []
    for number, operator in reversed(list(enumerate(graph.model.subgraphs[0].operators))):
        if wanted & {int(t) for t in operator.outputs}:
            wanted |= {int(t) for t in operator.inputs}
            found.append(number)
    return tuple(reversed(found))


def match(ours: Graph, theirs: Graph) -> None:
    """Nothing, when node n of `theirs` is the same layer as node n of `ours`, for every n.

    The same number of operators, of the same kinds in the same order, reading one another in the same way,
    with outputs and constants of the same shapes.

    Raises:
        ModelError: they differ; the first difference is named.
    """
    for place, (a, b) in enumerate(zip(ours.nodes, theirs.nodes, strict=False)):
        facts = _facts(ours, a), _facts(theirs, b)
        for what in facts[0]:
            if facts[0][what] != facts[1][what]:
                raise ModelError(
                    f"{theirs.path}: operator {b.number} ({b.kind}) is not operator {a.number} ({a.kind}) of "
                    f"{ours.path}, layer {place + 1}: {what} {facts[1][what]} for {facts[0][what]}; "
                    "both must be made from the same network"
                )
    if len(ours.nodes) != len(theirs.nodes):
        raise ModelError(
            f"{theirs.path}: {len(theirs.nodes)} layers, {ours.path} has {len(ours.nodes)}; "
            "both must be made from the same network"
        )


def _facts(graph: Graph, node: Node) -> dict[str, object]:
    return {
        "operator": node.kind,
        "sources": node.sources,
        "positions": node.active,
        "output": graph.shape(node.output),
        "constants": tuple(graph.shape(tensor) for tensor in node.constants),
    }


def layer_names(*graphs: Graph) -> tuple[str, ...]:
    """What the Keras layers of the nodes are called, by the tensor names of matched `graphs`; all different.

    A converter's tensor name lists what it fused, "core/relu/Relu;core/conv/Conv2D". A name that appears
    again gets its count: "dense", "dense:2".
    """
    seen: Counter[str] = Counter()
    names = []
    for place in range(len(graphs[0].nodes)):
        name = _layer_name(graphs, place)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}:{seen[name]}")
    return tuple(names)


def _layer_of(path: Sequence[str]) -> str:
    """The layer in the path of an operation: the child of the student's core, elsewhere the last folder."""
    inside = path.index(_CORE) + 1 if _CORE in path else len(path)
    return path[inside] if inside < len(path) - 1 else path[-2]


def _layer_name(graphs: Iterable[Graph], place: int) -> str:
    plain = ""
    for graph in graphs:
        node = graph.nodes[place]
        for tensor in (node.output, *node.constants):
            text = (graph.tensors[tensor].name or b"").decode(errors="replace")
            parts = [part.split("/") for part in text.split(";") if "/" in part]
            made = [part for part in parts if part[-1].startswith(_LEAF.get(node.kind, ""))]
            if made:
                return _layer_of(made[-1]).removeprefix(_QAT_PREFIX)
            plain = plain or text
    return plain or f"layer{place}"
