"""A benchmark tool and a model, run once on phones; several at once.

    adb[:SERIAL][?tool=PATH&flag=value…]

The tool is TensorFlow Lite's `benchmark_model` or LiteRT's `benchmark_litert_model`, built for Android, by
its path or in EDGEKD_BENCHMARK_MODEL. It times itself: its clock, warm-up and percentiles are its own, not
those of the other backends, and single runs are not to be had. The flags go to it as `--flag=value`
(use_gpu=true, num_runs=200, …). Without a serial number every phone that is ready is meant.
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote

from edgekd.console import log
from edgekd.errors import EdgekdError, MissingError, ModelError, UsageError
from edgekd_bench.adb_client import adb_server, choose, find_adb
from edgekd_bench.adb_output import AppliedDelegate, ToolReport, check_ending, parse_output
from edgekd_bench.adb_phone import Phone, PhoneFacts, PhoneState, check_binary
from edgekd_bench.round import Status

TOOL_TIMEOUT_S = 400.0
TOOL_VARIABLE = "EDGEKD_BENCHMARK_MODEL"
HOW_TO_GET = (
    f"name benchmark_model for Android with adb?tool=PATH or in {TOOL_VARIABLE}: take the nightly build "
    "(android_aarch64_benchmark_model) that TensorFlow's page on measuring TensorFlow Lite links, or build "
    "it with bazel build -c opt --config=android_arm64 //tensorflow/lite/tools/benchmark:benchmark_model"
)
_NAME = "adb"
_FLAG = re.compile(r"[a-z][a-z0-9_]*")
_VALUE = re.compile(r"[A-Za-z0-9_.,:/+-]*")
_OWN_FLAGS = ("graph", "num_threads")
_TRUE = ("true", "1")
_ACCELERATORS = {"use_gpu": "gpu", "use_nnapi": "nnapi", "use_npu": "npu", "use_hexagon": "hexagon"}
_DELEGATES = {
    "cpu": "xnnpack",
    "gpu": r"gpu|webgpu|mldrift|litertdispatch",
    "nnapi": "nnapi",
    "npu": "dispatch|npu",
    "hexagon": "hexagon",
}
_NONE_TAKEN = "will not be executed by the delegate"


@dataclass(frozen=True, kw_only=True)
class PhoneRequest:
    """Which phones (`serials`; empty: every one that is ready), which tool, and its flags."""

    serials: tuple[str, ...]
    tool: Path
    flags: Mapping[str, str]

    @property
    def accelerator(self) -> str:
        """What the flags ask for: gpu, nnapi, npu, hexagon, else cpu."""
        return _accelerator(self.flags)

    def on(self, serial: str) -> str:
        """The request for the phone `serial`, as `parse_adb` reads it."""
        flags = "".join(f"&{name}={quote(value, safe='/:')}" for name, value in self.flags.items())
        return f"{_NAME}:{serial}?tool={quote(str(self.tool), safe='/')}{flags}"


@dataclass(frozen=True, kw_only=True)
class PhoneRecord:
    """One run of the tool with one model on one phone; `status` and `reason` as in edgekd.bench/1.

    `actual_accelerator` is `cpu` when the one asked for took nothing, and null when that cannot be known.
    `before` and `after` frame the measurement.
    """

    serial: str
    actual_accelerator: str | None
    status: Status
    reason: str | None
    facts: PhoneFacts | None
    before: PhoneState | None
    after: PhoneState | None
    report: ToolReport | None


def accelerator_asked(label: str) -> str:
    """The accelerator that the flags of the backend `label`, `adb:SERIAL?flag=value`, ask for."""
    return _accelerator(dict(parse_qsl(label.partition("?")[2])))


def _accelerator(flags: Mapping[str, str]) -> str:
    asked = (name for flag, name in _ACCELERATORS.items() if flags.get(flag) in _TRUE)
    return next(asked, "cpu")


def parse_adb(text: str) -> PhoneRequest:
    """The request in `adb:SERIAL?tool=PATH&flag=value`.

    Raises:
        UsageError: a flag that cannot be meant.
        MissingError: no tool is named, or there is none.
    """
    head, _, query = text.partition("?")
    _, _, serials = head.partition(":")
    try:
        flags = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    except ValueError as error:
        raise UsageError(f"{text!r}: expected options as ?tool=PATH&flag=value") from error
    tool = flags.pop("tool", "") or os.environ.get(TOOL_VARIABLE, "")
    for name, value in flags.items():
        if name in _OWN_FLAGS or not _FLAG.fullmatch(name) or not _VALUE.fullmatch(value):
            raise UsageError(f"{text!r}: {name}={value} cannot be handed to the tool")
    if not tool:
        raise MissingError(f"no benchmark tool for phones: {HOW_TO_GET}")
    if not Path(tool).is_file():
        raise MissingError(f"{tool}: no such benchmark tool; {HOW_TO_GET}")
    wanted = tuple(serial for serial in serials.split(",") if serial)
    return PhoneRequest(serials=wanted, tool=Path(tool), flags=flags)


def measure_phones(
    model: Path,
    threads: int,
    request: PhoneRequest,
    *,
    timeout_s: float = TOOL_TIMEOUT_S,
) -> list[PhoneRecord]:
    """The record of `model` on every phone of the request, in its order, measured side by side.

    A phone that fails is a record with a reason, and the others go on.

    Raises:
        MissingError: no adb.
        ModelError: no such model file.
        DeviceError: no phone is named, and none is ready.
    """
    if not model.is_file():
        raise ModelError(f"{model}: no such model file")
    job = _Job(model, threads, request, timeout_s)
    with adb_server(find_adb()) as adb:
        serials = request.serials or choose(adb.devices(), ())
        with ThreadPoolExecutor(len(serials)) as pool:
            return list(pool.map(lambda serial: _measure(Phone(adb, serial), job), serials))


def actual_accelerator(asked: str, report: ToolReport) -> str | None:
    """What computed; null when the tool does not prove it.

    A line saying "not executed by the delegate" outweighs one saying "replaced": for NNAPI it prints both.
    `gpu in part`: the tool says that the CPU helped out, but not with what.
    """
    if asked == "cpu" or any(_NONE_TAKEN in line for line in report.fallback):
        return "cpu"
    taken = delegates_of(asked, report)
    if not taken:
        return None
    if not any(applied.nodes for applied in taken):
        return "cpu"
    counted = any(applied.nodes < applied.of for applied in taken)
    return f"{asked} in part" if report.fallback and not counted else asked


def delegates_of(asked: str, report: ToolReport) -> list[AppliedDelegate]:
    """The delegates of `asked` that took nodes of the graph; of the CPU that is XNNPACK."""
    names = re.compile(_DELEGATES[asked], re.IGNORECASE)
    return [applied for applied in report.delegates if names.search(applied.name)]


@dataclass(frozen=True)
class _Job:
    """What every phone is asked for."""

    model: Path
    threads: int
    request: PhoneRequest
    timeout_s: float


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
    asked = job.request.accelerator
    return PhoneRecord(
        serial=phone.serial,
        actual_accelerator=actual_accelerator(asked, found.report) if found.report else None,
        status=status,
        reason=reason,
        facts=found.facts,
        before=found.before,
        after=found.after,
        report=found.report,
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
    log.debug("%s on %s printed:\n%s", tool.name, phone.serial, output)
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
