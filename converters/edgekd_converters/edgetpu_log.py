"""What `edgetpu_compiler` printed, as a record."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekd.errors import ModelError
from edgekd_converters.edgetpu_rules import MAPPED

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = r"([\d.]+)\s*(B|KiB|MiB|GiB)"
_ROW = re.compile(r"^(\S+)\s+(\d+)\s{2,}(\S.*?)\s*$")
_FAILED = re.compile(
    r"^(Compilation failed.*|Invalid model.*|Model not quantized.*|Internal compiler error.*)$"
)
_MAX_CHARACTERS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class LogRow:
    """So many operators of a kind and what became of them, in the compiler's words."""

    operator: str
    count: int
    status: str


@dataclass(frozen=True, kw_only=True)
class CompilerLog:
    """What the compiler said about a file; a field it did not print is null.

    Sizes are rounded to three digits by the compiler. `cached_bytes` of parameters stay on the chip,
    `streamed_bytes` are sent at every run. `mapped` and `on_cpu` count the operators of the table in `rows`,
    which is there with the option `-s` and in the log file. `error` is its own line when it failed.
    """

    version: str | None
    input_bytes: int | None
    output_bytes: int | None
    cached_bytes: int | None
    cache_left_bytes: int | None
    streamed_bytes: int | None
    subgraphs: int | None
    operators: int | None
    mapped: int
    on_cpu: int
    rows: tuple[LogRow, ...]
    error: str | None


def parse_log(text: str) -> CompilerLog:
    """The record of what the compiler printed: its standard output, or with `-s` the table of operators too.

    Raises:
        ModelError: this is no output of the compiler, or its table contradicts its totals.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ModelError(f"a log of {len(text)} characters, expected at most {_MAX_CHARACTERS}")
    rows = _rows(text)
    mapped = sum(row.count for row in rows if row.status == MAPPED)
    found = CompilerLog(
        version=_word(text, r"Edge TPU Compiler version (\S+)"),
        input_bytes=_size(text, "Input size"),
        output_bytes=_size(text, "Output size"),
        cached_bytes=_size(text, "On-chip memory used for caching model parameters"),
        cache_left_bytes=_size(text, "On-chip memory (?:remaining|available) for caching model parameters"),
        streamed_bytes=_size(text, "Off-chip memory used for streaming uncached model parameters"),
        subgraphs=_number(text, "Number of Edge TPU subgraphs"),
        operators=_number(text, "Total number of operations"),
        mapped=mapped,
        on_cpu=sum(row.count for row in rows) - mapped,
        rows=rows,
        error=next((match[0] for line in text.splitlines() if (match := _FAILED.match(line.strip()))), None),
    )
    _check(found, _number(text, "Number of operations that will run on Edge TPU"))
    return found


def _check(found: CompilerLog, mapped: int | None) -> None:
    if found.version is None and not found.rows and found.error is None:
        raise ModelError("not a log of edgetpu_compiler: no version, no table of operators, no error in it")
    total = found.mapped + found.on_cpu
    if found.rows and found.operators not in (None, total):
        raise ModelError(f"a log of {found.operators} operators whose table holds {total}: it is incomplete")
    if found.rows and mapped not in (None, found.mapped):
        raise ModelError(f"a log of {mapped} mapped operators whose table holds {found.mapped}")


def _rows(text: str) -> tuple[LogRow, ...]:
    """The lines behind the head "Operator  Count  Status"."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.split() == ["Operator", "Count", "Status"]:
            break
    matches = (_ROW.match(line.strip()) for line in lines)
    return tuple(LogRow(operator=m[1], count=int(m[2]), status=m[3]) for m in matches if m)


def _word(text: str, pattern: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None


def _number(text: str, label: str) -> int | None:
    word = _word(text, rf"{label}: (\d+)")
    return None if word is None else int(word)


def _size(text: str, label: str) -> int | None:
    match = re.search(rf"{label}: {_SIZE}", text)
    return None if match is None else round(float(match[1]) * _UNITS[match[2]])
