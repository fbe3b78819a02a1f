"""Time of each operator, from LiteRT's own profiler: `python -m edgekd_bench.profile_litert REQUEST.json`.

Python has no access to the profiler, so this calls the C interface of libLiteRt.so, the library of the
ai-edge-litert wheel. A wrong call there ends the process: this module runs in a process of its own and prints
one JSON line. The profiler's clock ticks in whole microseconds; the averages over the runs are finer, but an
operator shorter than that is too low by up to one.
"""

from __future__ import annotations

import ctypes as c
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import trim_mean

from edgekd.errors import DeviceError
from edgekd.plain import canonical_json, from_plain

_CPU = 1
_OPTION_LIBRARY_FOLDER, _TYPE_STRING = 22, 8
_WRITE = 1
_RANKED_TENSOR_TYPE_INTS = 18
_SIDES = slice(2, 10)  # of the ints of a ranked tensor type: its dimensions
_FLOAT32, _BYTES = 1, (3, 9)  # element types: float32; uint8 and int8
_BUILTIN, _DELEGATED = 2, 8  # kinds of events: an operator of the interpreter, one of a delegate
_WHOLE = b"Invoke"
_TRIM = 0.25
_WARM_UP_RUNS = 10
_US_PER_MS = 1000.0


@dataclass(frozen=True, kw_only=True)
class ProfileRequest:
    """What to profile: a file, the threads and how many runs after warm-up."""

    model: str
    threads: int
    runs: int


@dataclass(frozen=True, kw_only=True)
class Event:
    """One operator as the engine ran it: interquartile mean over the runs, ms.

    `number` is its place in the file; null for an operator inside a delegate, which knows only its kernel.
    """

    kernel: str
    number: int | None
    ms: float


@dataclass(frozen=True, kw_only=True)
class Events:
    """The operators of one run in running order, and the time of the whole run, ms."""

    invoke_ms: float
    events: tuple[Event, ...]


class _Any(c.Structure):
    class _Value(c.Union):
        _fields_ = (("integer", c.c_int64), ("text", c.c_char_p))

    _fields_ = (("type", c.c_int), ("value", _Value))


class _Option(c.Structure):
    _fields_ = (("tag", c.c_int), ("value", _Any))


class _Event(c.Structure):
    _fields_ = (
        ("tag", c.c_char_p),
        ("kind", c.c_int),
        ("start_us", c.c_uint64),
        ("elapsed_us", c.c_uint64),
        ("memory", c.c_size_t * 6),
        ("number", c.c_uint64),
        ("subgraph", c.c_uint64),
        ("source", c.c_int),
    )


class _LiteRt:
    """The C interface: every call answers a status, 0 for success."""

    def __init__(self) -> None:
        spec = find_spec("ai_edge_litert")
        folders = spec.submodule_search_locations if spec else None
        if not folders:
            raise DeviceError("ai-edge-litert is not installed")
        self.folder = folders[0]
        try:
            self._library = c.CDLL(str(Path(self.folder) / "libLiteRt.so"))
        except OSError as error:
            raise DeviceError(f"LiteRT's C library cannot be loaded ({error})") from error
        self._libc = c.CDLL(None)
        self._libc.strdup.restype, self._libc.strdup.argtypes = c.c_void_p, [c.c_char_p]

    def call(self, name: str, *arguments: Any) -> None:
        """Call LiteRt`name`; Python whole numbers are passed as size_t.

        Raises:
            DeviceError: this version has no such call, or it failed.
        """
        try:
            call = self._library[f"LiteRt{name}"]
        except AttributeError as error:
            raise DeviceError(f"this version of LiteRT has no LiteRt{name}") from error
        call.restype = c.c_int
        status = call(*(c.c_size_t(a) if isinstance(a, int) else a for a in arguments))
        if status:
            raise DeviceError(f"LiteRt{name} failed with status {status}")

    def make(self, name: str, *arguments: Any) -> c.c_void_p:
        """The handle that LiteRt`name` hands out through its last argument."""
        handle = c.c_void_p()
        self.call(name, *arguments, c.byref(handle))
        return handle

    def option(self, name: bytes, text: str) -> c.c_void_p:
        """A named option; LiteRT frees its text."""
        copied = c.c_void_p(self._libc.strdup(text.encode()))
        return self.make("CreateOpaqueOptions", c.c_char_p(name), copied, c.cast(self._libc.free, c.c_void_p))


class _Model:
    """A compiled model on the CPU with filled inputs."""

    def __init__(self, request: ProfileRequest) -> None:
        self._api = api = _LiteRt()
        place = _Option(tag=_OPTION_LIBRARY_FOLDER)
        place.value.type, place.value.value.text = _TYPE_STRING, os.fsencode(api.folder)
        self._environment = api.make("CreateEnvironment", c.c_int(1), c.byref(place))
        model = api.make("CreateModelFromFile", self._environment, c.c_char_p(os.fsencode(request.model)))
        options = api.make("CreateOptions")
        api.call("SetOptionsHardwareAccelerators", options, c.c_int(_CPU))
        api.call(
            "AddOpaqueOptions", options, api.option(b"runtime_options_string", "enable_profiling = true\n")
        )
        api.call("AddOpaqueOptions", options, api.option(b"xnnpack", f"num_threads = {request.threads}\n"))
        self._compiled = api.make("CreateCompiledModel", self._environment, model, options)
        self._profiler = api.make("CompiledModelGetProfiler", self._compiled)
        self._signature = api.make("GetModelSignature", model, 0)
        self._inputs, self._outputs = self._buffers("Input"), self._buffers("Output")

    def _buffers(self, side: str) -> Any:
        count = c.c_size_t()
        self._api.call(f"GetNumSignature{side}s", self._signature, c.byref(count))
        handles = [self._buffer(side, place).value for place in range(count.value)]
        return (c.c_void_p * len(handles))(*handles)

    def _buffer(self, side: str, place: int) -> c.c_void_p:
        api, shape = self._api, (c.c_int32 * _RANKED_TENSOR_TYPE_INTS)()
        tensor = api.make(f"GetSignature{side}TensorByIndex", self._signature, place)
        api.call("GetRankedTensorType", tensor, c.byref(shape))
        shape[_SIDES] = [abs(length) for length in shape[_SIDES]]  # an open batch of −1 becomes 1
        needs = api.make(f"GetCompiledModel{side}BufferRequirements", self._compiled, 0, place)
        buffer = api.make(
            "CreateManagedTensorBufferFromRequirements", self._environment, c.byref(shape), needs
        )
        if side == "Input":
            self._fill(buffer, shape[0])
        return buffer

    def _fill(self, buffer: c.c_void_p, element_type: int) -> None:
        """Noise, as `edgekd_bench.backends` gives it: bytes, −1..1 for floats, zeros for other integers."""
        size, address = c.c_size_t(), c.c_void_p()
        self._api.call("GetTensorBufferPackedSize", buffer, c.byref(size))
        self._api.call("LockTensorBuffer", buffer, c.byref(address), c.c_int(_WRITE))
        generator = np.random.Generator(np.random.PCG64(0))
        noise: Any = np.zeros(size.value, np.uint8)
        if element_type == _FLOAT32:
            noise = generator.uniform(-1, 1, size.value // 4).astype(np.float32)
        elif element_type in _BYTES:
            noise = generator.integers(0, 256, size.value, np.uint8)
        c.memmove(address, noise.ctypes.data, noise.nbytes)
        self._api.call("UnlockTensorBuffer", buffer)

    def run(self) -> None:
        """Compute once."""
        inputs, outputs = self._inputs, self._outputs
        self._api.call("RunCompiledModel", self._compiled, 0, len(inputs), inputs, len(outputs), outputs)

    def profiled_run(self) -> list[_Event]:
        """The events of one run."""
        api, count = self._api, c.c_int()
        api.call("StartProfiler", self._profiler)
        self.run()
        api.call("StopProfiler", self._profiler)
        api.call("GetNumProfilerEvents", self._profiler, c.byref(count))
        events = (_Event * count.value)()
        api.call("GetProfilerEvents", self._profiler, c.c_int(count.value), events)
        found = list(events)
        api.call("ResetProfiler", self._profiler)
        return found


def profile_events(request: ProfileRequest) -> Events:
    """The operators of the file on LiteRT's CPU kernels, each averaged over the runs.

    Raises:
        DeviceError: this LiteRT has no profiler that answers.
    """
    model = _Model(request)
    for _ in range(_WARM_UP_RUNS):
        model.run()
    runs = [model.profiled_run() for _ in range(request.runs)]
    operators = [[event for event in run if event.kind in (_BUILTIN, _DELEGATED)] for run in runs]
    if not operators[0] or len({len(run) for run in operators}) != 1:
        raise DeviceError("LiteRT's profiler did not report the same operators in every run")
    whole = [[event.elapsed_us for event in run if event.tag == _WHOLE][:1] for run in runs]
    return Events(
        invoke_ms=_average([us for found in whole for us in found]),
        events=tuple(_event(same) for same in zip(*operators, strict=True)),
    )


def _event(same: Sequence[_Event]) -> Event:
    first = same[0]
    return Event(
        kernel=first.tag.decode(errors="replace"),
        number=int(first.number) if first.kind == _BUILTIN else None,
        ms=_average([event.elapsed_us for event in same]),
    )


def _average(microseconds: Sequence[int]) -> float:
    return float(trim_mean(np.asarray(microseconds, np.float64), _TRIM)) / _US_PER_MS


def _main(path: Path) -> None:
    request = from_plain(ProfileRequest, json.loads(path.read_text(encoding="utf-8")))
    answer_to = os.dup(1)
    os.dup2(2, 1)  # whatever native code prints must not mix with the answer
    try:
        answer: Any = profile_events(request)
    except DeviceError as error:
        answer = {"unavailable": str(error)}
    with os.fdopen(answer_to, "w", encoding="utf-8") as out:
        out.write(canonical_json(answer) + "\n")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
