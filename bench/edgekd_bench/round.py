"""What a worker process is asked for and what it answers: one round of one job.

Nothing here imports more than the engine needs, so that a worker holds nothing else.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.errors import UnknownNameError, UsageError
from edgekd.runtimes.base import Engine

_SIMULATED = ("correctness only", "swiftshader", "llvmpipe", "lavapipe", "software", "emulat", "qemu")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_ASKED = re.compile(r"([^:?]*)([:?]?)(.*)", re.DOTALL)
SUSTAINED_WINDOW_S = 30.0


class Backend(enum.StrEnum):
    """What can be asked to run a file: a delegate as `delegate:PATH`, a phone as `adb:SERIAL`."""

    CPU = "cpu"
    CPU_BUILTIN = "cpu-builtin"
    CPU_REFERENCE = "cpu-reference"
    TFLITE_RUNTIME = "tflite-runtime"
    GPU = "gpu"
    EDGETPU = "edgetpu"
    DELEGATE = "delegate"
    ADB = "adb"
    ARM64 = "arm64"
    KERAS = "keras"


ACCELERATORS = (Backend.GPU, Backend.EDGETPU, Backend.DELEGATE, Backend.ADB)
"""The backends that ask for more than the processor, or for another device."""


def kind_of(asked: str) -> Backend:
    """The backend in `asked`: `delegate` goes on with `:PATH`, `adb` with `:SERIAL?flag=value`.

    Raises:
        UnknownNameError: there is none; the nearest names are given.
        UsageError: a delegate without a path.
    """
    found = _ASKED.fullmatch(asked)
    name, mark, rest = found.groups() if found else (asked, "", "")
    known = {backend.value: backend for backend in Backend}
    if name not in known or (mark and known[name] not in (Backend.DELEGATE, Backend.ADB)):
        raise UnknownNameError("backend", asked, known)
    if known[name] is Backend.DELEGATE and (mark != ":" or not rest):
        raise UsageError(f"{asked!r}: no library, expected delegate:PATH or delegate:PATH?key=value&…")
    return known[name]


def label_of(asked: str) -> str:
    """`asked` without the folders of a delegate's library or the tool of a phone, as records hold it."""
    if kind_of(asked) is Backend.ADB:
        head, _, query = asked.partition("?")
        flags = [flag for flag in query.split("&") if flag and not flag.startswith("tool=")]
        return "?".join([head, *["&".join(flags)] * bool(flags)])
    name, colon, rest = asked.partition(":")
    library, question, options = rest.partition("?")
    return f"{name}{colon}{Path(library).name}{question}{options}" if colon else asked


def file_part(label: str) -> str:
    """`label` as a part of a file name: delegate:lib.so?a=1 becomes delegate-lib.so-a-1."""
    return _UNSAFE.sub("-", label)


def simulated(names: Iterable[str | None]) -> str | None:
    """The first of the accelerators `names` that is a software GPU or an emulator; None for hardware."""
    return next((name for name in names if name and any(word in name.lower() for word in _SIMULATED)), None)


class Status(enum.StrEnum):
    """`ok`: measured; `unavailable`: the backend is not on this machine; `failed`: the file did not run."""

    OK = "ok"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """Shape and dtype of an input."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Delegation:
    """How the graph was divided: `nodes` in the file, those in each piece a delegate runs, and the rest.

    `left_out` counts the operators that no delegate took. A GPU tells how many it took, not in how many
    pieces: they are given as one.
    """

    nodes: int
    nodes_per_partition: tuple[int, ...]
    left_out: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class SplitRequest:
    """What to predict after the timing: the test split of a prepared data set, and where to write it."""

    dataset: str
    labels: tuple[str, ...]
    malignant: tuple[str, ...]
    predictions: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One round: at least `min_runs` runs and `min_seconds` seconds after warm-up.

    `windows` of `window_seconds` without a pause follow where a sustained load was asked for.
    """

    model: str
    backend: str
    threads: int
    min_runs: int
    min_seconds: float
    test: SplitRequest | None = None
    windows: int = 0
    window_seconds: float = SUSTAINED_WINDOW_S


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a sustained load: median of its `n` runs, and the machine at its end; null where unknown."""

    p50_ms: float
    n: int
    temperature_c: float | None
    frequency_mhz: float | None


@dataclass(frozen=True, kw_only=True)
class MemorySteps:
    """How far the resident memory rose in each step at its highest, above where the step began, in bytes.

    `load` reads the file, `allocate` prepares the graph and its tensors, `invoke` is the first run.
    """

    load: int
    allocate: int
    invoke: int


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one process measured; `pressure` is the share of time in which tasks waited for a processor.

    `first_ms` is null where loading ran the model already, `delegation` where the engine does not tell.
    `energy_mj` is what the processor used in the timed runs together, null where it does not tell.
    `driver_share` is the share of the processor time in them that went to threads of a GPU driver, null
    on other backends and where the system does not tell.
    """

    engine: Engine
    input: tuple[TensorFacts, ...]
    init_ms: float
    first_ms: float | None
    runs_ms: tuple[float, ...]
    steady: bool
    pressure: float | None
    peak_memory_bytes: int | None
    timer_precision_ms: float
    delegation: Delegation | None
    versions: dict[str, str] = field(default_factory=dict)
    memory: MemorySteps | None = None
    energy_mj: float | None = None
    driver_share: float | None = None
    sustained: tuple[Window, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Device:
    """The machine when the measurement began; null where the system does not tell.

    `cores` are those this process may use; `load_average_1min` counts running and waiting tasks;
    `temperature_c` is that of the warmest sensor. Of a phone `cpu` names maker, model and chip.
    """

    cpu: str
    isa: str
    cores: int
    os: str
    governor: str | None
    frequency_mhz: float | None
    load_average_1min: float | None
    temperature_c: float | None = None
