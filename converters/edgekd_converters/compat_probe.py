"""Which operators, in which versions, a runtime knows, found out by asking it.

    python -m edgekd_converters.compat_probe [RUNTIME …] > compat_versions.json

A runtime looks up every operator code of a file when it loads it, used or not. So a file that names one
operator in one version and holds nothing else is enough, and the answer is the runtime's own.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from edgekd import console
from edgekd.errors import ModelError
from edgekd.runtimes.environments import ENVIRONMENTS, recipe_of
from edgekd.runtimes.tflite_runtime import Worker

SCHEMA = "edgekd.compat_versions/1"
CUSTOM = ("AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess")
"""The custom operators that TensorFlow Lite's builtin resolver registers in some version."""

_MAX_VERSION = 40
_ABSENT = "edgekd-absent"
_BUILTIN = {
    name: code for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_" and name != "CUSTOM"
}


def probe_table(names: tuple[str, ...]) -> dict[str, Any]:
    """The content of compat_versions.json for the runtimes `names`.

    Raises:
        UnknownNameError: no environment has one of these names.
        MissingError: an environment cannot be made.
        ModelError: a runtime answers what cannot be right.
    """
    return {"schema": SCHEMA, "runtimes": {name: probe_runtime(name) for name in names}}


def probe_runtime(name: str) -> dict[str, Any]:
    """What the runtime in the environment `name` accepts: lowest and highest version of each operator.

    Raises:
        UnknownNameError: no environment has this name.
        MissingError: the environment cannot be made.
        ModelError: the runtime answers what cannot be right.
    """
    worker = Worker(name)
    try:
        _check_sane(worker)
        operators = {operator: _versions(worker, code) for operator, code in sorted(_BUILTIN.items())}
        custom = [operator for operator in CUSTOM if _accepts(worker, custom_file(operator))]
        version = worker.ask("about")[0]["version"]
    finally:
        worker.close()
    package = recipe_of(name).distribution
    return {
        "source": f"asked {package} {version} (PyPI wheel, {platform.system()} {platform.machine()})",
        "package": package,
        "version": version,
        "operators": {operator: found for operator, found in operators.items() if found},
        "custom": custom,
    }


def _check_sane(worker: Worker) -> None:
    """A runtime whose refusals are not recognised would look as if it knew everything, or nothing."""
    answers = [
        _accepts(worker, file) for file in (builtin_file(0, 1), builtin_file(0, 99), custom_file(_ABSENT))
    ]
    if answers != [True, False, False]:
        raise ModelError(f"{worker.name} says {answers} about ADD 1, ADD 99 and an absent custom operator")


def _versions(worker: Worker, code: int) -> str | None:
    known = [
        version for version in range(1, _MAX_VERSION + 1) if _accepts(worker, builtin_file(code, version))
    ]
    if not known:
        return None
    if known != list(range(known[0], known[-1] + 1)) or known[-1] == _MAX_VERSION:
        raise ModelError(f"{worker.name} accepts versions {known} of operator {code}, expected a range")
    return f"{known[0]}-{known[-1]}"


def _accepts(worker: Worker, file: bytes) -> bool:
    return bool(worker.ask("accept", file)[0]["known"])


def builtin_file(code: int, version: int) -> bytes:
    """A .tflite file that names one builtin operator and does not use it."""
    return _file(_code(code, version), operators=[])


def custom_file(name: str) -> bytes:
    """A .tflite file that uses one custom operator, without inputs; a runtime looks those up on use."""
    code = _code(schema.BuiltinOperator.CUSTOM, 1)
    code.customCode = name
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = np.array([0], np.int32), np.array([1], np.int32)
    operator.customOptions = _no_options()
    return _file(code, operators=[operator])


def _no_options() -> list[int]:
    """An empty FlexBuffer map; operators read theirs without asking whether it is there."""
    builder = flexbuffers.Builder()
    with builder.Map():
        pass
    return list(builder.Finish())


def _code(number: int, version: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
    return code


def _file(code: Any, *, operators: list[Any]) -> bytes:
    graph = schema.SubGraphT()
    graph.tensors = [_tensor("x"), _tensor("y")]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([1], np.int32)
    graph.operators = operators
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(512)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name, np.array([1], np.int32), schema.TensorType.FLOAT32
    return tensor


if __name__ == "__main__":
    console.emit_json(probe_table(tuple(sys.argv[1:]) or tuple(ENVIRONMENTS)))
