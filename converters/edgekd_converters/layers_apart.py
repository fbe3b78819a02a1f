"""`apart`: a network taken to pieces in one file, every layer fed by hand.

So each float operator can be run on the inputs its 8-bit twin really had, and answers for its own error only.
"""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from edgekd_converters.layers_graph import Graph
from edgekd_converters.layers_pack import add_activation, indices, pack, sweep


def apart(graph: Graph) -> bytes:
    """The file of `graph` with each activation input of each node as an input of the whole file.

    Inputs are in the order of the nodes and of their `active` positions; outputs are the nodes' outputs.
    """
    model = schema.ModelT.InitFromPackedBuf(pack(graph.model), 0)
    only = model.subgraphs[0]
    fed = []
    for place, node in enumerate(graph.nodes):
        operator = only.operators[node.number]
        tensors = list(node.inputs)
        for position in node.active:
            like = only.tensors[tensors[position]]
            tensors[position] = add_activation(model, like, f"in_{place}_{position}")
            fed.append(tensors[position])
        operator.inputs = indices(tensors)
    only.inputs, only.outputs = indices(fed), indices(node.output for node in graph.nodes)
    model.signatureDefs = None
    sweep(model)
    return pack(model)
