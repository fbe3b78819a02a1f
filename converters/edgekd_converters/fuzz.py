"""Hundreds of damaged and malicious model files against everything that reads them.

    python -m edgekd_converters.fuzz [--count 1000] [--seed 1] [--json] [--keep DIR] [FILE…]

Copy number N of a run is a function of the files, the seed and N, so any offender can be made again with
`--seed SEED --only N`. Exit code 3 when a reader crashed or hung; crashes of native code in a process that
edgekd gives it for that reason are counted, and edgekd's answer to each is checked.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgekd.console import configure, duration, emit_json, emit_table, log, progress
from edgekd.errors import ContractError, EdgekdError, UsageError
from edgekd_converters.fuzz_mutations import mutate
from edgekd_converters.fuzz_samples import samples
from edgekd_converters.fuzz_worker import CONTAINED_BY, READERS, Answer, Outcome, Reader, Worker
from edgekd_converters.metadata_front import read_model

SCHEMA = "edgekd.fuzz/1"
LIMIT_S, SLOW_S = 30.0, 2.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One reader on one copy that did not simply read or refuse it; `seconds` are the processor's."""

    number: int
    file: str
    change: str
    reader: str
    outcome: str
    detail: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FuzzReport:
    """What became of every reader on every copy (schema edgekd.fuzz/1).

    `outcomes` counts by reader and outcome, and as `slow` the calls of more than two processor seconds.
    `findings` are the calls that crashed, hung, were contained or slow.
    """

    schema: str = SCHEMA
    seed: int
    count: int
    files: tuple[str, ...]
    outcomes: dict[str, dict[str, int]]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether no reader crashed or hung."""
        return not any(found.outcome in (Outcome.CRASH, Outcome.HANG) for found in self.findings)


def fuzz(
    files: Mapping[str, bytes],
    *,
    numbers: Sequence[int],
    seed: int,
    jobs: int = 2,
    limit_s: float = LIMIT_S,
    keep: Path | None = None,
) -> FuzzReport:
    """Run the readers on copy number n of `files` (name → bytes) for each n of `numbers`.

    `jobs` copies at a time; a call that takes `limit_s` of processor time hangs. Copies with findings are
    written to the folder `keep`.

    Raises:
        UsageError: a file has a suffix nothing reads.
    """
    _check(files)
    began = time.monotonic()
    counts: Counter[tuple[str, str]] = Counter()
    findings: list[Finding] = []
    with (
        tempfile.TemporaryDirectory(prefix="edgekd-fuzz-") as folder,
        _Crew(limit_s, Path(folder)) as crew,
        ThreadPoolExecutor(jobs) as pool,
        progress("fuzz", len(numbers), "files") as advance,
    ):
        for found in pool.map(lambda number: _try(crew, files, seed, number), numbers):
            counts.update((call.reader, call.outcome) for call in found.calls)
            counts.update((call.reader, "slow") for call in found.calls if call.seconds > SLOW_S)
            findings += found.findings
            _keep(keep, found)
            advance(1, f"{len(findings)} findings")
    return FuzzReport(
        seed=seed,
        count=len(numbers),
        files=tuple(files),
        outcomes=_by_reader(counts),
        findings=tuple(findings),
        seconds=round(time.monotonic() - began, 1),
    )


@dataclass(frozen=True)
class _Copy:
    name: str
    data: bytes
    calls: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        plain = (Outcome.READ, Outcome.REFUSED)
        return tuple(call for call in self.calls if call.outcome not in plain or call.seconds > SLOW_S)


class _Crew:
    """Workers of each thread, one for each memory limit; native code has others, it may spoil its process."""

    def __init__(self, limit_s: float, folder: Path) -> None:
        self.folder = folder
        self._limit_s = limit_s
        self._own = threading.local()
        self._all: list[Worker] = []

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._all:
            worker.stop()

    def run(self, reader: Reader, path: Path) -> Answer:
        workers: dict[str, Worker] = vars(self._own)
        kind = f"{reader.native} {reader.memory_bytes}"
        if kind not in workers:
            workers[kind] = Worker(self._limit_s, reader.memory_bytes)
            self._all.append(workers[kind])
        return workers[kind].run(reader, path)


def _try(crew: _Crew, files: Mapping[str, bytes], seed: int, number: int) -> _Copy:
    file = list(files)[number % len(files)]
    suffix = Path(file).suffix
    change, data = mutate(files[file], suffix, seed=seed, number=number)
    path = crew.folder / f"{number}{suffix}"
    path.write_bytes(data)
    calls = []
    for name, reader in READERS[suffix].items():
        answer = crew.run(reader, path)
        if answer.outcome is Outcome.CONTAINED and name in CONTAINED_BY:
            answer = _contained(crew, name, path, answer)
        seconds = round(answer.seconds, 3)
        calls.append(
            Finding(
                number=number,
                file=file,
                change=change,
                reader=name,
                outcome=answer.outcome,
                detail=answer.detail,
                seconds=seconds,
            )
        )
    path.unlink()
    return _Copy(path.name, data, tuple(calls))


def _contained(crew: _Crew, name: str, path: Path, answer: Answer) -> Answer:
    """`answer`, if what edgekd calls in place of the reader that died really answers; else its failure."""
    real = crew.run(CONTAINED_BY[name], path)
    return real if real.outcome in (Outcome.CRASH, Outcome.HANG) else answer


def _keep(folder: Path | None, found: _Copy) -> None:
    if folder is not None and found.findings:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / found.name).write_bytes(found.data)


def _check(files: Mapping[str, bytes]) -> None:
    for name in files:
        if Path(name).suffix not in READERS:
            raise UsageError(f"{name}: nothing reads its suffix, expected one of {', '.join(READERS)}")
    if not files:
        raise UsageError("no files to change")


def _by_reader(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    names = dict.fromkeys(reader for readers in READERS.values() for reader in readers)
    outcomes = (*Outcome, "slow")
    seen = {reader for reader, _ in counts}
    return {
        name: {str(outcome): counts[name, outcome] for outcome in outcomes} for name in names if name in seen
    }


def _files(paths: Sequence[Path]) -> dict[str, bytes]:
    if paths:
        return {str(path): read_model(path) for path in paths}
    return samples()


def _show(report: FuzzReport) -> None:
    columns = ["reader", *Outcome, "slow"]
    rows = [[name, *map(str, counts.values())] for name, counts in report.outcomes.items()]
    emit_table(f"{report.count} files in {duration(report.seconds)}", columns, rows)
    for found in report.findings:
        log.info(
            "%s %s %s (%s): %s; again with --seed %d --only %d",
            found.outcome if found.seconds <= SLOW_S else f"{found.outcome}, {found.seconds:.1f} s",
            found.reader,
            found.file,
            found.change,
            found.detail,
            report.seed,
            found.number,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edgekd_converters.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="default: tiny built-in models")
    parser.add_argument("--count", type=int, default=1000, help="changed copies to make (1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="N", help="make copy number N alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="copies at a time")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the copies with findings there")
    parser.add_argument("--json", action="store_true", help="the whole report as one JSON document")
    parser.add_argument("--quiet", action="store_true")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    asked = _parser().parse_args(arguments)
    configure(quiet=asked.quiet)
    numbers = range(asked.count) if asked.only is None else [asked.only]
    try:
        files = _files(asked.files)
        report = fuzz(files, numbers=numbers, seed=asked.seed, jobs=asked.jobs, keep=asked.keep)
    except EdgekdError as error:
        sys.stderr.write(f"edgekd: {error}\n")
        return error.exit_code
    if asked.json:
        emit_json(report)
    else:
        _show(report)
    return 0 if report.passed else ContractError.exit_code


if __name__ == "__main__":
    sys.exit(main())
