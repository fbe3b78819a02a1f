"""What the commands `python -m edgekd_bench.…` share."""

from __future__ import annotations

import sys
from collections.abc import Callable

from edgekd import console
from edgekd.errors import EdgekdError


def guarded(work: Callable[[], None]) -> int:
    """The exit code of `work`; an error meant for the user becomes one line on stderr."""
    console.configure()
    try:
        work()
    except EdgekdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0
