"""Where the time of a file goes, operator by operator: `edgekd profile MODEL [--out DIR]`.

    profile.json          the record (schema edgekd.profile/1)
    profile.svg, .png     time by layer, and each operator under the roofline

Measured: the time of each operator on LiteRT's CPU kernels, and the machine's peaks. Computed from the file:
multiply-adds, bytes, and the least time the roofline allows.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from edgekd import console
from edgekd.errors import DeviceError
from edgekd.plain import file_digest, from_plain, write_json, write_text
from edgekd.runtimes.base import Engine, isa
from edgekd_bench.device import describe_device
from edgekd_bench.profile_graph import Operation, assign, operations, runs_in_eight_bits
from edgekd_bench.profile_litert import Event, Events, ProfileRequest
from edgekd_bench.roofline import Peaks, least_ms
from edgekd_bench.round import Device

SCHEMA = "edgekd.profile/1"
RUNS = 100
TIMEOUT_S = 300.0
_NONE = "–"
_EXPORTED = "model.tflite"  # all files of a run are called so: their folder says which


@dataclass(frozen=True, kw_only=True)
class OperatorTime:
    """One operator as it ran.

    `kernel` is the engine's name for what did it; `number`, `kind` and `layer` are its place, operator and
    Keras layer in the file, as the kernel was recognised (null, the kernel and "–" where it was not). `ms` is
    the interquartile mean over the runs, `share` its part of the sum of all operators. `least_ms` is what the
    roofline allows, `bound` whether compute or memory sets it, `of_roofline` = least_ms / ms; null without
    peaks, for an operator that was not recognised, and for one too short for the clock (1 µs).
    """

    kernel: str
    number: int | None
    kind: str
    layer: str
    ms: float
    share: float
    macs: int | None
    bytes_moved: int | None
    gmac_per_s: float | None
    least_ms: float | None
    bound: str | None
    of_roofline: float | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Operators of one kind or one layer together."""

    name: str
    count: int
    ms: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Where the time of one file goes (schema edgekd.profile/1).

    `invoke_ms` is the whole run under the profiler, `between_ms` what no operator accounts for. `runs` after
    warm-up. `peaks` is null when they were not measured.
    """

    schema: str = SCHEMA
    name: str
    sha256: str
    size_bytes: int
    engine: Engine
    device: Device
    threads: int
    runs: int
    invoke_ms: float
    between_ms: float
    operators: tuple[OperatorTime, ...]
    by_kind: tuple[Group, ...]
    by_layer: tuple[Group, ...]
    peaks: Peaks | None


def profile(path: Path, *, threads: int = 1, runs: int = RUNS, peaks: Peaks | None = None) -> Profile:
    """The profile of the .tflite file `path` on LiteRT's XNNPACK kernels, set against `peaks` if given.

    Raises:
        ModelError: the file is missing, damaged or no .tflite file.
        DeviceError: this LiteRT has no profiler that answers, or it crashed; the reason is in the message.
    """
    work = operations(path)
    events = _events(ProfileRequest(model=str(path.resolve()), threads=threads, runs=runs))
    total = sum(event.ms for event in events.events)
    times = tuple(
        _time(event, operation, total, peaks)
        for event, operation in zip(events.events, assign(events.events, work), strict=True)
    )
    return Profile(
        name=path.parent.name if path.name == _EXPORTED else path.stem,
        sha256=file_digest(path),
        size_bytes=path.stat().st_size,
        engine=Engine(
            name="ai-edge-litert",
            version=version("ai-edge-litert"),
            kernels="xnnpack",
            threads=threads,
            isa=isa(),
        ),
        device=describe_device(),
        threads=threads,
        runs=runs,
        invoke_ms=events.invoke_ms,
        between_ms=events.invoke_ms - total,
        operators=times,
        by_kind=grouped(times, lambda one: one.kind),
        by_layer=grouped(times, lambda one: one.layer),
        peaks=peaks,
    )


def grouped(times: Sequence[OperatorTime], name: Callable[[OperatorTime], str]) -> tuple[Group, ...]:
    """The operators summed by `name`, the longest first."""
    members: dict[str, list[OperatorTime]] = {}
    for one in times:
        members.setdefault(name(one), []).append(one)
    groups = [
        Group(name=key, count=len(m), ms=sum(o.ms for o in m), share=sum(o.share for o in m))
        for key, m in members.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.ms, group.name)))


def _events(request: ProfileRequest) -> Events:
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        path = Path(folder) / "request.json"
        write_json(path, request)
        command = [sys.executable, "-m", "edgekd_bench.profile_litert", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise _unavailable(f"not done after {TIMEOUT_S:g} s") from error
    if done.returncode < 0:
        raise _unavailable(f"the engine crashed ({signal.Signals(-done.returncode).name})")
    if done.returncode > 0 or not done.stdout:
        raise _unavailable((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    answer = json.loads(done.stdout)
    if "unavailable" in answer:
        raise _unavailable(answer["unavailable"])
    return from_plain(Events, answer, "events")


def _unavailable(reason: str) -> DeviceError:
    return DeviceError(f"times of single operators are unavailable: {reason}")


def _time(event: Event, operation: Operation | None, total: float, peaks: Peaks | None) -> OperatorTime:
    macs, moved = (operation.macs, operation.bytes_moved) if operation else (None, None)
    least, bound = None, None
    if peaks is not None and operation is not None:
        eight_bit = runs_in_eight_bits(event, operation)
        least, bound = least_ms(peaks, macs=macs or 0, bytes_moved=moved or 0, eight_bit=eight_bit)
    return OperatorTime(
        kernel=event.kernel,
        number=operation.number if operation else None,
        kind=operation.kind if operation else event.kernel,
        layer=operation.layer if operation else _NONE,
        ms=event.ms,
        share=event.ms / total if total else 0.0,
        macs=macs,
        bytes_moved=moved,
        gmac_per_s=macs / event.ms / 1e6 if macs and event.ms else None,
        least_ms=least,
        bound=bound,
        of_roofline=least / event.ms if least is not None and event.ms else None,
    )


HEAD = ("layer", "operator", "kernel", "ms", "share", "MMAC", "kB", "GMAC/s", "of roofline", "bound by")


def rows(found: Profile, count: int | None = None) -> list[tuple[str, ...]]:
    """The cells of the `count` longest operators, as `HEAD` names them."""
    longest = sorted(found.operators, key=lambda one: -one.ms)[:count]
    return [
        (
            one.layer,
            one.kind,
            one.kernel,
            f"{one.ms:.3f}",
            f"{one.share:.1%}",
            _number(one.macs and one.macs / 1e6, ".2f"),
            _number(one.bytes_moved and one.bytes_moved / 1e3, ".0f"),
            _number(one.gmac_per_s, ".1f"),
            _number(one.of_roofline, ".0%"),
            one.bound or _NONE,
        )
        for one in longest
    ]


def _number(value: float | None, form: str) -> str:
    return _NONE if value is None else format(value, form)


def emit_profile(found: Profile, *, count: int | None = None) -> None:
    """Print the operators, longest first, and the sums by kind."""
    title = f"{found.name}: {found.invoke_ms:.3f} ms under the profiler, {found.engine.describe()}"
    console.emit_table(title, HEAD, rows(found, count))
    kinds = [(g.name, str(g.count), f"{g.ms:.3f}", f"{g.share:.1%}") for g in found.by_kind]
    outside = ("between operators", "", f"{found.between_ms:.3f}", "")
    console.emit_table("", ("operator", "count", "ms", "share"), [*kinds, outside])
    if found.peaks is not None:
        peaks = found.peaks
        console.emit_text(
            f"measured peaks, {peaks.threads} threads: float32 {peaks.float32_gmac_per_s:.0f} GMAC/s, int8 "
            f"{peaks.int8_gmac_per_s:.0f} GMAC/s; copies of "
            + ", ".join(f"{one.copy_bytes / 1e6:.1f} MB {one.gb_per_s:.1f} GB/s" for one in peaks.bandwidths)
        )


def write_profile(found: Profile, out: Path) -> None:
    """Write `profile.json`, `profile.svg` and `profile.png` to the folder `out`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    from edgekd_bench.profile_page import picture

    out.mkdir(parents=True, exist_ok=True)
    svg, png = picture(found)
    write_text(out / "profile.svg", svg)
    (out / "profile.png").write_bytes(png)
    write_json(out / "profile.json", found)
