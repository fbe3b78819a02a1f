"""Numbers as text: one way to write a fraction, an interval, a size, a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekd.metrics.intervals import Estimate
from edgekd.metrics.paired import Verdict
from edgekd.report.blocks import Cell, Tone

ABSENT = "–"
_MINUS = "−"
_HUGE = 1e4
_SPACE = "\u00a0"  # a number stays on one line with its unit
_TONES = {Verdict.PASSED: Tone.GOOD, Verdict.FAILED: Tone.BAD, Verdict.UNDECIDED: Tone.OPEN}


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """`value` with `digits` decimals (a huge one with its exponent); a dash where there is none."""
    if value is None:
        return ABSENT
    kind = f".{digits}f" if abs(value) < _HUGE else ".2e"
    text = f"{value:{'+' if signed else ''}{kind}}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", _MINUS)


def whole(value: float | None) -> str:
    """A count, with thin spaces between thousands from 10,000 on."""
    if value is None:
        return ABSENT
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 10_000 else f"{value:.0f}"


def interval(estimate: Estimate, *, signed: bool = False) -> str:
    """The bounds, as `[0.840, 0.950]`."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = (number(bound, 3, signed=signed) for bound in (estimate.low, estimate.high))
    return f"[{low},{_SPACE}{high}]"


def estimate(value: Estimate | None, *, counts: str = "", signed: bool = False) -> Cell:
    """An estimate over its interval; `counts` says of how many images."""
    if value is None or value.value is None:
        return Cell(text=ABSENT, note=counts)
    parts = (interval(value, signed=signed), counts)
    return Cell(text=number(value.value, signed=signed), note=", ".join(part for part in parts if part))


def share(part: int, total: int) -> str:
    """`part` of `total` in per cent."""
    return f"{100 * part / total:.1f}{_SPACE}%" if total else ABSENT


def megabytes(size_bytes: float | None) -> str:
    """Bytes as MB of 10⁶ bytes."""
    return ABSENT if size_bytes is None else f"{size_bytes / 1e6:.2f}{_SPACE}MB"


def mebibytes(size_bytes: float | None) -> str:
    """Memory in MiB of 2²⁰ bytes."""
    return ABSENT if size_bytes is None else f"{size_bytes / 2**20:.1f}{_SPACE}MiB"


def milliseconds(value: float | None) -> str:
    """A latency, three significant digits."""
    if value is None:
        return ABSENT
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}{_SPACE}ms"


def threads(count: int) -> str:
    """`1 thread`, `2 threads`."""
    return f"{count} thread{'' if count == 1 else 's'}"


def verdict(value: Verdict | None) -> Cell:
    """The verdict with its colour."""
    return Cell(text="not verified") if value is None else Cell(text=value.value, tone=_TONES[value])


def engine(value: Any) -> str:
    """The engine of an evaluation in one line."""
    if not isinstance(value, Mapping):
        return str(value)
    parts = [f"{value.get('name', '')} {value.get('version', '')}".strip(), str(value.get("kernels") or "")]
    parts += [threads(value["threads"]) if value.get("threads") else "", str(value.get("isa") or "")]
    return ", ".join(part for part in parts if part)


def probability(p: float) -> str:
    """A p value: three decimals, or `< 0.001`."""
    return "< 0.001" if p < 0.001 else number(p)
