"""How much memory a step added at its highest, read from Linux' own counters."""

from __future__ import annotations

from pathlib import Path

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"


def reset_peak() -> int | None:
    """Forget the highest resident memory so far; the resident bytes now, None where the system cannot."""
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
        return _status_bytes("VmRSS")
    except OSError:
        return None


def peak_since(resident: int | None) -> int | None:
    """The highest resident bytes since `reset_peak`, above what it answered; None where unknown."""
    if resident is None:
        return None
    peak = _status_bytes("VmHWM")
    return None if peak is None else max(0, peak - resident)


class Steps:
    """The peaks of resident memory, step by step and over all; None where the system cannot tell."""

    def __init__(self) -> None:
        self._start = self._begun = reset_peak()
        self._highest = 0

    def end(self) -> int | None:
        """Bytes by which this step rose at its highest above where it began; the next one begins."""
        rise = peak_since(self._begun)
        self._highest = self.highest() or 0
        self._begun = reset_peak()
        return rise

    def highest(self) -> int | None:
        """Bytes by which all steps, the one that goes on among them, rose above the start."""
        peak = peak_since(self._start)
        return None if peak is None else max(self._highest, peak)


def _status_bytes(field: str) -> int | None:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None
