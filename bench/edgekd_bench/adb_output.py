"""What a phone's benchmark tool printed, as figures: every known form of `benchmark_model`'s output.

The tool (TensorFlow Lite's `benchmark_model`, LiteRT's `benchmark_litert_model`) prints one `count=` line for
the warm-up and one for the measured runs, in microseconds, and at its end `Inference timings in us: …`. Older
builds have no percentiles, one run is `count=1 curr=…`, large averages come in scientific notation, and each
line may carry a log prefix (`INFO: `, logcat's date, process and tag). Output without the last line was cut
short: a number in it may be, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edgekd.errors import DeviceError

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_COUNT = re.compile(rf"\bcount=\d+(?: \w+={_NUMBER})+")
_FIELD = re.compile(rf"(\w+)=({_NUMBER})")
_SUMMARY = re.compile(
    rf"Inference timings in us: Init: (?P<init>{_NUMBER}), First inference: (?P<first>{_NUMBER}), "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): (?P<mean>{_NUMBER})"
    rf"|Average inference timings in us: Warmup: {_NUMBER}, Init: (?P<old_init>{_NUMBER}), "
    rf"(?:Inference|no stats): (?P<old_mean>{_NUMBER})"
)
_MEMORY = re.compile(rf"emory footprint[^:]*\(MB\): init=({_NUMBER}) overall=({_NUMBER})")
_PEAK = re.compile(rf"[Pp]eak memory footprint \(MB\) via periodic monitoring: ({_NUMBER})")
_REPLACED = re.compile(
    r"Replacing (\d+) out of (\d+) node\(s\) with delegate \(([^)]*)\) node, yielding (\d+) partitions"
)
_UNTAKEN = re.compile(r"Following operations are not supported by \S+ delegate")
_OPERATOR = re.compile(r"\b([A-Z][A-Z0-9_]{2,}): (.+)$")
_FELL_BACK = re.compile(
    r"will not be executed by the delegate|partially executed by the delegate|"
    r"operations will run on the GPU, and the remaining|[Ff]all(ing|s|en)?[ -]?back|"
    r"delegate is not (supported|available)|"
    r"[Ff]ailed to (apply|create|initialize) .*(delegate|accelerator)|Some ops are not accelerated|"
    r"nnapi-reference",
)
_PREFIX = re.compile(
    r"^(?:\d\d-\d\d \d\d:\d\d:\d\d\.\d+\s+(?:\d+\s+\d+\s+)?[VDIWEF][/ ][^:]*:\s)?(?:[VDIWEF]\s+\S+\s*:\s)?"
    r"(?:(?:VERBOSE|DEBUG|INFO|WARNING|ERROR|FATAL): )?"
)
_AGREE = 0.01
_SIGNALS = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV"}
# What the phone's shell (mksh) adds: a line "Segmentation fault " after a tool that a signal ended, and
# "tool: ./tool: not executable: 64-bit ELF file" (with status 1) for one it could not start as `tool`.
_OBITUARY = re.compile(
    r"(segmentation fault|aborted|abort|killed|bus error|illegal instruction|floating point exception)"
    r"( \(core dumped\))?",
    re.IGNORECASE,
)
_CANNOT_RUN = re.compile(
    r"^(?:E: )?(?:sh|tool): .*\./tool: .*(?:not executable|can't execute|not found|No such file|"
    r"[Pp]ermission denied|[Ee]xec format error)",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class ToolRuns:
    """Milliseconds of `count` runs; percentiles are null from builds that do not print them."""

    count: int
    first_ms: float
    min_ms: float
    max_ms: float
    mean_ms: float
    std_ms: float | None
    p5_ms: float | None
    median_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, kw_only=True)
class AppliedDelegate:
    """A delegate that replaced `nodes` of the `of` nodes it was shown, in `partitions` pieces."""

    name: str
    nodes: int
    of: int
    partitions: int


@dataclass(frozen=True, kw_only=True)
class ToolReport:
    """The figures of one run of the tool; null where this build does not print them.

    `warm_up` is null when it was switched off. Memory is what the tool itself grew by, in MB (2^20 bytes).
    `untaken` names the operators a GPU refused, `fallback` holds every line that says the CPU helped out.
    """

    warm_up: ToolRuns | None
    runs: ToolRuns
    init_ms: float
    first_ms: float | None
    memory_init_mb: float | None
    memory_overall_mb: float | None
    memory_peak_mb: float | None
    delegates: tuple[AppliedDelegate, ...]
    untaken: dict[str, str]
    fallback: tuple[str, ...]


def parse_output(text: str, tool: str = "the benchmark tool") -> ToolReport:
    """The figures in the output `text` of `tool`.

    Raises:
        DeviceError: it holds no measured runs (the last line is shown), or its figures contradict each other.
    """
    lines = [clean for line in text.splitlines() if (clean := _PREFIX.sub("", line.strip()).strip())]
    counted = list(dict.fromkeys(found[0] for line in lines if (found := _COUNT.search(line))))
    summary = _find(_SUMMARY, lines)
    if not counted or summary is None:
        raise DeviceError(f"{tool} gave no figures; its last line: {last_line(text)}")
    runs = _runs(counted[-1], tool)
    _check_agreement(runs, float(summary["mean"] or summary["old_mean"]) / 1000, tool)
    memory = _find(_MEMORY, lines)
    return ToolReport(
        warm_up=_runs(counted[-2], tool) if len(counted) > 1 else None,
        runs=runs,
        init_ms=float(summary["init"] or summary["old_init"]) / 1000,
        first_ms=float(summary["first"]) / 1000 if summary["first"] else None,
        memory_init_mb=float(memory[1]) if memory else None,
        memory_overall_mb=float(memory[2]) if memory else None,
        memory_peak_mb=float(peak[1]) if (peak := _find(_PEAK, lines)) else None,
        delegates=tuple(_delegates(lines)),
        untaken=dict(_untaken(lines)),
        fallback=tuple(dict.fromkeys(line for line in lines if _FELL_BACK.search(line))),
    )


def check_ending(text: str, status: int, *, tool: str, serial: str) -> None:
    """Nothing, when the phone's shell gave `status` 0 for a tool that printed `text`.

    Raises:
        DeviceError: it could not be started, a signal ended it, or it gave up; its own last line is shown.
    """
    if status == 0:
        return
    if refused := _CANNOT_RUN.search(text):
        said = last_line(text[refused.start() :])
        raise DeviceError(f"{serial} cannot run {tool} ({said}): take a build for this Android")
    if status > 128:
        name = _SIGNALS.get(status - 128, f"signal {status - 128}")
        own = [line for line in text.splitlines() if not _OBITUARY.fullmatch(line.strip())]
        said = last_line("\n".join(own))
        raise DeviceError(f"{tool} crashed on {serial} ({name}); its last line: {said}")
    raise DeviceError(f"{tool} ended with status {status} on {serial}; its last line: {last_line(text)}")


def last_line(text: str, limit: int = 200) -> str:
    """The last line of `text` that says something, at most `limit` characters of it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return repr(lines[-1][:limit]) if lines else "(it printed nothing)"


def _runs(line: str, tool: str) -> ToolRuns:
    fields = {name: float(value) for name, value in _FIELD.findall(line)}
    if "curr" in fields and fields["count"] == 1:
        fields = dict.fromkeys(("first", "min", "max", "avg"), fields["curr"]) | fields
    if not {"count", "first", "min", "max", "avg"} <= set(fields):
        raise DeviceError(f"{tool}: a line of its output is not understood: {line!r}")
    if not 0 < fields["min"] <= fields["avg"] * (1 + _AGREE) <= fields["max"] * (1 + _AGREE) ** 2:
        raise DeviceError(f"{tool}: the figures of a line contradict each other: {line!r}")
    milliseconds = {name: value / 1000 for name, value in fields.items()}
    return ToolRuns(
        count=int(fields["count"]),
        first_ms=milliseconds["first"],
        min_ms=milliseconds["min"],
        max_ms=milliseconds["max"],
        mean_ms=milliseconds["avg"],
        std_ms=milliseconds.get("std"),
        p5_ms=milliseconds.get("p5"),
        median_ms=milliseconds.get("median"),
        p95_ms=milliseconds.get("p95"),
    )


def _check_agreement(runs: ToolRuns, mean_ms: float, tool: str) -> None:
    """The average is printed twice, rounded to six digits; two tools writing at once would show here."""
    if abs(mean_ms - runs.mean_ms) > _AGREE * runs.mean_ms:
        raise DeviceError(
            f"{tool}: the output says {runs.mean_ms:g} ms on average and {mean_ms:g} ms at its end; "
            "run it alone"
        )


def _find(pattern: re.Pattern[str], lines: list[str]) -> re.Match[str] | None:
    return next((found for line in lines if (found := pattern.search(line))), None)


def _delegates(lines: list[str]) -> Iterator[AppliedDelegate]:
    for line in dict.fromkeys(lines):
        if found := _REPLACED.search(line):
            yield AppliedDelegate(
                name=found[3], nodes=int(found[1]), of=int(found[2]), partitions=int(found[4])
            )


def _untaken(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The `OPERATOR: reason` lines that follow the announcement."""
    listing = False
    for line in lines:
        found = _OPERATOR.match(line)
        if listing and found:
            yield found[1], found[2]
        listing = bool(_UNTAKEN.search(line)) or (listing and found is not None)
