"""`edgekd demo`: the web page of a run, served on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.options import Quiet, Verbose
from edgekd.errors import UsageError

if TYPE_CHECKING:
    from edgekd.bundle.check import Bundle
    from edgekd.bundle.web_server import WebServer

PORT = 8765


def demo(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run folder, or a web bundle. Without one: the model that comes with edgekd.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="The artefact to show [default: int8].", show_default=False)
    ] = "",
    port: Annotated[
        int | None,
        typer.Option(help=f"[default: {PORT}, or a free one]", min=1, max=65535, show_default=False),
    ] = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Only say the address, open no browser.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Try the model of RUN in a browser of this machine; the photos never leave it. Ctrl+C ends it.

    It serves the bundle that `edgekd bundle RUN --web` writes, on the loopback interface only. Without RUN
    it shows the model that comes with edgekd, which saw the training split of ISIC 2017.

    Example: edgekd demo

    Example: edgekd demo runs/isic2017
    """
    console.configure(quiet=quiet, verbose=verbose)
    from edgekd.bundle.manifest import MANIFEST
    from edgekd.bundle.web_server import web_server

    bundle = _bundle(run, precision)
    paths = (*bundle.manifest.files, MANIFEST)
    try:
        with web_server(bundle.folder, paths, port or PORT, fallback=port is None) as server:
            _serve(server, bundle, open_page=not no_open)
    except KeyboardInterrupt:
        console.log.info("ended")


def _bundle(run: Path | None, precision: str) -> Bundle:
    from edgekd.bundle.check import open_bundle
    from edgekd.bundle.manifest import MANIFEST, Platform

    folder = run if run and (run / MANIFEST).is_file() else _make(run, precision)
    bundle = open_bundle(folder)
    if bundle.manifest.platform is not Platform.WEB:
        raise UsageError(
            f"{folder} is a bundle for {bundle.manifest.platform}: make one with edgekd bundle --web"
        )
    return bundle


def _make(run: Path | None, precision: str) -> Path:
    """The web bundle of `run`; a demonstration shows any verdict, and the page says which."""
    from edgekd.cli.bundle import bundle_of_demo, bundle_of_run

    if run is None and precision:
        raise UsageError(f"--precision {precision} names an artefact of RUN, and no RUN was given")
    if run is None:
        return bundle_of_demo()
    return bundle_of_run(run, "web", precision=precision, unverified=True)


def _serve(server: WebServer, bundle: Bundle, *, open_page: bool) -> None:
    console.emit_text(f"{server.url}  {bundle.card.name}; not a diagnosis. Ctrl+C ends it.")
    sys.stdout.flush()
    if open_page:
        _open(server.url)
    server.serve_forever()


def _open(url: str) -> None:
    """Show the page, where there is something to show it on; a browser of the terminal could not run it."""
    import webbrowser

    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        console.log.info("there is no screen here: open the address in a browser of this machine")
        return
    try:
        opened = webbrowser.open(url)
    except webbrowser.Error:
        opened = False
    if not opened:
        console.log.info("no browser could be opened: open the address yourself")
