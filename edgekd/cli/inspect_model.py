"""`edgekd inspect`: what a model file holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekd import console
from edgekd.cli.options import Json
from edgekd.errors import ModelError

if TYPE_CHECKING:
    from edgekd_converters.coreml_inspect import CoremlInspection, FeatureInfo
    from edgekd_converters.inspect import Inspection, TensorInfo

_READ = (".tflite", ".mlpackage")


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .tflite file or an .mlpackage, from anywhere.", show_default=False
        ),
    ],
    as_json: Json = False,
) -> None:
    """Say what the model FILE holds: inputs, outputs, operators, sizes, what is left in float.

    Example: edgekd inspect model.tflite
    """
    console.configure()
    if file.suffix not in _READ:
        raise ModelError(f"{file}: expected a {' file or an '.join(_READ)} folder")
    found = _inspect(file)
    if as_json:
        console.emit_json(found)
        return
    facts, ports, operators = _tflite(found) if file.suffix == ".tflite" else _coreml(found)
    console.emit_table(str(file), ("what", "value"), [*facts, *ports])
    console.emit_table("", ("operator", "version", "count"), operators)
    for warning in getattr(found, "warnings", ()):
        console.log.warning("%s: %s", file, warning)


def _inspect(file: Path) -> Any:
    if file.suffix == ".tflite":
        from edgekd_converters.inspect import inspect_tflite

        return inspect_tflite(file)
    from edgekd_converters.coreml_inspect import inspect_coreml

    return inspect_coreml(file)


_Rows = list[Sequence[str]]


def _tflite(found: Inspection) -> tuple[_Rows, _Rows, _Rows]:
    pieces = "–" if found.delegate_partitions is None else str(found.delegate_partitions)
    facts: _Rows = [
        ("size", f"{found.size_bytes / 1e6:.2f} MB"),
        ("multiplications", _millions(found.macs)),
        ("operators that write floats", str(found.float_operators)),
        ("tensors", _counts(found.tensors)),
        ("runs here", found.load_error or f"yes, XNNPACK in {pieces} pieces"),
        ("metadata", _metadata(found.metadata, has_card=found.has_card)),
    ]
    ports: _Rows = [("input", _tensor(port)) for port in found.inputs]
    ports += [("output", _tensor(port)) for port in found.outputs]
    return facts, ports, [(o.name, str(o.version), str(o.count)) for o in found.operators]


def _coreml(found: CoremlInspection) -> tuple[_Rows, _Rows, _Rows]:
    stored = {name: f"{size / 1e6:.2f} MB" for name, size in found.weight_bytes.items()}
    facts: _Rows = [
        ("size", f"{found.size_bytes / 1e6:.2f} MB in {found.files} files"),
        ("multiplications", _millions(found.macs)),
        ("kind", f"{found.kind}, specification version {found.specification_version}, {found.opset}"),
        ("weights", _counts(stored)),
        ("cannot be evaluated off macOS", ", ".join(found.unknown_operations) or "nothing"),
        ("metadata", _metadata(found.metadata, has_card=found.has_card)),
    ]
    ports: _Rows = [("input", _feature(port)) for port in found.inputs]
    ports += [("output", _feature(port)) for port in found.outputs]
    return facts, ports, [(o.name, "", str(o.count)) for o in found.operations]


def _millions(macs: int | None) -> str:
    return "unknown, a size is left open" if macs is None else f"{macs / 1e6:.1f} million an image"


def _counts(found: dict[str, Any]) -> str:
    return ", ".join(f"{value} {name}" for name, value in found.items()) or "none"


def _metadata(names: Sequence[str], *, has_card: bool) -> str:
    card = "edgekd's card" if has_card else "no card"
    return ", ".join([card, *names])


def _tensor(port: TensorInfo) -> str:
    said = f"{port.name}: {port.dtype} {list(port.shape)}"
    return said if port.scale is None else f"{said}, (q − {port.zero_point}) · {port.scale:.6g}"


def _feature(port: FeatureInfo) -> str:
    return f"{port.name}: {port.kind} {port.dtype} {list(port.shape)}"
