"""Backend `adb`: rounds of a benchmark tool on phones, one record for each phone.

A round runs every file on every phone: the phones side by side, the files one after the other, every second
round backwards. The tool tells figures of a round and no single runs, so a record holds `tool_ms` and no
`latency_ms`, and no sensitivity: the tool times noise and shows no output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from math import ceil
from statistics import median
from typing import Any

from edgekd.config import BenchConfig
from edgekd.console import duration, log, progress
from edgekd.plain import file_digest
from edgekd.runtimes.base import Engine
from edgekd_bench.adb import PhoneRecord, PhoneRequest, delegates_of, measure_phones, parse_adb
from edgekd_bench.adb_client import adb_server, choose, find_adb
from edgekd_bench.adb_output import AppliedDelegate, ToolReport
from edgekd_bench.adb_phone import PhoneFacts, PhoneState
from edgekd_bench.measure import Job, apart, model_facts, window_count
from edgekd_bench.record import BenchRecord, RoundLatency, ToolLatency, sustained
from edgekd_bench.round import SUSTAINED_WINDOW_S, Delegation, Device, Status, Window, label_of

EMULATOR = "Android's emulator"
_MIB, _ENOUGH_RUNS, _TAIL = 1 << 20, 50, 2.0
_ASYNCHRONOUS = "LiteRT's tool does not wait for the GPU: its latency is that of submitting the work"


@dataclass
class _Found:
    """What a job has shown so far; `broken` says why it is not tried again."""

    records: list[PhoneRecord] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    broken: tuple[Status, str] | None = None


@dataclass(frozen=True)
class _Group:
    """The same work on several phones: the places of its jobs, one for each."""

    request: PhoneRequest
    jobs: tuple[Job, ...]
    places: tuple[int, ...]


def on_phones(asked: str) -> tuple[str, ...]:
    """The backend `asked` once for each phone that it means.

    Raises:
        UsageError: a flag that cannot be meant.
        MissingError: no adb, or no benchmark tool.
        DeviceError: no phone is ready, or not the one asked for.
    """
    request = parse_adb(asked)
    with adb_server(find_adb()) as adb:
        return tuple(request.on(serial) for serial in choose(adb.devices(), request.serials))


def phone_records(jobs: Sequence[Job], config: BenchConfig, began: str) -> list[BenchRecord]:
    """The record of each of `jobs`, whose backends name one phone each; `began` is when the command did.

    Raises:
        MissingError: no adb.
    """
    found = [_Found() for _ in jobs]
    groups = _groups(jobs)
    with adb_server(find_adb()), progress("phones", len(groups) * config.rounds, "rounds") as advance:
        for turn in range(config.rounds):
            for group in groups if turn % 2 == 0 else reversed(groups):
                _one_round(group, found, config)
                advance(1, group.jobs[0].name)
        for group in groups if config.sustained_minutes else ():
            _sustain(group, found, window_count(config))
    return [_record(job, one, config, began) for job, one in zip(jobs, found, strict=True)]


def _groups(jobs: Sequence[Job]) -> list[_Group]:
    places: dict[tuple[object, ...], list[int]] = {}
    for place, job in enumerate(jobs):
        request = parse_adb(job.backend)
        work = (job.model, job.threads, request.tool, tuple(request.flags.items()))
        places.setdefault(work, []).append(place)
    return [
        _Group(parse_adb(jobs[same[0]].backend), tuple(jobs[place] for place in same), tuple(same))
        for same in places.values()
    ]


def _one_round(group: _Group, found: Sequence[_Found], config: BenchConfig) -> None:
    runs, seconds = ceil(config.min_runs / config.rounds), config.min_seconds / config.rounds
    flags = {"num_runs": str(runs), "min_secs": f"{seconds:g}", **group.request.flags}
    for one, record in _run(group, found, flags):
        one.records.append(record)


def _sustain(group: _Group, found: Sequence[_Found], windows: int) -> None:
    """The tool again and again, half a minute each: starting it is in the pauses, not in the figures."""
    log.info("%s: %s under load", group.jobs[0].name, duration(windows * SUSTAINED_WINDOW_S))
    flags = {**group.request.flags, "num_runs": "1", "min_secs": f"{SUSTAINED_WINDOW_S:g}"}
    for _ in range(windows):
        for one, record in _run(group, found, flags):
            one.windows.append(_window(record))


def _run(
    group: _Group, found: Sequence[_Found], flags: dict[str, str]
) -> Iterator[tuple[_Found, PhoneRecord]]:
    """The answers of those phones that never failed; one that fails now is marked so."""
    alive = [place for place in group.places if found[place].broken is None]
    if not alive:
        return
    serials = tuple(
        parse_adb(job.backend).serials[0]
        for job, place in zip(group.jobs, group.places, strict=True)
        if place in alive
    )
    request, job = replace(group.request, serials=serials, flags=flags), group.jobs[0]
    for place, record in zip(alive, measure_phones(job.model, job.threads, request), strict=True):
        reason = record.reason or _unusable(record.report)
        if reason is None:
            yield found[place], record
            continue
        found[place].records.append(record)
        found[place].broken = (record.status if record.reason else Status.FAILED), reason


def _unusable(report: ToolReport | None) -> str | None:
    if report is None or report.runs.median_ms is None:
        return "this build of the benchmark tool prints no median: take a newer one"
    return None


def _median_ms(record: PhoneRecord) -> float:
    return float(record.report.runs.median_ms or 0) if record.report else 0.0


def _window(record: PhoneRecord) -> Window:
    state, report = record.after, record.report
    return Window(
        p50_ms=_median_ms(record),
        n=report.runs.count if report else 0,
        temperature_c=state.temperature_c if state else None,
        frequency_mhz=max(state.frequency_mhz, default=None) if state else None,
    )


def _record(job: Job, found: _Found, config: BenchConfig, began: str) -> BenchRecord:
    request, first = parse_adb(job.backend), found.records[0]
    tool_digest = file_digest(request.tool)
    record = BenchRecord(
        model=model_facts(job, ()),
        requested_accelerator=label_of(job.backend),
        actual_accelerator=None,
        device=_device(first),
        versions={"edgekd": version("edgekd"), request.tool.name: f"sha256 {tool_digest}"},
        threads=job.threads,
        rounds=0,
        measured_at=began,
        status=found.broken[0] if found.broken else Status.OK,
        reason=found.broken[1] if found.broken else f"ran on {EMULATOR}: correctness only, no latency",
    )
    if found.broken:
        return record
    emulated = first.facts is not None and first.facts.emulated
    actual = EMULATOR if emulated else first.actual_accelerator
    engine = Engine(
        name=request.tool.name,
        version=tool_digest[:12],
        kernels="as the tool chooses",
        threads=job.threads,
        isa=record.device.isa,
        accelerator=actual or "unknown",
    )
    seen = replace(
        record, actual_accelerator=actual, engine=engine, rounds=len(found.records), **_graph(request, first)
    )
    return seen if emulated else _measured(seen, request, found, config)


def _measured(record: BenchRecord, request: PhoneRequest, found: _Found, config: BenchConfig) -> BenchRecord:
    reports = [one.report for one in found.records if one.report is not None]
    return replace(
        record,
        reason=None,
        tool_ms=_latency(reports),
        rounds_ms=tuple(
            RoundLatency(p50=_median_ms(one), p90=None, n=report.runs.count)
            for one, report in zip(found.records, reports, strict=True)
        ),
        init_ms=median(report.init_ms for report in reports),
        peak_memory_bytes=_peak(reports),
        noise=_noise(request, reports, config),
        sustained=sustained(found.windows),
    )


def _latency(reports: Sequence[ToolReport]) -> ToolLatency:
    runs = [report.runs for report in reports]
    n = sum(one.count for one in runs)
    p95 = [one.p95_ms for one in runs if one.p95_ms is not None]
    firsts = [report.first_ms for report in reports if report.first_ms is not None]
    return ToolLatency(
        min=min(one.min_ms for one in runs),
        p50=median(float(one.median_ms or 0) for one in runs),
        p95=median(p95) if p95 else None,
        mean=sum(one.mean_ms * one.count for one in runs) / n,
        first=median(firsts) if firsts else None,
        n=n,
    )


def _peak(reports: Sequence[ToolReport]) -> int | None:
    """What the tool grew by at most; without periodic watching, what it had grown by at its end."""
    megabytes = [
        peak for report in reports if (peak := report.memory_peak_mb or report.memory_overall_mb) is not None
    ]
    return int(max(megabytes) * _MIB) if megabytes else None


def _noise(request: PhoneRequest, reports: Sequence[ToolReport], config: BenchConfig) -> tuple[str, ...]:
    runs = [report.runs for report in reports]
    n, slowest = sum(one.count for one in runs), max(one.max_ms for one in runs)
    spread, fastest = apart([float(one.median_ms or 0) for one in runs]), min(one.min_ms for one in runs)
    reasons = {
        _ASYNCHRONOUS: request.accelerator == "gpu" and "litert" in request.tool.name.lower(),
        f"only {n} runs": n < min(_ENOUGH_RUNS, config.min_runs),
        spread: spread is not None,
        f"the slowest run took {slowest / fastest:.1f} times the fastest": slowest > _TAIL * fastest,
    }
    return tuple(reason for reason, holds in reasons.items() if reason and holds)


def _graph(request: PhoneRequest, first: PhoneRecord) -> dict[str, Any]:
    """How the graph was divided: by the delegate that was asked for, or on the CPU by XNNPACK."""
    taken = delegates_of(request.accelerator, first.report) if first.report else []
    if not taken or first.report is None:
        return {"delegation": None, "partitions": None}
    return {"delegation": _delegation(taken[0], first.report), "partitions": taken[0].partitions}


def _delegation(applied: AppliedDelegate, report: ToolReport) -> Delegation:
    """The tool tells how many nodes were taken, not in which pieces, and names each kind refused."""
    rest = applied.of - applied.nodes
    named = dict.fromkeys(list(report.untaken)[:rest], 1)
    others = rest - len(named)
    return Delegation(
        nodes=applied.of,
        nodes_per_partition=(applied.nodes,) if applied.nodes else (),
        left_out={**named, **({"others beside them": others} if others else {})},
    )


def _device(first: PhoneRecord) -> Device:
    facts, state = first.facts, first.before
    if facts is None:
        facts = PhoneFacts(
            serial=first.serial, manufacturer=None, model=None, android=None, sdk=None, abis=(), soc=None
        )
    clocks = state.frequency_mhz if state else ()
    return Device(
        cpu=_name(facts),
        isa=facts.abis[0] if facts.abis else "unknown",
        cores=facts.cores or len(clocks),
        os=f"Android {facts.android or 'of unknown version'} (SDK {facts.sdk or 'unknown'})",
        governor="/".join(state.governors) or None if state else None,
        frequency_mhz=max(clocks, default=None),
        load_average_1min=None,
        temperature_c=_warmth(state),
    )


def _name(facts: PhoneFacts) -> str:
    maker = " ".join(word for word in (facts.manufacturer, facts.model) if word)
    return ", ".join(word for word in (maker, facts.soc) if word) or f"the phone {facts.serial}"


def _warmth(state: PhoneState | None) -> float | None:
    if state is None:
        return None
    return state.temperature_c if state.temperature_c is not None else state.battery_temperature_c
