"""The run folder: one folder per station, each whole or absent, each with the record of what made it.

key = sha256 of the canonical JSON of {step, version, config, facts, inputs, tools}. A step works in
`.<station>.tmp/` and is renamed when whole, so a kill at any moment leaves nothing that looks finished;
what a killed step left there is handed back to it when its key is still the same.
"""

from __future__ import annotations

import enum
import fcntl
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgekd.console import duration, log
from edgekd.errors import RunBusyError, UsageError, storage_errors
from edgekd.plain import digest, file_digest, to_plain, write_json

RECORD = "step.json"
SCHEMA = "edgekd.step/1"
PROVENANCE = "timing.jsonl"
_KEY = ".key"


class State(enum.StrEnum):
    """What the run folder holds of a step."""

    KEPT = "kept"
    STALE = "stale"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One station of the line, ready to be made.

    `make(out)` writes files below `out` and returns metrics. `config` and `facts` (digests of what lies
    outside the run folder) are part of the key, as are the outputs of the stations it `needs` (but for the
    files it leaves `unread`, station → names) and the versions of the distributions `tools`. Raise `version`
    when the code changes the bytes it makes.
    """

    name: str
    make: Callable[[Path], Mapping[str, float]]
    config: Any
    version: int = 1
    needs: tuple[str, ...] = ()
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    tools: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """The state of a step and, unless it is kept, why."""

    state: State
    reason: str = ""


def tool_versions(tools: tuple[str, ...]) -> dict[str, str]:
    """Distribution name to installed version, "absent" where it is not installed."""
    return {tool: _version(tool) for tool in tools}


def _version(tool: str) -> str:
    try:
        return version(tool)
    except PackageNotFoundError:
        return "absent"


@dataclass(frozen=True)
class Run:
    """A run folder; `root` need not exist yet."""

    root: Path

    def folder(self, name: str) -> Path:
        """Where the finished outputs of station `name` lie."""
        return self.root / name

    def record(self, name: str) -> dict[str, Any] | None:
        """The step.json of station `name`; None where it is missing or not a record."""
        return _read_record(self.folder(name))

    def identity(self, step: Step) -> dict[str, Any]:
        """Everything the bytes of `step` depend on, as plain JSON."""
        return {
            "step": step.name,
            "version": step.version,
            "config": to_plain(step.config),
            "facts": dict(step.facts),
            "inputs": {need: self._outputs_digest(need, step.unread.get(need, ())) for need in step.needs},
            "tools": tool_versions(step.tools),
        }

    def find(self, step: Step) -> Finding:
        """Whether `step` is kept, stale (through which field) or missing; its outputs are hashed."""
        if not self.folder(step.name).is_dir():
            return Finding(State.MISSING, "never made")
        record = self.record(step.name)
        if record is None:
            return Finding(State.MISSING, f"{RECORD} is gone or unreadable")
        identity = self.identity(step)
        if record["key"] != digest(identity):
            return Finding(State.STALE, _difference(record, identity))
        changed = _tampered(self.folder(step.name), record["outputs"])
        return Finding(State.STALE, changed) if changed else Finding(State.KEPT)

    def do(self, step: Step, *, force: bool = False) -> dict[str, Any]:
        """The record of `step`, which is made when it is missing or stale, or when `force` says so."""
        self._recover(step.name)
        finding = self.find(step)
        if finding.state is State.KEPT and not force:
            log.info("%-8s kept", step.name)
            return self.record(step.name) or {}
        log.info("%-8s %s", step.name, "forced" if finding.state is State.KEPT else _announce(finding))
        with storage_errors(self.root):
            return self._make(step, fresh=force)

    def _make(self, step: Step, *, fresh: bool) -> dict[str, Any]:
        identity = self.identity(step)
        key = digest(identity)
        work = self.root / f".{step.name}.tmp"
        if fresh or _read_key(work) != key:
            shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        (work / _KEY).write_text(key, encoding="utf-8")
        began = time.monotonic()
        metrics = step.make(work)
        seconds = time.monotonic() - began
        record = {
            "schema": SCHEMA,
            "key": key,
            **identity,
            "outputs": _outputs(work),
            "metrics": dict(metrics),
            "provenance": _provenance(seconds),
        }
        write_json(work / RECORD, record)
        self._promote(step.name)
        log.info("%-8s made in %s", step.name, duration(seconds))
        return record

    def _promote(self, name: str) -> None:
        work, final, old = self.root / f".{name}.tmp", self.folder(name), self.root / f".{name}.old"
        (work / _KEY).unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            final.rename(old)
        work.rename(final)
        shutil.rmtree(old, ignore_errors=True)

    def _recover(self, name: str) -> None:
        """Finish the renames a kill may have interrupted."""
        work, old = self.root / f".{name}.tmp", self.root / f".{name}.old"
        if _read_record(work) is not None:
            self._promote(name)
        elif old.exists() and not self.folder(name).exists():
            old.rename(self.folder(name))
        shutil.rmtree(old, ignore_errors=True)

    def _outputs_digest(self, name: str, unread: Collection[str]) -> str:
        record = self.record(name)
        if record is None:
            return "missing"
        return digest({path: sha256 for path, sha256 in record["outputs"].items() if path not in unread})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this run folder for one process; the lock dies with the process.

        Raises:
            RunBusyError: another process holds it.
        """
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("a+", encoding="utf-8")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise RunBusyError(
                    f"{self.root} is in use by another edgekd (process {holder}); "
                    "wait for it, or give this run its own --out"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield


def require_run(root: Path) -> Run:
    """The run folder at `root`.

    Raises:
        UsageError: there is no experiment.json in it.
    """
    if not (root / "experiment.json").is_file():
        raise UsageError(f"{root} is not a run folder: no experiment.json; make one with edgekd run")
    return Run(root)


def _announce(finding: Finding) -> str:
    return (
        "making" if finding.reason == "never made" else f"{finding.state}: {finding.reason}; making it again"
    )


def _read_record(folder: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(record, dict) and record.get("schema") == SCHEMA
    return record if whole and {"key", "outputs", "metrics"} <= record.keys() else None


def _read_key(work: Path) -> str:
    try:
        return (work / _KEY).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _outputs(folder: Path) -> dict[str, str]:
    skipped = {RECORD, _KEY}
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in files
        if path.name not in skipped and path.name != PROVENANCE
    }


def _tampered(folder: Path, outputs: Mapping[str, str]) -> str:
    for name, expected in outputs.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is gone"
        if file_digest(path) != expected:
            return f"{name} was changed"
    return ""


def _difference(record: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    """The first fields in which a record and what is wanted now differ, as `config.a.b: 1 → 2`."""
    before, now = _flat(record), _flat(identity)
    changed = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    shown = [f"{name}: {_brief(before.get(name))} → {_brief(now.get(name))}" for name in changed[:3]]
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return "; ".join(shown) + more or "key"


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ("version", "config", "facts", "inputs", "tools")
    flat: dict[str, Any] = {}
    _flatten({name: identity.get(name) for name in wanted}, "", flat)
    return flat


def _flatten(value: Any, where: str, into: dict[str, Any]) -> None:
    if isinstance(value, Mapping):
        for name, item in value.items():
            _flatten(item, f"{where}.{name}" if where else str(name), into)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _flatten(item, f"{where}[{number}]", into)
    else:
        into[where] = value


def _brief(value: Any) -> str:
    text = str(value)
    return f"{text[:8]}…" if len(text) == 64 else text


def _provenance(seconds: float) -> dict[str, Any]:
    return {
        "argv": sys.argv,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "seconds": round(seconds, 3),
        "edgekd": _version("edgekd"),
    }
