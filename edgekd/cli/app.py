"""`edgekd`: every verb, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from edgekd.cli import (
    audit,
    bench,
    bundle,
    check,
    compare,
    demo,
    doctor,
    embed,
    evaluate,
    explain,
    export,
    fetch,
    inspect,
    inspect_model,
    layers,
    leaderboard,
    patient,
    predict,
    profile,
    run,
    search,
    serve,
    show,
    stations,
    synthesise,
    tfrecord,
    verify_bundle,
)
from edgekd.errors import EdgekdError

_EPILOG = """\
Examples: edgekd run quickstart · edgekd run isic2017 --data-root DIR --weights DIR ·
edgekd show runs/quickstart · edgekd export MODEL.keras --fp16 · edgekd predict MODEL.tflite IMAGE.jpg

Exit codes: 0 done, 1 bug, 2 usage, 3 contract failed, 4 something missing or unreadable, 5 device absent.
A research tool, not a medical device.
"""

_ORDER = ("run", "data", "teach", "distill", "qat", "export", "verify", "bench", "report", "bundle")


class _Group(TyperGroup):
    """Commands in the order of the line; errors meant for the user as one line and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return sorted(self.commands, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EdgekdError as error:
            sys.stderr.write(f"edgekd: {_one_line(error)}\n")
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            sys.stderr.write("edgekd: interrupted; repeat the command to go on from here\n")
            raise typer.Exit(130) from None


def _one_line(error: EdgekdError) -> str:
    return " ".join(str(error).split())


app = typer.Typer(
    name="edgekd",
    cls=_Group,
    no_args_is_help=True,
    help="Put a lesion classifier on a phone and prove what it lost on the way.",
    epilog=_EPILOG,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # loading rich takes longer than everything else in --help
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        sys.stdout.write(f"edgekd {version('edgekd')}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


data = typer.Typer(
    name="data",
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look at, check and prepare images.",
)
data.command("inspect")(inspect.inspect)
data.command("prepare")(stations.prepare)
data.command("audit")(audit.audit)
data.command("fetch")(fetch.fetch)
data.command("synthesise")(synthesise.synthesise)
data.command("tfrecord")(tfrecord.tfrecord)

app.command("run")(run.run)
app.add_typer(data)
for name, verb in stations.VERBS.items():
    app.command(name)(verb)
app.command("export")(export.export)
app.command("inspect")(inspect_model.inspect)
app.command("check")(check.check)
app.command("layers")(layers.layers)
app.command("bench")(bench.bench)
app.command("bundle")(bundle.bundle)
app.command("verify-bundle")(verify_bundle.verify_bundle)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("explain")(explain.explain)
app.command("search")(search.search)
app.command("embed")(embed.embed)
app.command("patient")(patient.patient)
app.command("show")(show.show)
app.command("compare")(compare.compare)
app.command("profile")(profile.profile)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """The console script."""
    app()
