"""What a process needs to find a Vulkan driver, and how to get one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "VK_DRIVER_FILES"
_RUNTIME, _LIBRARIES, _LOADER = "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH", "libvulkan.so.1"
_MAPS = Path("/proc/self/maps")
_DRIVERS = ("libvk_", "libvulkan_", "libglx_nvidia", "libnvidia-", "libmali", "libpowervr")


def driver_environment(scratch: Path, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`given` with what a driver wants: a folder of its own, and the loader that lies beside it, if any.

    The driver is the one that `VK_DRIVER_FILES` names, else the system's.
    """
    found = dict(given)
    found.setdefault(_RUNTIME, str(scratch))
    named = found.get(VARIABLE)
    beside = Path(named.split(os.pathsep)[0]).parent if named else None
    if beside is not None and (beside / _LOADER).exists():
        others = found.get(_LIBRARIES)
        found[_LIBRARIES] = os.pathsep.join([str(beside), *([others] if others else [])])
    return found


def mapped_drivers(maps: Path = _MAPS) -> tuple[str, ...]:
    """The file names of the Vulkan drivers that this process has loaded; empty where it does not tell."""
    try:
        lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    names = {Path(parts[5]).name for line in lines if len(parts := line.split(maxsplit=5)) > 5}
    return tuple(sorted(name for name in names if name.lower().startswith(_DRIVERS)))
