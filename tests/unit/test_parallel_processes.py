"""Work in processes: in order, one clear line when one dies, and none outlives its parent."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekd.data.parallel import available_cores, in_processes
from edgekd.errors import DataError


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    assert list(in_processes(math.factorial, range(6), workers=workers)) == [1, 1, 2, 6, 24, 120]
    assert list(in_processes(math.factorial, [], workers=workers)) == []


def test_an_error_keeps_its_kind_on_the_way_back() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_processes((1).__truediv__, [0, 0], workers=2))


def test_a_process_that_dies_is_one_clear_line() -> None:
    with pytest.raises(DataError, match="a process that reads images was killed"):
        list(in_processes(os._exit, [9, 9], workers=2))


def test_cores_are_those_of_this_process() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to find child processes")
def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "sleepers.py"
    script.write_text(
        "import time\n"
        "from edgekd.data.parallel import in_processes\n"
        "if __name__ == '__main__':\n"
        "    list(in_processes(time.sleep, [0.01] * 4 + [120, 120], workers=2))\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    workers = _wait(lambda: found if len(found := _spawned_by(parent.pid)) == 2 else None)
    parent.kill()
    parent.wait(timeout=60)
    _wait(lambda: not any(_command(worker) for worker in workers) or None)


def _wait(condition):
    """What `condition` gives as soon as it is not None."""
    for _ in range(3000):
        result = condition()
        if result is not None:
            return result
        time.sleep(0.01)
    pytest.fail("nothing happened within 30 seconds")


def _spawned_by(parent: int) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in listed if "spawn_main" in _command(int(child))]


def _command(process: int) -> str:
    """The command line of a running process; empty when there is none."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""
