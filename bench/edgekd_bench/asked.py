"""The backends of a command, checked before anything is measured; what was asked for against what ran."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from edgekd.errors import DeviceError, MissingError, UsageError
from edgekd.runtimes.environments import environment
from edgekd_bench.adb import accelerator_asked
from edgekd_bench.backend_adb import on_phones
from edgekd_bench.backend_tflite_runtime import ENVIRONMENT
from edgekd_bench.compare import simulation
from edgekd_bench.delegate import parse_delegate
from edgekd_bench.record import BenchRecord, file_name
from edgekd_bench.round import ACCELERATORS, Backend, Status, file_part, kind_of, label_of


def parse_backends(asked: Sequence[str]) -> tuple[str, ...]:
    """`asked`, when every backend is known; `adb` becomes one backend for each phone that is ready.

    Raises:
        UnknownNameError: one is not; the nearest names are given.
        UsageError: a delegate or a phone is written wrongly, or two backends would share a file name.
        MissingError: there is no such delegate library, no adb or no benchmark tool for phones.
        DeviceError: no phone is ready, or not the one asked for.
    """
    for backend in asked:
        if kind_of(backend) is Backend.DELEGATE:
            library = parse_delegate(backend).library
            if "/" in library and not Path(library).is_file():
                raise MissingError(f"{library}: no such delegate library")
    found = [one for backend in asked for one in _each(backend)]
    names = [file_part(label_of(backend)) for backend in found]
    if len(set(names)) < len(names):
        raise UsageError(f"backends {', '.join(asked)}: two of them would be kept under one name")
    return tuple(found)


def _each(backend: str) -> tuple[str, ...]:
    return on_phones(backend) if kind_of(backend) is Backend.ADB else (backend,)


def prepare(kinds: Collection[Backend]) -> None:
    """Make what a backend needs once, so that it falls into no round; what cannot be had, a round reports."""
    if Backend.TFLITE_RUNTIME in kinds:
        with suppress(MissingError):
            environment(ENVIRONMENT)


def require_device(records: Sequence[BenchRecord]) -> None:
    """Nothing, when every record ran where it was asked to run, and nowhere else.

    Raises:
        DeviceError: the first that did not, and why.
    """
    for record in records:
        reason = fallback(record)
        if reason:
            raise DeviceError(f"{file_name(record).removesuffix('.json')}: {reason}")


def fallback(record: BenchRecord) -> str | None:
    """Why `record` does not show the device that was asked for, in one line; None when it does."""
    kind = kind_of(record.requested_accelerator)
    if record.status is Status.UNAVAILABLE or (record.status is Status.FAILED and kind in ACCELERATORS):
        return f"{record.status.value}: {record.reason}"
    if record.status is Status.FAILED or kind not in ACCELERATORS:
        return None
    if software := simulation(record):
        return f"ran on {software}, no device"
    if kind is Backend.ADB and (reason := _on_the_phone(record)):
        return reason
    divided = record.delegation
    if kind is Backend.ADB and (divided is None or record.actual_accelerator == "cpu"):
        return None
    if record.actual_accelerator in (None, "cpu") or divided is None or not divided.nodes_per_partition:
        return f"was asked for {record.requested_accelerator} and ran on the CPU"
    if divided.left_out:
        left = ", ".join(f"{count} {operator}" for operator, count in divided.left_out.items())
        return (
            f"{record.actual_accelerator} took {sum(divided.nodes_per_partition)} of {divided.nodes} "
            f"operators; left to the CPU: {left}"
        )
    return None


def _on_the_phone(record: BenchRecord) -> str | None:
    """Why a phone's tool does not show what its flags ask for; None when it does."""
    asked, actual = accelerator_asked(record.requested_accelerator), record.actual_accelerator
    if actual == asked:
        return None
    return f"was asked for {asked} and " + (f"ran on {actual}" if actual else "shows no proof of it")
