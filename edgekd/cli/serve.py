"""`edgekd serve`: a model behind HTTP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console, lazy
from edgekd.cli.options import Json, Quiet, Verbose
from edgekd.errors import UsageError

if TYPE_CHECKING:
    from edgekd.serve.app import Service

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NEEDED = {
    "fastapi": "fastapi",
    "httptools": "httptools",
    "uvicorn": "uvicorn",
    "uvloop": "uvloop",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}


def serve(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE|RUN|MODEL", help="What `edgekd bundle` wrote, a run, or a .tflite file."
        ),
    ],
    precision: Annotated[
        str, typer.Option(help="Which file of a RUN [default: int8].", show_default=False)
    ] = "",
    card: Annotated[
        Path | None, typer.Option(help="The card of a MODEL, if not beside or inside it.", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0: on every address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)] = 8000,
    workers: Annotated[
        int, typer.Option(help="Processes that see the pictures; 0: one per core.", min=0)
    ] = 0,
    queue: Annotated[
        int, typer.Option(help="Pictures that may wait, the rest get 429; 0: 8 per worker.", min=0)
    ] = 0,
    max_mb: Annotated[float, typer.Option(help="Largest image file, in MiB.")] = 16,
    max_megapixels: Annotated[float, typer.Option(help="Largest picture, in million pixels.")] = 50,
    time_limit: Annotated[float, typer.Option(help="Seconds one picture may wait, and take.")] = 10,
    upload_limit: Annotated[float, typer.Option(help="Seconds an upload may take to arrive.")] = 30,
    connections: Annotated[int, typer.Option(help="Clients at once.", min=1)] = 512,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="API keys, one a line (else those in EDGEKD_API_KEYS; without any, everybody is answered).",
            show_default=False,
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Pages of this origin may read the answers.", show_default=False),
    ] = None,
    root_path: Annotated[
        str, typer.Option(metavar="PATH", help="What a proxy in front takes off.", show_default=False)
    ] = "",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Answer pictures over HTTP, at the operating point of the model's card.

    POST /api/predict takes an image file, alone or in a form, and what the model takes of the person as
    fields of the form or of the query. Nothing of it is stored or logged. SIGTERM or Ctrl-C ends the service
    once what it accepted is answered.

    Example: edgekd serve runs/quickstart/bundle/web

    Then: curl -F image=@lesion.jpg http://127.0.0.1:8000/api/predict

    Or: curl -H 'Content-Type: image/jpeg' --data-binary @lesion.jpg http://127.0.0.1:8000/api/predict
    """
    console.configure(quiet=quiet, verbose=verbose)
    for module, package in _NEEDED.items():
        lazy.optional(module, package=package, extra="serve")
    from edgekd.serve import keys as api_keys
    from edgekd.serve.limits import MIB, Limits
    from edgekd.serve.server import Options, run
    from edgekd.serve.source import open_source

    limits = Limits(
        max_bytes=int(max_mb * MIB),
        max_pixels=int(max_megapixels * 1_000_000),
        work_s=time_limit,
        receive_s=upload_limit,
        header_s=min(Limits.header_s, upload_limit),
        connections=connections,
    )
    options = Options(
        host=host,
        port=port,
        workers=workers,
        queue=queue,
        root_path=root_path,
        origins=_origins(allow_origin or []),
        limits=limits,
    )
    allowed = api_keys.read_keys(keys)
    served = open_source(source, precision=precision, card=card)
    if host not in _LOOPBACK and not allowed:
        console.log.warning("everybody who reaches %s is answered: --keys FILE asks for a key", host)
    if served.card.operating_point is None:
        console.log.warning("the card has no operating point: answers have a score, and no call")

    def ready(url: str, service: Service) -> None:
        if as_json:
            console.emit_json({"url": url, "model": service.model, "workers": service.pool.pids})
        else:
            console.emit_text(f"{service.model['name']} at {url}/api/predict; {served.card.intended_use}")
        sys.stdout.flush()

    run(served, options, allowed, ready)


def _origins(given: list[str]) -> tuple[str, ...]:
    for origin in given:
        scheme, _, rest = origin.partition("://")
        if scheme not in ("http", "https") or not rest or "/" in rest or "*" in rest:
            raise UsageError(f"--allow-origin {origin}: expected one origin, as https://example.org")
    return tuple(given)
