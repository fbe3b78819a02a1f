"""Processes that run readers on files which may crash, hang or exhaust them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from edgekd import lazy
from edgekd.errors import EdgekdError, ModelError
from edgekd.models.scaling import Scaling
from edgekd.runtimes.litert import open_interpreter, ports
from edgekd.runtimes.probe import probe
from edgekd_converters.fuzz_samples import CARD
from edgekd_converters.inspect import inspect_tflite
from edgekd_converters.metadata import embed_card, find_card, read_card, strip_card
from edgekd_converters.metadata_front import read_model
from edgekd_converters.standard_metadata import (
    embed_standard_metadata,
    read_standard_metadata,
    strip_standard_metadata,
)

_PATIENCE = 20
_LONGEST_DETAIL = 300


class Outcome(StrEnum):
    """What became of one reader on one file.

    `refused`: an error of edgekd, in one line. `contained`: native code crashed or hung in the process it
    is given for that reason. `crash`: any other error, or the death of a process that should have lived.
    """

    READ = "read"
    REFUSED = "refused"
    CONTAINED = "contained"
    CRASH = "crash"
    HANG = "hang"


@dataclass(frozen=True)
class Answer:
    """An outcome, what was said, and the processor seconds it took."""

    outcome: Outcome
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Reader:
    """A function that reads a path, and how it is meant to be called.

    `native`: edgekd always calls it in a process of its own, so that the death of that process is contained.
    `memory_bytes` is what the process may address. `prepare` comes first and is not on the clock: imports.
    """

    read: Callable[[Path], object]
    native: bool = False
    memory_bytes: int = 4 << 30
    prepare: Callable[[], object] = bool


def _interpret(path: Path) -> None:
    """What `probe` does, in this process: starting one for each file takes longer than all the rest."""
    try:
        interpreter = open_interpreter(path)
        for port in ports(interpreter)[0]:
            interpreter.set_tensor(port.index, np.zeros(port.shape, port.dtype))
        interpreter.invoke()
    except Exception as error:  # whatever ends the process of a probe is a clean refusal to its caller
        raise ModelError(str(error).split("\n", maxsplit=1)[0]) from error


def _embed_standard_metadata(path: Path) -> object:
    model = read_model(path)
    try:
        card = find_card(model)
    except EdgekdError:
        card = CARD
    return embed_standard_metadata(model, card)


def _load_keras(path: Path) -> object:
    from edgekd_converters.stranger import load_model

    return load_model(path, Scaling.OWN)


def _embed_card(path: Path) -> object:
    return embed_card(read_model(path), CARD)


def _strip_card(path: Path) -> object:
    return strip_card(read_model(path))


def _strip_standard_metadata(path: Path) -> object:
    return strip_standard_metadata(read_model(path))


_KERAS = Reader(_load_keras, native=True, memory_bytes=16 << 30, prepare=lazy.keras)

READERS: dict[str, dict[str, Reader]] = {
    ".tflite": {
        "inspect": Reader(partial(inspect_tflite, run=False)),
        "read_card": Reader(read_card),
        "read_standard_metadata": Reader(read_standard_metadata),
        "embed_card": Reader(_embed_card),
        "strip_card": Reader(_strip_card),
        "embed_standard_metadata": Reader(_embed_standard_metadata),
        "strip_standard_metadata": Reader(_strip_standard_metadata),
        "interpreter": Reader(_interpret, native=True),
    },
    ".keras": {"load_model": _KERAS},
    ".h5": {"load_model": _KERAS},
}
"""By suffix of the file, then by name: everything of edgekd that reads model files from outside."""

CONTAINED_BY: dict[str, Reader] = {"interpreter": Reader(partial(probe, timeout_s=10.0))}
"""By name of a native reader: what edgekd calls in its place, asked wherever the native one died."""


class Worker:
    """A process that runs readers one after another; the next call starts a new one when it died.

    A call may take `limit_s` of processor time, and twenty times that on the clock, since a busy machine is
    no hang.
    """

    def __init__(self, limit_s: float, memory_bytes: int) -> None:
        self._limit_s, self._memory_bytes = limit_s, memory_bytes
        self._process: Any = None
        self._connection: Any = None

    def run(self, reader: Reader, path: Path) -> Answer:
        """What `reader`, whose function must be one of a module, makes of the file `path`."""
        if self._process is None:
            self._start()
        self._connection.send((reader, path))
        try:
            if self._connection.poll(self._limit_s * _PATIENCE):
                answer: Answer = self._connection.recv()
                return answer
            outcome, detail = Outcome.HANG, f"no answer in {self._limit_s * _PATIENCE:.0f} s"
        except EOFError:
            outcome, detail = self._death()
        self.stop()
        return Answer(Outcome.CONTAINED if reader.native else outcome, detail)

    def _death(self) -> tuple[Outcome, str]:
        self._process.join()
        code = self._process.exitcode
        if code == -signal.SIGPROF:
            return Outcome.HANG, f"more than {self._limit_s:.0f} s of processor time"
        name = signal.Signals(-code).name if code < 0 else f"status {code}"
        return Outcome.CRASH, f"the process ended with {name}"

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._connection.close()
            self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._memory_bytes, self._limit_s), daemon=True
        )
        self._process.start()
        theirs.close()


def _serve(connection: Connection, memory_bytes: int, limit_s: float) -> None:
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - what native code says is of no use here
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with contextlib.suppress(EOFError):
        while True:
            reader, path = connection.recv()
            reader.prepare()
            signal.setitimer(signal.ITIMER_PROF, limit_s)  # ends the process, inside native code too
            answer = _answer(reader, path)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send(answer)


def _answer(reader: Reader, path: Path) -> Answer:
    began = time.process_time()
    try:
        reader.read(path)
        outcome, detail = Outcome.READ, ""
    except EdgekdError as error:
        detail = str(error).replace(str(path), path.name)
        outcome = Outcome.REFUSED if len(detail.splitlines()) == 1 else Outcome.CRASH
    except Exception as error:  # any other error is what this is all about
        frame = traceback.extract_tb(error.__traceback__)[-1]
        outcome = Outcome.CRASH
        detail = f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
    return Answer(outcome, detail[:_LONGEST_DETAIL], time.process_time() - began)
