"""Which backends answer on this machine, found out by asking them, and how to get those that do not."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edgekd.errors import EdgekdError, MissingError
from edgekd.runtimes.environments import find_python, is_made, recipe_of
from edgekd.runtimes.selftest import relu_answers, relu_network
from edgekd_bench.adb import HOW_TO_GET as HOW_TO_GET_TOOL
from edgekd_bench.adb import TOOL_VARIABLE
from edgekd_bench.adb_client import find_adb
from edgekd_bench.arm64 import ACCELERATOR, emulated_python
from edgekd_bench.backend_edgetpu import HOW_TO_GET, LIBRARY
from edgekd_bench.backend_tflite_runtime import ENVIRONMENT
from edgekd_bench.measure import run_worker
from edgekd_bench.round import Backend, Request, Round, simulated

_TIMEOUT_S = 60.0
_SIZE = 4


@dataclass(frozen=True, kw_only=True)
class BackendState:
    """Whether a backend can be asked now; `note` says what answered, or how to get it."""

    name: str
    answers: bool
    note: str


def backend_states() -> tuple[BackendState, ...]:
    """The state of every backend."""
    return tuple(_state(name, ask) for name, ask in _ASK.items())


def _state(name: str, ask: Callable[[], tuple[bool, str]]) -> BackendState:
    try:
        answers, note = ask()
    except EdgekdError as error:
        answers, note = False, str(error)
    return BackendState(name=name, answers=answers, note=note)


def _litert(kernels: str) -> tuple[bool, str]:
    return relu_answers(kernels), "LiteRT ran a one-operator network"


def _tflite_runtime() -> tuple[bool, str]:
    if is_made(ENVIRONMENT):
        return True, f"its own environment {ENVIRONMENT} is there"
    recipe = recipe_of(ENVIRONMENT)
    python = find_python(recipe.pythons, ENVIRONMENT)
    return False, f"made when first asked for: {', '.join(recipe.requirements)} from PyPI, with {python}"


def _gpu() -> tuple[bool, str]:
    """Runs a one-operator network in a process of its own: a driver may crash."""
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        path = Path(folder) / "relu.tflite"
        path.write_bytes(relu_network(_SIZE))
        asked = Request(model=str(path), backend=Backend.GPU, threads=1, min_runs=1, min_seconds=0.0)
        found = run_worker(asked, timeout_s=_TIMEOUT_S)
    if not isinstance(found, Round):
        return False, found[1]
    adapter = found.engine.accelerator
    return True, f"{adapter}: correctness only" if simulated([adapter]) else adapter


def _edgetpu() -> tuple[bool, str]:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise MissingError(HOW_TO_GET) from error
    return True, f"{LIBRARY} loads; a compiled file shows whether an Edge TPU answers"


def _delegate() -> tuple[bool, str]:
    return True, "any library with TensorFlow Lite's external delegate interface, as delegate:PATH?key=value"


def _keras() -> tuple[bool, str]:
    if find_spec("tf_keras") and find_spec("tensorflow"):
        return True, "installed (TensorFlow is not started for this)"
    return False, "pip install 'edgekd[train]'"


def _arm64() -> tuple[bool, str]:
    emulated_python()
    return True, f"{ACCELERATOR}: correctness only"


def _adb() -> tuple[bool, str]:
    adb, tool = find_adb(), os.environ.get(TOOL_VARIABLE)
    if not tool:
        return False, f"{adb.executable} is here; {HOW_TO_GET_TOOL}"
    return True, f"{adb.executable} with {Path(tool).name}; it asks phones when measuring"


_ASK: Mapping[str, Callable[[], tuple[bool, str]]] = {
    f"{Backend.CPU} (xnnpack)": lambda: _litert("xnnpack"),
    Backend.CPU_BUILTIN: lambda: _litert("builtin"),
    Backend.CPU_REFERENCE: lambda: _litert("reference"),
    Backend.TFLITE_RUNTIME: _tflite_runtime,
    Backend.GPU: _gpu,
    Backend.EDGETPU: _edgetpu,
    Backend.DELEGATE: _delegate,
    Backend.KERAS: _keras,
    Backend.ADB: _adb,
    Backend.ARM64: _arm64,
}
