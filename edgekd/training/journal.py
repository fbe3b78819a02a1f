"""What a training writes while it runs, one epoch after another:

metrics.jsonl    one record of an epoch a line; a function of the seed, byte for byte
timing.jsonl     seconds and speed of every epoch: provenance, not hashed
checkpoint/      what a killed training goes on from
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from edgekd.console import log
from edgekd.plain import canonical_json, from_plain, write_text
from edgekd.runs import PROVENANCE
from edgekd.training.checkpoint import Arrays, Checkpoint, read_checkpoint, write_checkpoint

METRICS = "metrics.jsonl"

T = TypeVar("T")


class Restorable(Protocol):
    """Something that learns, and can be put back to where it was."""

    def state(self) -> Mapping[str, Arrays]:
        """Everything that changes while learning, as arrays."""

    def restore(self, arrays: Mapping[str, Arrays]) -> None:
        """Go back to a `state`."""


def resume(learning: Restorable, kind: type[T], out: Path, identity: str) -> list[T]:
    """The epochs, records of `kind`, that a killed training of `identity` left below `out`; none: it begins.

    `learning` is put back to the end of the last.
    """
    checkpoint = read_checkpoint(out, identity)
    if checkpoint is None:
        (out / PROVENANCE).unlink(missing_ok=True)
        return []
    learning.restore(checkpoint.arrays)
    log.info("going on after epoch %d", len(checkpoint.history))
    return [from_plain(kind, dict(record), "checkpoint") for record in checkpoint.history]


def save(learning: Restorable, out: Path, identity: str, history: Sequence[object]) -> None:
    """Write the metrics of all epochs of `history`, and where `learning` stands after the last.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    lines = [canonical_json(epoch) for epoch in history]
    write_text(out / METRICS, "".join(line + "\n" for line in lines))
    records = tuple(json.loads(line) for line in lines)
    write_checkpoint(out, Checkpoint(identity=identity, history=records, arrays=learning.state()))


def note_time(out: Path, epoch: int, seconds: float, **per_second: float) -> None:
    """Add what `epoch` took, in seconds, and its speeds by name, a second each."""
    speeds = {f"{name}_per_second": round(speed, 1) for name, speed in per_second.items()}
    with (out / PROVENANCE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"epoch": epoch, "seconds": round(seconds, 3), **speeds}) + "\n")
