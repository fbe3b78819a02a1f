"""How much energy the processor used, from the counters of its power limits (Linux powercap, RAPL).

A counter covers a whole processor package: what idles and what else runs is in it. The kernel lets only root
read it, unless told otherwise: `chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_COUNTERS = Path("/sys/class/powercap")
_UJ_PER_MJ = 1000.0


class Energy:
    """Millijoules over the body of `watched_energy`; None where unknown."""

    mj: float | None = None


@contextmanager
def watched_energy() -> Iterator[Energy]:
    """Fill in an `Energy` over the body: that of all processor packages together."""
    found, before = Energy(), _counters()
    yield found
    after = _counters()
    if before and before.keys() == after.keys():
        found.mj = sum(_spent(before[path], after[path], path) for path in before) / _UJ_PER_MJ


def _counters() -> dict[Path, int]:
    """The microjoules counted so far by each package (`intel-rapl:0`; AMD's are called so, too)."""
    found = {}
    for folder in sorted(_COUNTERS.glob("intel-rapl:*")):
        try:
            if (folder / "name").read_text(encoding="ascii").startswith("package"):
                found[folder] = int((folder / "energy_uj").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return {}
    return found


def _spent(before: int, after: int, folder: Path) -> int:
    """A counter begins again at 0 when it is full."""
    if after >= before:
        return after - before
    return after + int((folder / "max_energy_range_uj").read_text(encoding="ascii")) - before
