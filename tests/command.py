"""`edgekd` as a command in this process: what a process of its own would import is paid for once."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

from edgekd.cli.app import app


def edgekd(*arguments: object, **environment: str) -> Any:
    """What `edgekd arguments` does with `environment` beside the variables there are.

    It has an `exit_code`, 1 for an error that is a bug, and what was written to `stdout` and `stderr`.
    """
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)
