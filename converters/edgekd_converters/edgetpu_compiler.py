"""`compile_edgetpu`: an 8-bit file through the vendor's compiler, where that is installed."""

from __future__ import annotations

import enum
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import ModelError
from edgekd.plain import file_digest
from edgekd_converters.edgetpu_compiled import CompiledFile, inspect_compiled
from edgekd_converters.edgetpu_log import CompilerLog, parse_log

SCHEMA = "edgekd.edgetpu_compile/1"
COMPILER = "edgetpu_compiler"
HOW_TO_GET = (
    f"{COMPILER} is not on the PATH, by rule only; it exists for x86-64 Debian only: add the repository "
    "coral-edgetpu-stable of packages.cloud.google.com/apt and apt-get install edgetpu-compiler"
)
TIMEOUT_S = 600.0
_ENDS = ("QUANTIZE", "DEQUANTIZE")  # of a float input or output; all else there is mapped or cuts the graph


class CompileStatus(enum.StrEnum):
    """Whether there is a compiled file, and if not, whether there was a compiler."""

    OK = "ok"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, kw_only=True)
class CompileRecord:
    """What the compiler made of a file (schema edgekd.edgetpu_compile/1).

    `source_sha256` is the file's that went in; `output` the name and `sha256` the digest of the one that came
    out, null with a `reason` where none did.
    """

    schema: str = SCHEMA
    source_sha256: str
    status: CompileStatus
    reason: str | None
    output: str | None
    sha256: str | None
    log: CompilerLog | None
    compiled: CompiledFile | None

    @property
    def asked(self) -> bool:
        """Whether there was a compiler; its word counts more than the rules."""
        return self.status is not CompileStatus.UNAVAILABLE

    @property
    def fails(self) -> str | None:
        """Why not all of it runs on an Edge TPU, in a line; None when it does, or nobody was there to ask."""
        if self.status is CompileStatus.FAILED:
            return f"{COMPILER}: {self.reason}"
        on_cpu = self.compiled.on_cpu if self.compiled is not None else {}
        left = ", ".join(f"{count} {name}" for name, count in on_cpu.items() if name not in _ENDS)
        return f"{COMPILER} left operators to the CPU: {left}" if left else None


def compile_edgetpu(path: Path, out: Path, *, timeout_s: float = TIMEOUT_S) -> CompileRecord:
    """Compile the 8-bit .tflite file `path` into the folder `out` as `<stem>_edgetpu.tflite`.

    What the compiler refuses, or a compiler that is not there, is a record, not an error.

    Raises:
        ModelError: the file is missing, or the compiler's output cannot be understood.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    program = shutil.which(COMPILER)
    if program is None:
        return _none(path, CompileStatus.UNAVAILABLE, HOW_TO_GET)
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{path.stem}_edgetpu.tflite"
    target.unlink(missing_ok=True)  # what lies there from before is not this compiler's work
    command = [program, "-s", "-o", str(out), str(path.absolute())]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return _none(path, CompileStatus.FAILED, f"{COMPILER} was not done after {timeout_s:g} s")
    return _read(path, target, done)


def _read(path: Path, target: Path, done: subprocess.CompletedProcess[str]) -> CompileRecord:
    said = f"{done.stdout}\n{done.stderr}"
    try:
        log = parse_log(said)
    except ModelError as error:
        return _none(path, CompileStatus.FAILED, f"{COMPILER} ended with status {done.returncode}: {error}")
    if done.returncode != 0 or log.error is not None or not target.is_file():
        reason = log.error or f"{COMPILER} ended with status {done.returncode} and wrote no {target.name}"
        return _none(path, CompileStatus.FAILED, reason, log)
    return CompileRecord(
        source_sha256=file_digest(path),
        status=CompileStatus.OK,
        reason=None,
        output=target.name,
        sha256=file_digest(target),
        log=log,
        compiled=inspect_compiled(target),
    )


def _none(path: Path, status: CompileStatus, reason: str, log: CompilerLog | None = None) -> CompileRecord:
    return CompileRecord(
        source_sha256=file_digest(path),
        status=status,
        reason=reason,
        output=None,
        sha256=None,
        log=log,
        compiled=None,
    )
