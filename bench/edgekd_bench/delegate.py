"""Backend `delegate:PATH?key=value&…`: any library with TensorFlow Lite's external delegate interface.

The library is native code and runs in this process: open it in a worker only. What it took is observed, not
believed: LiteRT's list of operators is read after the delegate has changed the graph and before XNNPACK may
take the rest, so that every `DELEGATE` in it is this delegate's.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ai_edge_litert.interpreter import Interpreter, load_delegate

from edgekd.errors import DeviceError, MissingError, ModelError, UsageError
from edgekd.plain import file_digest
from edgekd.runtimes.litert import KERNELS, ports
from edgekd_bench.backend_litert import litert_engine
from edgekd_bench.loaded import Loaded, PortRuntime, delegation, facts, interpreted, noise, opened
from edgekd_bench.round import Delegation

PREFIX = "delegate:"
_INTERFACE = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
_BAD_OPTION = re.compile(r"(unknown|unrecogni[sz]ed|invalid|unsupported|unexpected).{0,20}option", re.I)
_AFTERWORD = "Restored original execution plan after delegate application failure."


@dataclass(frozen=True, kw_only=True)
class DelegateRequest:
    """A delegate as asked for: its library (a path, or a name for the system's loader) and its options."""

    library: str
    options: Mapping[str, str]

    @property
    def name(self) -> str:
        """The file name of the library."""
        return Path(self.library).name


def parse_delegate(text: str) -> DelegateRequest:
    """The request in `delegate:PATH?key=value&key=value`; keys and values may be percent-encoded.

    Raises:
        UsageError: no path, an option without a value, or one given twice.
    """
    library, _, query = text.removeprefix(PREFIX).partition("?")
    if not library:
        raise UsageError(f"{text!r}: no library, expected {PREFIX}PATH or {PREFIX}PATH?key=value&…")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError as error:
        raise UsageError(f"{text!r}: expected options as ?key=value&key=value") from error
    if len(dict(pairs)) < len(pairs):
        raise UsageError(f"{text!r}: an option is given twice")
    return DelegateRequest(library=library, options=dict(pairs))


def open_delegate(
    path: Path,
    threads: int,
    request: DelegateRequest,
    *,
    require_device: bool = False,
    accelerator: str | None = None,
) -> Loaded:
    """`path` on the delegate; XNNPACK computes what it leaves, as in an application.

    The engine's `accelerator` is `accelerator`, else `delegate:<library>`, when the delegate took at least
    one operator, and `cpu` when it took none.
    `delegation` counts what this delegate took; operators left to the CPU, XNNPACK's too, are `left_out`.

    Raises:
        MissingError: the library cannot be loaded or is no delegate.
        UsageError: the delegate does not know an option.
        DeviceError: the delegate found no device; with `require_device` also when it left any operator.
        ModelError: the file is missing, is not a .tflite file, or the delegate refuses its graph.
    """
    found: list[Delegation] = []

    def allocate(interpreter: Any) -> None:
        found.append(delegation(interpreter._get_ops_details()))
        reason = fallback(found[0], request.name)
        if reason and require_device:
            raise DeviceError(reason)
        _allocate(interpreter, path, request)

    interpreter, opening = opened(lambda: open_delegated(path, threads=threads, request=request), allocate)
    divided = found[0]
    name = accelerator or f"{PREFIX}{request.name}"
    engine = litert_engine("xnnpack", threads, name if divided.nodes_per_partition else "cpu")
    inputs, outputs = ports(interpreter)
    for port, content in zip(inputs, noise(inputs), strict=True):
        interpreter.set_tensor(port.index, content)
    compute = interpreted(interpreter, inputs, outputs)
    return Loaded(
        engine=engine,
        input=facts(inputs),
        run=interpreter.invoke,
        delegation=lambda: divided,
        runtime=lambda: PortRuntime(path, engine, (inputs, outputs), compute),
        init_ms=opening.ms,
        peak_memory=opening.steps.highest,
        opening=opening,
        versions=_library_version(request),
    )


def open_delegated(path: Path, *, threads: int, request: DelegateRequest) -> Any:
    """LiteRT's interpreter on `path` with the delegate applied and no tensor allocated yet.

    Raises:
        MissingError, UsageError, DeviceError, ModelError: as `open_delegate`.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    made = _create(request)
    try:
        return Interpreter(
            str(path),
            num_threads=threads,
            experimental_delegates=[made],
            experimental_op_resolver_type=KERNELS["xnnpack"],
        )
    except RuntimeError as error:
        raise ModelError(f"{path}: {request.name} refuses this network ({_line(error)})") from error
    except ValueError as error:
        raise ModelError(f"{path}: LiteRT cannot load it ({_line(error)})") from error


def fallback(divided: Delegation, name: str) -> str | None:
    """Why the delegate `name` did not do all the work, in one line; None when it did."""
    taken = sum(divided.nodes_per_partition)
    if taken == 0:
        return f"{name} took none of the {divided.nodes} operators: all ran on the CPU"
    if divided.left_out:
        left = ", ".join(f"{count} {operator}" for operator, count in divided.left_out.items())
        return f"{name} took {taken} of {divided.nodes} operators; left to the CPU: {left}"
    return None


def _create(request: DelegateRequest) -> Any:
    _check_library(request.library)
    try:
        return load_delegate(request.library, dict(request.options))
    except ValueError as error:  # "Failed to load delegate from PATH\n" and what the delegate reported
        said = _line(str(error).partition("\n")[2]) or "it does not say why"
        if _BAD_OPTION.search(said):
            raise UsageError(f"{request.name}: {said}") from error
        raise DeviceError(
            f"{request.name} did not start ({said}): is its device connected, and its driver there?"
        ) from error


def _check_library(library: str) -> None:
    """Load the library and look for the interface, before LiteRT does so less politely."""
    if os.sep in library and not Path(library).is_file():
        raise MissingError(f"{library}: no such delegate library")
    try:
        loaded = ctypes.PyDLL(library)
    except OSError as error:
        raise MissingError(f"{library}: cannot be loaded as a library ({_line(error)})") from error
    absent = [name for name in _INTERFACE if not hasattr(loaded, name)]
    if absent:
        raise MissingError(f"{library}: a library, but no delegate: it has no {absent[0]}")


def _allocate(interpreter: Any, path: Path, request: DelegateRequest) -> None:
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        raise ModelError(f"{path}: cannot be prepared on {request.name} ({_line(error)})") from error


def _library_version(request: DelegateRequest) -> dict[str, str]:
    """The digest of a library given by its path; a name was resolved by the system's loader."""
    path = Path(request.library)
    return {request.name: f"sha256 {file_digest(path)}"} if path.is_file() else {}


def _line(error: object) -> str:
    """The first line of a message, without what LiteRT appends to every refusal."""
    return str(error).strip().split("\n", maxsplit=1)[0].replace(_AFTERWORD, "").strip()
