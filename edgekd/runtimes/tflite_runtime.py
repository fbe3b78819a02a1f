"""`TfliteRuntime`: a .tflite file in another runtime's own environment, behind a worker process."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ModelError, UnknownNameError
from edgekd.runtimes import tflite_worker
from edgekd.runtimes.base import Engine, Features, check_features, check_images, isa, to_patient_input
from edgekd.runtimes.environments import environment, recipe_of
from edgekd.runtimes.litert import Port, image_and_patient

KERNELS = ("xnnpack", "builtin", "reference")
TIMEOUT_S = 120.0
_GRACE_S = 5.0  # the worker's own limit is this much longer than the caller's
_DYING_S = 10.0
_BATCH = 16
_LENGTH = struct.Struct("<I")
_MAX_HEADER = 1 << 20
_DTYPES = ("uint8", "int8", "float32")


class Worker:
    """A worker process in the environment `name`, asked one thing at a time.

    Whatever happens to it is a `ModelError`: a crash names the signal, a hang ends with the time limit. It
    ends with `close`, when this object is collected, when this process ends, and by its own clock when this
    process was killed.
    """

    def __init__(self, name: str) -> None:
        """
        Raises:
            UnknownNameError: no environment has this name.
            MissingError: the environment cannot be made.
        """
        recipe = recipe_of(name)
        self.name = name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [str(environment(name)), "-I", tflite_worker.__file__, recipe.module, recipe.distribution]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )
        self._close = weakref.finalize(self, _end, self._process, self._said)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def ask(
        self, verb: str, payload: bytes = b"", *, limit_s: float = TIMEOUT_S, **fields: Any
    ) -> tuple[dict[str, Any], bytes]:
        """The answer to a request and its raw bytes (see tflite_worker).

        Raises:
            ModelError: the runtime refused, the process crashed or took longer than `limit_s`.
        """
        late = threading.Event()
        timer = threading.Timer(limit_s, self._kill, (late,))
        timer.start()
        try:
            self._send({**fields, "verb": verb, "limit_s": limit_s + _GRACE_S}, payload)
            answer, result = self._receive()
        except (OSError, EOFError, ValueError) as error:
            raise ModelError(self._obituary(verb, limit_s, late=late.is_set())) from error
        finally:
            timer.cancel()
        if "error" in answer:
            raise ModelError(str(answer["error"]).split("\n", maxsplit=1)[0])
        return answer, result

    def close(self) -> None:
        """End the process."""
        self._close()

    def _kill(self, late: threading.Event) -> None:
        late.set()
        self._process.kill()

    def _send(self, request: dict[str, Any], payload: bytes) -> None:
        head = json.dumps({**request, "bytes": len(payload)}).encode()
        pipe = _pipe(self._process.stdin)
        pipe.write(_LENGTH.pack(len(head)) + head)
        pipe.write(payload)
        pipe.flush()

    def _receive(self) -> tuple[dict[str, Any], bytes]:
        pipe = _pipe(self._process.stdout)
        (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
        if length > _MAX_HEADER:
            raise ValueError("not an answer")
        answer = json.loads(_exactly(pipe, length))
        return answer, _exactly(pipe, int(answer["bytes"]))

    def _obituary(self, verb: str, limit_s: float, *, late: bool) -> str:
        try:
            code = self._process.wait(_DYING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # what sends half an answer is not asked again
            return f"{self.name} sent no whole answer"
        if late:
            return f"{self.name} did not finish to {verb} in {limit_s:g} s"
        if code < 0:
            return f"{self.name} crashed on this file ({signal.Signals(-code).name})"
        return f"{self.name} ended with status {code}: {self._last_words()}"

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing"


@dataclass(frozen=True, kw_only=True)
class WorkerPort:
    """An input or output as the worker describes it; `scale` is 0 for a float tensor."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


class TfliteRuntime:
    """The logits of a .tflite file, computed by another runtime in its own environment.

    The file is loaded and run in a worker process: it may come from anywhere. A uint8 input takes the raw
    RGB bytes, an int8 input the bytes less 128; an 8-bit output is dequantized with its own scale. A float32
    input does not say what range it wants: `input_range` gives the values that 0 and 255 become.

    `init_ms` is the time to load the file and allocate its tensors; `peak_memory_bytes` what loading and a
    first run added to the worker's memory at its highest (None where the system does not tell).
    """

    init_ms: float
    peak_memory_bytes: int | None

    def __init__(
        self,
        path: Path,
        environment: str = "tflite-runtime-2.14",
        *,
        threads: int = 1,
        kernels: str = "xnnpack",
        input_range: tuple[float, float] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """
        Raises:
            UnknownNameError: no environment has this name, or there are no such kernels.
            MissingError: the environment cannot be made.
            ModelError: the file is missing, the runtime refuses it, crashes or hangs on it, or its input or
                output is not that of an image classifier.
        """
        if kernels not in KERNELS:
            raise UnknownNameError("kernels", kernels, KERNELS)
        if not path.is_file():
            raise ModelError(f"{path}: no such model file")
        self._path, self._timeout_s = path, timeout_s
        self._worker = Worker(environment)
        try:
            opened = self._ask("open", path=str(path.resolve()), threads=threads, kernels=kernels)[0]
            self._inputs = tuple(_port(found) for found in opened["inputs"])
            self._input, self._patient = _image_and_patient(path, self._inputs)
            self._output = _port(opened["output"])
            self._input_range = _check_ports(path, self._input, self._output, input_range)
        except ModelError:
            self.close()
            raise
        self.init_ms, self.peak_memory_bytes = opened["init_ms"], opened["peak_memory_bytes"]
        self._engine = Engine(
            name=recipe_of(environment).distribution,
            version=self._ask("about")[0]["version"],
            kernels=kernels,
            threads=threads,
            isa=isa(),
        )

    @property
    def engine(self) -> Engine:
        """The runtime, its version, kernels and threads."""
        return self._engine

    @property
    def input(self) -> WorkerPort:
        """The tensor the image goes into."""
        return self._input

    @property
    def inputs(self) -> tuple[WorkerPort, ...]:
        """All input tensors, in the file's order."""
        return self._inputs

    @property
    def input_px(self) -> int:
        """The side of the square input, in pixels."""
        return self._input.shape[1]

    @property
    def n_logits(self) -> int:
        """The number of outputs."""
        return self._output.shape[-1]

    @property
    def n_features(self) -> int:
        """The length of the patient vector; 0 for a model of pictures alone."""
        return self._patient.shape[-1] if self._patient else 0

    @property
    def output_step(self) -> float:
        """The distance of two neighbouring output values (an 8-bit output's scale); 0 for a float one."""
        return self._output.scale

    def logits(self, images: NDArray[np.uint8], features: Features | None = None) -> NDArray[np.float32]:
        """Raw outputs [n, k] for RGB `images` [n, input_px, input_px, 3] and `features`."""
        check_images(images, self.input_px)
        known = check_features(features, len(images), self.n_features)
        bounds = [slice(begin, begin + _BATCH) for begin in range(0, len(images), _BATCH)]
        parts = [self._run(images[part], known[part]) for part in bounds]
        stored = np.concatenate([np.empty((0, self.n_logits), self._output.dtype), *parts]).astype(np.float32)
        if self._output.scale == 0:
            return stored
        return np.asarray((stored - self._output.zero_point) * np.float32(self._output.scale))

    def time_runs(self, count: int) -> tuple[float, ...]:
        """Milliseconds of each of `count` runs on what was fed last (zeros at first), timed in the worker."""
        return tuple(np.frombuffer(self._ask("time", count=count)[1]).tolist())

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

    def _run(self, images: NDArray[np.uint8], features: Features) -> NDArray[Any]:
        stored = {id(self._input): to_input(images, self._input.dtype, self._input_range)}
        if self._patient:
            stored[id(self._patient)] = to_patient_input(features, np.dtype(self._patient.dtype))
        payload = b"".join(stored[id(port)].tobytes() for port in self._inputs)
        result = self._ask("run", payload, count=len(images))[1]
        return np.frombuffer(result, self._output.dtype).reshape(len(images), self.n_logits)

    def _ask(self, verb: str, payload: bytes = b"", **fields: Any) -> tuple[dict[str, Any], bytes]:
        try:
            return self._worker.ask(verb, payload, limit_s=self._timeout_s, **fields)
        except ModelError as error:
            raise ModelError(f"{self._path}: {error}") from error


def to_input(images: NDArray[np.uint8], dtype: str, input_range: tuple[float, float]) -> NDArray[Any]:
    """RGB `images` as a tensor of `dtype` stores them; 0 and 255 become `input_range` in a float one."""
    if dtype == "uint8":
        return images
    if dtype == "int8":
        return (images ^ 0x80).view(np.int8)
    low, high = input_range
    return np.asarray(images * np.float32((high - low) / 255) + np.float32(low), np.float32)


def _image_and_patient(path: Path, inputs: Sequence[WorkerPort]) -> tuple[WorkerPort, WorkerPort | None]:
    """The image input, and that of patient values where there is one."""
    known = [
        Port(n, "", one.shape, np.dtype(one.dtype), one.scale, one.zero_point) for n, one in enumerate(inputs)
    ]
    image, patient = image_and_patient(path, known)
    return inputs[image.index], inputs[patient.index] if patient else None


def _check_ports(
    path: Path, image: WorkerPort, vector: WorkerPort, input_range: tuple[float, float] | None
) -> tuple[float, float]:
    square = len(image.shape) == 4 and image.shape[1] == image.shape[2] and image.shape[::3] == (1, 3)
    if not square or image.dtype not in _DTYPES:
        raise ModelError(
            f"{path}: the input is {image.dtype} {list(image.shape)}, expected uint8, int8 or float32 "
            "[1, px, px, 3]"
        )
    if not vector.shape or int(np.prod(vector.shape)) != vector.shape[-1] or vector.dtype not in _DTYPES:
        raise ModelError(f"{path}: the output is {vector.dtype} {list(vector.shape)}, expected [1, k]")
    if image.dtype == "float32" and input_range is None:
        raise ModelError(
            f"{path}: the input is float32 and the file does not say what 0 and 255 become; state the range "
            "(often -1,1 or 0,1), or export a file with uint8 input"
        )
    return input_range or (0.0, 255.0)


def _port(found: dict[str, Any]) -> WorkerPort:
    return WorkerPort(**{**found, "shape": tuple(found["shape"])})


def _end(process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    """End `process`: an idle worker holds nothing that would be lost."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, said):
        try:
            _pipe(pipe).close()
        except BrokenPipeError:  # what was not written is of no use to a dead process
            continue


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise OSError("no pipe")
    return pipe


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data
