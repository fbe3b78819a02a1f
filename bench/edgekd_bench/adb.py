"""Backend `adb`: a benchmark tool and a model, run on phones; several at once.

    adb[:SERIAL[,SERIAL…]|:all]?tool=PATH[&flag=value…]

The tool is TensorFlow Lite's `benchmark_model` or LiteRT's `benchmark_litert_model`, built for Android. It
times itself: its clock, warm-up and percentiles are its own, not those of the other backends, and single
runs are not to be had. The flags go to it as `--flag=value` (use_gpu=true, num_runs=200, …).
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from edgekd.errors import DeviceError, EdgekdError, ModelError, UsageError
from edgekd.plain import file_digest
from edgekd_bench.adb_client import adb_server, choose, find_adb
from edgekd_bench.adb_output import AppliedDelegate, ToolReport, check_ending, parse_output
from edgekd_bench.adb_phone import Phone, PhoneFacts, PhoneState, check_binary
from edgekd_bench.round import Status

SCHEMA = "edgekd.phone/1"
TOOL_TIMEOUT_S = 400.0
_NAME = "adb"
_FLAG = re.compile(r"[a-z][a-z0-9_]*")
_VALUE = re.compile(r"[A-Za-z0-9_.,:/+-]*")
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]")
_OWN_FLAGS = ("graph", "num_threads")
_TRUE = ("true", "1")
_ACCELERATORS = {"use_gpu": "gpu", "use_nnapi": "nnapi", "use_npu": "npu", "use_hexagon": "hexagon"}
_DELEGATES = {
    "gpu": r"gpu|webgpu|mldrift|litertdispatch",
    "nnapi": "nnapi",
    "npu": "dispatch|npu",
    "hexagon": "hexagon",
}
_NONE_TAKEN = "will not be executed by the delegate"
_ASYNCHRONOUS = "LiteRT's tool does not wait for the GPU: its latency is that of submitting the work"


@dataclass(frozen=True, kw_only=True)
class PhoneRequest:
    """Which phones (`serials`; empty: the only one, `all`: every one), which tool, and its flags."""

    serials: tuple[str, ...]
    tool: Path
    flags: Mapping[str, str]

    @property
    def accelerator(self) -> str:
        """What the flags ask for: gpu, nnapi, npu, hexagon, else cpu."""
        asked = (name for flag, name in _ACCELERATORS.items() if self.flags.get(flag) in _TRUE)
        return next(asked, "cpu")


@dataclass(frozen=True, kw_only=True)
class PhoneRecord:
    """One model on one phone (schema edgekd.phone/1); `status` and `reason` as in edgekd.bench/1.

    `actual_accelerator` is `cpu` when the one asked for took nothing, and null when that cannot be known;
    `noise` says why the latency is not to be compared. `before` and `after` frame the measurement.
    """

    schema: str = SCHEMA
    serial: str
    model_sha256: str
    tool: str
    tool_sha256: str | None
    flags: dict[str, str]
    threads: int
    requested_accelerator: str
    actual_accelerator: str | None
    status: Status
    reason: str | None
    facts: PhoneFacts | None
    before: PhoneState | None
    after: PhoneState | None
    report: ToolReport | None
    noise: tuple[str, ...]


def parse_adb(text: str) -> PhoneRequest:
    """The request in `adb:SERIAL,…?tool=PATH&flag=value`.

    Raises:
        UsageError: no tool, or a flag that cannot be meant.
    """
    head, _, query = text.partition("?")
    _, _, serials = head.partition(":")
    try:
        flags = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    except ValueError as error:
        raise UsageError(f"{text!r}: expected options as ?tool=PATH&flag=value") from error
    tool = flags.pop("tool", "")
    if not tool:
        raise UsageError(
            f"{text!r}: no benchmark tool, expected {_NAME}?tool=PATH of benchmark_model for Android"
        )
    for name, value in flags.items():
        if name in _OWN_FLAGS or not _FLAG.fullmatch(name) or not _VALUE.fullmatch(value):
            raise UsageError(f"{text!r}: {name}={value} cannot be handed to the tool")
    wanted = tuple(serial for serial in serials.split(",") if serial)
    return PhoneRequest(serials=wanted, tool=Path(tool), flags=flags)


def measure_phones(
    model: Path,
    threads: int,
    request: PhoneRequest,
    *,
    timeout_s: float = TOOL_TIMEOUT_S,
    keep: Path | None = None,
) -> list[PhoneRecord]:
    """The record of `model` on every phone of the request, measured side by side.

    A phone that fails is a record with a reason, and the others go on. `keep` is a folder for what the tool
    printed (`<serial>.txt`).

    Raises:
        MissingError: no adb.
        ModelError: no such model file.
        DeviceError: no phone, or none was chosen, or a chosen one is not ready.
    """
    if not model.is_file():
        raise ModelError(f"{model}: no such model file")
    job = _Job(model, threads, request, timeout_s, keep)
    with adb_server(find_adb()) as adb:
        serials = choose(adb.devices(), request.serials)
        with ThreadPoolExecutor(len(serials)) as pool:
            return list(pool.map(lambda serial: _measure(Phone(adb, serial), job), serials))


def require_device(records: Sequence[PhoneRecord]) -> None:
    """Nothing, when every phone answered and the accelerator asked for did all the work.

    Raises:
        DeviceError: the first phone that did not, and why.
    """
    for record in records:
        if record.report is None:
            raise DeviceError(record.reason or f"{record.serial} gave no figures")
        reason = fallback(record.requested_accelerator, record.report)
        if reason:
            raise DeviceError(f"{record.serial}: {reason}")


def actual_accelerator(asked: str, report: ToolReport) -> str | None:
    """What computed; null when the tool does not prove it.

    A line saying "not executed by the delegate" outweighs one saying "replaced": for NNAPI it prints both.
    """
    if asked == "cpu" or any(_NONE_TAKEN in line for line in report.fallback):
        return "cpu"
    taken = _delegates_of(asked, report)
    if not taken:
        return None
    return asked if any(applied.nodes for applied in taken) else "cpu"


def fallback(asked: str, report: ToolReport) -> str | None:
    """Why the accelerator `asked` for did not do all the work, in one line; None when it did."""
    actual = actual_accelerator(asked, report)
    if actual != asked:
        proof = "ran it on the CPU" if actual == "cpu" else "shows no proof of it"
        return f"was asked for {asked} and {proof}"
    if asked != "cpu" and report.fallback:
        return f"{asked} did not do it all: {report.fallback[0]}"
    part = next((one for one in _delegates_of(asked, report) if one.nodes < one.of), None)
    return f"{asked} took {part.nodes} of {part.of} nodes" if part else None


def _delegates_of(asked: str, report: ToolReport) -> list[AppliedDelegate]:
    names = re.compile(_DELEGATES.get(asked, "(?!)"), re.IGNORECASE)
    return [applied for applied in report.delegates if names.search(applied.name)]


@dataclass(frozen=True)
class _Job:
    """What every phone is asked for."""

    model: Path
    threads: int
    request: PhoneRequest
    timeout_s: float
    keep: Path | None


@dataclass
class _Found:
    """What is known about a phone so far; a failure keeps what came before it."""

    facts: PhoneFacts | None = None
    before: PhoneState | None = None
    after: PhoneState | None = None
    report: ToolReport | None = None


def _measure(phone: Phone, job: _Job) -> PhoneRecord:
    found = _Found()
    status, reason = _try(phone, job, found)
    request, tool = job.request, job.request.tool
    return PhoneRecord(
        serial=phone.serial,
        model_sha256=file_digest(job.model),
        tool=tool.name,
        tool_sha256=file_digest(tool) if tool.is_file() else None,
        flags=dict(request.flags),
        threads=job.threads,
        requested_accelerator=request.accelerator,
        actual_accelerator=actual_accelerator(request.accelerator, found.report) if found.report else None,
        status=status,
        reason=reason,
        facts=found.facts,
        before=found.before,
        after=found.after,
        report=found.report,
        noise=_noise(request, found.report),
    )


def _try(phone: Phone, job: _Job, found: _Found) -> tuple[Status, str | None]:
    """Fill in `found`; before the tool started a phone is unavailable, from then on it failed."""
    try:
        _run(phone, job, found)
    except EdgekdError as error:
        return Status.FAILED if found.before else Status.UNAVAILABLE, str(error)
    return Status.OK, None


def _run(phone: Phone, job: _Job, found: _Found) -> None:
    tool = job.request.tool
    found.facts = phone.facts()
    check_binary(tool, found.facts)
    with phone.folder() as folder:
        phone.push(tool, f"{folder}/tool")
        phone.push(job.model, f"{folder}/model.tflite")
        found.before = phone.state()
        output = _run_tool(phone, folder, _flags(job.threads, job.request), tool.name, job.timeout_s)
        found.after = phone.state()
    if job.keep is not None:
        job.keep.mkdir(parents=True, exist_ok=True)
        (job.keep / f"{_UNSAFE.sub('_', phone.serial)}.txt").write_text(output, encoding="utf-8")
    found.report = parse_output(output, f"{tool.name} on {phone.serial}")


def _flags(threads: int, request: PhoneRequest) -> list[str]:
    given = {"num_threads": str(threads), **request.flags}
    return ["--graph=model.tflite", *(f"--{name}={value}" for name, value in given.items())]


def _run_tool(phone: Phone, folder: str, flags: Sequence[str], tool: str, timeout_s: float) -> str:
    """What the tool printed: written on the phone and pulled, so that a weak cable cannot cut it short."""
    arguments = " ".join(shlex.quote(flag) for flag in flags)
    command = (
        f"cd {folder} && chmod 755 tool && "
        f"sh -c 'echo $$ > pid; exec ./tool \"$@\"' tool {arguments} > output.txt 2>&1; "
        f"s=$?; rm -f {folder}/pid; exit $s"
    )
    answer = phone.shell(command, doing=f"{tool} ran", timeout_s=timeout_s)
    with tempfile.TemporaryDirectory(prefix="edgekd-") as local:
        pulled = Path(local) / "output.txt"
        phone.pull(f"{folder}/output.txt", pulled)
        output = pulled.read_text(encoding="utf-8", errors="replace")
    check_ending(output, answer.status, tool=tool, serial=phone.serial)
    return output


def _noise(request: PhoneRequest, report: ToolReport | None) -> tuple[str, ...]:
    if report is None:
        return ()
    runs = report.runs
    reasons = {
        _ASYNCHRONOUS: request.accelerator == "gpu" and "litert" in request.tool.name.lower(),
        f"only {runs.count} runs": runs.count < 50,
        f"the slowest run took {runs.max_ms / runs.min_ms:.1f} times the fastest": runs.max_ms
        > 2 * runs.min_ms,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)
