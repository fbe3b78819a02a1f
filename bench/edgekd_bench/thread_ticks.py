"""Which threads of this process used the processor, from /proc/self/task/<thread>/stat (Linux)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

_TASKS = Path("/proc/self/task")
_USER, _KERNEL = 11, 12  # places behind the name in parentheses; proc_pid_stat(5) calls them 14 and 15
_FEWEST = 5


class Share:
    """A share of the processor time over the body of `watched_share`; None where it cannot be told."""

    value: float | None = None


@contextmanager
def watched_share(own: Collection[int], tasks: Path = _TASKS) -> Iterator[Share]:
    """Fill in the share of the clock ticks in the body that went to other threads than `own`.

    None where the system does not tell, or counted fewer than five ticks (of 10 ms, mostly).
    """
    found, before = Share(), thread_ticks(tasks)
    yield found
    spent = {thread: ticks - before.get(thread, 0) for thread, ticks in thread_ticks(tasks).items()}
    total = sum(spent.values())
    if total >= _FEWEST:
        found.value = sum(ticks for thread, ticks in spent.items() if thread not in own) / total


def thread_ticks(tasks: Path = _TASKS) -> dict[int, int]:
    """The clock ticks each thread used so far, in user and kernel mode, by its number; {} where unknown."""
    found = {}
    for task in tasks.glob("*/stat"):
        try:
            fields = task.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        found[int(task.parent.name)] = int(fields[_USER]) + int(fields[_KERNEL])
    return found
