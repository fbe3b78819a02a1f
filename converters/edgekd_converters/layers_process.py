"""`ask`: one question to a module of this package that works in a process of its own, within a time limit.

Native code may crash or hang on a damaged file; then the process ends, and the caller gets one line.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edgekd.errors import ContractError, DataError, EdgekdError, ModelError, UsageError
from edgekd.plain import from_plain, read_json, write_json

A = TypeVar("A")
_STDERR_LINES = 3
_KINDS: tuple[type[EdgekdError], ...] = (ModelError, ContractError, DataError, UsageError)


@dataclass(frozen=True, kw_only=True)
class Told:
    """An error on its way home: the name of its class and its message."""

    kind: str
    error: str


def ask(module: str, request: Any, kind: type[A], *, timeout_s: float, what: str) -> A:
    """What `module` (run as `python -m`) answers to `request`, as an instance of the dataclass `kind`.

    `what` names the file and the work, for errors.

    Raises:
        EdgekdError: what the module raised itself.
        ModelError: it crashed, or took longer than `timeout_s`.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        question = Path(folder, "request.json")
        write_json(question, request)
        command = [sys.executable, "-m", module, str(question)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False, timeout=timeout_s
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"{what}: not done after {timeout_s:.0f} s") from error
        if done.returncode != 0:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            said = " | ".join(lines[-_STDERR_LINES:]) or "it said nothing"
            raise ModelError(f"{what}: crashed (exit status {done.returncode}): {said}")
        answer = read_json(_answer(question))
    if set(answer) == {"kind", "error"}:
        raise _home(from_plain(Told, answer))
    return from_plain(kind, answer)


def serve(question: Path, request: type[Any], work: Callable[[Any], Any]) -> None:
    """Answer the request of `ask` in `question` with `work`; the other half of it."""
    asked = from_plain(request, read_json(question))
    try:
        answer = work(asked)
    except EdgekdError as error:
        kind = next((kind for kind in _KINDS if isinstance(error, kind)), ModelError)
        answer = Told(kind=kind.__name__, error=str(error))
    write_json(_answer(question), answer)


def _answer(question: Path) -> Path:
    return question.with_name("answer.json")


def _home(told: Told) -> EdgekdError:
    return next(kind for kind in _KINDS if kind.__name__ == told.kind)(told.error)
