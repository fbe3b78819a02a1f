"""`Limits`: how much of everything a client may take."""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.errors import UsageError
from edgekd.imaging.decode import MAX_BYTES, MAX_PIXELS

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one upload and one client may take.

    `max_bytes` of an image file and `max_pixels` (width times height) of its picture; `work_s` of decoding
    and computing, and of waiting in the queue; `receive_s` for a request's body to arrive and `header_s` for
    its head; `idle_s` between two requests of a connection; `connections` at once; `held_bytes` of all
    uploads that are in the server's memory together. Times are seconds on the clock.

    Raises:
        UsageError: one is not above 0, or beyond what edgekd decodes.
    """

    max_bytes: int = 16 * MIB
    max_pixels: int = 50_000_000
    work_s: float = 10.0
    receive_s: float = 30.0
    header_s: float = 10.0
    idle_s: float = 20.0
    connections: int = 512
    held_bytes: int = 256 * MIB

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise UsageError(f"{name} is {value:g}, expected more than 0")
        for name, most in (("max_bytes", MAX_BYTES), ("max_pixels", MAX_PIXELS)):
            if getattr(self, name) > most:
                raise UsageError(f"{name} is {getattr(self, name)}, edgekd decodes at most {most}")
        if self.held_bytes < self.max_bytes:
            raise UsageError(f"held_bytes {self.held_bytes} are less than max_bytes {self.max_bytes}")
