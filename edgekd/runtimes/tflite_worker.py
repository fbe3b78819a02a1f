"""A TensorFlow Lite interpreter behind a pipe: `python tflite_worker.py MODULE PACKAGE`.

One self-contained file for CPython 3.9 and newer that needs numpy and the runtime, nothing of edgekd.
MODULE has the class `Interpreter`, PACKAGE is the distribution whose version is told.

A message, either way: 4 bytes, the length of the header (little endian); the header, a JSON object; as many
raw bytes as its field "bytes" says. A request names a "verb"; an answer to one that failed has an "error".

    open    path, threads, kernels   →  inputs and output (shape, dtype, scale, zero_point),
                                        init_ms, peak_memory_bytes (above the empty interpreter's, or null)
    run     count + `count` contents of the first input as stored, then those of the next
                                     →  outputs as stored
    time    count                    →  float64 milliseconds of `count` runs on what was fed last
    accept  a whole small file       →  known: whether its operators are, and what the runtime said
    about                            →  version

Every request carries "limit_s": the system ends this process when it is not done by then, even in native
code and even when nobody is left to wait for it. It ends by itself when its input ends.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import struct
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_RESOLVERS = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
_UNKNOWN = ("Didn't find op", "builtin_code out of range", "unresolved custom op")
_LENGTH = struct.Struct("<I")


class Worker:
    """Answers requests about one open file."""

    def __init__(self, module: Any, version: str) -> None:
        self._module, self._version = module, version
        self._interpreter: Any = None
        self._inputs: Any = None
        self._output: Any = None

    def answer(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """The answer to one request, and its raw bytes."""
        verbs = {
            "open": self._open,
            "run": self._run,
            "time": self._time,
            "accept": self._accept,
            "about": self._about,
        }
        try:
            return verbs[request["verb"]](request, payload)
        except (ValueError, RuntimeError, TypeError, MemoryError) as error:
            return {"error": str(error).strip() or type(error).__name__}, b""

    def _open(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Load a file, allocate its tensors and run it once."""
        del payload
        resident = _reset_peak()
        began = time.perf_counter()
        interpreter = self._load(
            request["kernels"], model_path=request["path"], num_threads=request["threads"]
        )
        interpreter.allocate_tensors()
        init_ms = (time.perf_counter() - began) * 1000
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(outputs) != 1:
            raise ValueError(f"{len(inputs)} inputs and {len(outputs)} outputs, expected one of each")
        self._interpreter, self._inputs, self._output = interpreter, inputs, outputs[0]
        self._feed([np.zeros(port["shape"], port["dtype"]) for port in inputs])
        interpreter.invoke()
        answer = {
            "inputs": [_port(port) for port in inputs],
            "output": _port(outputs[0]),
            "init_ms": init_ms,
            "peak_memory_bytes": _peak_since(resident),
        }
        return answer, b""

    def _run(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """The stored outputs for stored inputs, one after another."""
        contents, answers = self._contents(payload, request["count"]), []
        for number in range(request["count"]):
            self._feed([part[number] for part in contents])
            self._interpreter.invoke()
            answers.append(self._interpreter.get_tensor(self._output["index"]).tobytes())
        return {}, b"".join(answers)

    def _contents(self, payload: bytes, count: int) -> list[Any]:
        """The contents [count, *shape] of each input."""
        parts, begin = [], 0
        for port in self._inputs:
            shape = [count, *port["shape"]]
            size = int(np.prod(shape)) * np.dtype(port["dtype"]).itemsize
            parts.append(np.frombuffer(payload[begin : begin + size], port["dtype"]).reshape(shape))
            begin += size
        return parts

    def _time(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Milliseconds of runs, each timed by itself."""
        del payload
        spent = np.empty(request["count"])
        for number in range(request["count"]):
            began = time.perf_counter_ns()
            self._interpreter.invoke()
            spent[number] = time.perf_counter_ns() - began
        return {}, (spent / 1e6).tobytes()

    def _about(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        del request, payload
        return {"version": self._version}, b""

    def _accept(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Whether the runtime knows the operators that a file names."""
        del request
        try:
            self._load("builtin", model_content=payload).allocate_tensors()
        except (ValueError, RuntimeError) as error:
            return {"known": not any(words in str(error) for words in _UNKNOWN), "said": str(error)}, b""
        return {"known": True, "said": ""}, b""

    def _load(self, kernels: str, **options: Any) -> Any:
        resolver = getattr(self._module.OpResolverType, _RESOLVERS[kernels])
        return self._module.Interpreter(experimental_op_resolver_type=resolver, **options)

    def _feed(self, values: Any) -> None:
        for place, port in enumerate(self._inputs):
            self._interpreter.set_tensor(port["index"], values[place])


def _port(details: dict[str, Any]) -> dict[str, Any]:
    scale, zero_point = details["quantization"]
    return {
        "shape": [int(side) for side in details["shape"]],
        "dtype": np.dtype(details["dtype"]).name,
        "scale": float(scale),
        "zero_point": int(zero_point),
    }


def _reset_peak() -> int | None:
    """Forget the highest resident memory so far; the resident bytes now, None where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status_bytes("VmRSS")
    except OSError:
        return None


def _peak_since(resident: int | None) -> int | None:
    return None if resident is None else max(0, _status_bytes("VmHWM") - resident)


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(field)


def _read(source: BinaryIO) -> tuple[dict[str, Any] | None, bytes]:
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None, b""
    request = json.loads(source.read(_LENGTH.unpack(head)[0]))
    return request, source.read(request["bytes"])


def _write(sink: BinaryIO, answer: dict[str, Any], payload: bytes) -> None:
    head = json.dumps({**answer, "bytes": len(payload)}).encode()
    sink.write(_LENGTH.pack(len(head)) + head + payload)
    sink.flush()


def main(module: str, package: str) -> None:
    """Answer requests until the input ends."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever native code prints must not mix with the answers
    worker = Worker(importlib.import_module(module), version(package))
    while True:
        request, payload = _read(sys.stdin.buffer)
        if request is None:
            return
        signal.setitimer(signal.ITIMER_REAL, request["limit_s"])  # SIGALRM's default ends the process
        answer, result = worker.answer(request, payload)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _write(sink, answer, result)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
