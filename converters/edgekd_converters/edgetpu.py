"""Whether a network will run on an Edge TPU: by rule, before there is a compiler, and by its compiler.

`check_edgetpu` reads an 8-bit .tflite file, `check_architecture` a Keras model that was never trained. The
rules are the documented ones (`edgetpu_rules`); a compiler that is there has the last word
(`edgetpu_compiler`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.config import Precision
from edgekd.errors import ModelError
from edgekd.plain import file_digest
from edgekd.runtimes.keras import image_sides
from edgekd_converters.edgetpu_graph import CUSTOM_OP, Network, Node, read_network
from edgekd_converters.edgetpu_rules import CACHE_BYTES, MAPPED, SUBGRAPHS, Breach, breaches, float_ends

SCHEMA = "edgekd.edgetpu_check/1"
_NOISE_IMAGES = 8
_ENDS = "Conversion of a float input or output, left to the CPU"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One operator that keeps a network off the Edge TPU, or may.

    `number` is its place in the file; `status` what the compiler would say; `limit` the rule; `tensor` the
    one at fault; `layer` the Keras layer it was made from. The latter two are null where that is unknown.
    `certain` is false where the documentation gives no exact limit.
    """

    number: int
    operator: str
    status: str
    limit: str
    tensor: str | None
    layer: str | None
    certain: bool


@dataclass(frozen=True, kw_only=True)
class EdgeTpuCheck:
    """What an Edge TPU would run of a network, by rule (schema edgekd.edgetpu_check/1).

    The compiler takes one piece: from operator number `cut_at` on (null: all of it is taken) everything runs
    on the CPU. `statuses` counts operators by what the compiler would say. `parameter_bytes` are the
    constants of the mapped operators; what exceeds `cache_bytes` is streamed at every run, which is slow.
    `passed`: no certain finding. Values of weights are not judged.
    """

    schema: str = SCHEMA
    sha256: str
    operators: int
    mapped: int
    on_cpu: int
    cut_at: int | None
    parameter_bytes: int
    cache_bytes: int = CACHE_BYTES
    statuses: Mapping[str, int]
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]
    passed: bool

    @property
    def fails(self) -> str | None:
        """Why not all of it is mapped, in a line: the first operator, its layer, the limit; None: it is."""
        if self.passed:
            return None
        first = next((finding for finding in self.findings if finding.certain), None)
        why = "; ".join(self.warnings) or "there is nothing to map"
        if first is not None:
            layer = f" of layer {first.layer}" if first.layer else ""
            why = f"{first.operator}{layer}: {first.limit}"
        return f"an Edge TPU would run {self.mapped} of {self.operators} operators; {why}"


def check_edgetpu(path: Path) -> EdgeTpuCheck:
    """What an Edge TPU would run of the .tflite file `path`, which may come from anywhere.

    Raises:
        ModelError: the file is missing, not a .tflite file, or damaged.
    """
    network = read_network(path)
    if _is_compiled(network):
        raise ModelError(f"{path}: compiled for the Edge TPU already; `inspect_compiled` says what it holds")
    return _judge(network, file_digest(path))


def is_compiled(path: Path) -> bool:
    """Whether the .tflite file `path` went through the Edge TPU's compiler.

    Raises:
        ModelError: the file is missing, not a .tflite file, or damaged.
    """
    return _is_compiled(read_network(path))


def _is_compiled(network: Network) -> bool:
    return any(node.operator == CUSTOM_OP for node in network.nodes)


def check_architecture(model: Any) -> EdgeTpuCheck:
    """What an Edge TPU would run of a Keras `model` built by edgekd, trained or not.

    It is quantized with ranges from noise and thrown away: sizes and operators are checked, not values. A
    finding names its layer as `model` does.

    Raises:
        ModelError: the model cannot be converted.
    """
    from edgekd_converters.tflite import convert

    px, _ = image_sides(model)
    noise = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (_NOISE_IMAGES, px, px, 3), np.uint8)
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(convert(model, Precision.INT8_PTQ, noise))
        return check_edgetpu(path)


def _judge(network: Network, sha256: str) -> EdgeTpuCheck:
    ends = float_ends(network)
    found = {node.number: [] if node.number in ends else breaches(node) for node in network.nodes}
    cut_at = next((n for n, limits in found.items() if any(limit.certain for limit in limits)), None)
    if network.subgraphs > 1:
        cut_at = 0
    statuses = [_status(node, found[node.number], cut_at, ends) for node in network.nodes]
    mapped = [node for node, status in zip(network.nodes, statuses, strict=True) if status == MAPPED]
    parameters = _parameter_bytes(mapped)
    findings = [_finding(node, limit) for node in network.nodes for limit in found[node.number]]
    return EdgeTpuCheck(
        sha256=sha256,
        operators=len(network.nodes),
        mapped=len(mapped),
        on_cpu=len(network.nodes) - len(mapped),
        cut_at=cut_at,
        parameter_bytes=parameters,
        statuses={status: statuses.count(status) for status in sorted(set(statuses))},
        findings=tuple(findings),
        warnings=tuple(_warnings(network, parameters, ends)),
        passed=cut_at is None and bool(mapped),
    )


def _status(node: Node, limits: list[Breach], cut_at: int | None, ends: set[int]) -> str:
    certain = [limit.status for limit in limits if limit.certain]
    if certain:
        return certain[0]
    if node.number in ends:
        return _ENDS
    return MAPPED if cut_at is None or node.number < cut_at else SUBGRAPHS


def _parameter_bytes(nodes: list[Node]) -> int:
    constants = {
        tensor.number: tensor.data.size
        for node in nodes
        for tensor in node.tensors
        if tensor.data is not None
    }
    return sum(constants.values())


def _finding(node: Node, limit: Breach) -> Finding:
    return Finding(
        number=node.number,
        operator=node.operator,
        status=limit.status,
        limit=limit.limit,
        tensor=limit.tensor.name if limit.tensor is not None else None,
        layer=node.layer,
        certain=limit.certain,
    )


def _warnings(network: Network, parameters: int, ends: set[int]) -> list[str]:
    said = []
    if network.subgraphs > 1:
        said.append(f"{network.subgraphs} subgraphs in the file, the compiler takes one: {SUBGRAPHS}")
    if parameters > CACHE_BYTES:
        said.append(
            f"{parameters / 2**20:.1f} MiB of parameters, {CACHE_BYTES / 2**20:.0f} fit on the chip: "
            "the rest is streamed at every run"
        )
    if ends:
        said.append("float input or output: converted on the CPU at every run; export with uint8 ends")
    return said
