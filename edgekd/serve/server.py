"""`run`: the service on a socket, from its first worker to the last answer after SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
import uvloop

from edgekd.console import log
from edgekd.data.parallel import available_cores
from edgekd.errors import UsageError
from edgekd.serve.app import Service, build
from edgekd.serve.keys import Keys
from edgekd.serve.limits import Limits
from edgekd.serve.pool import Pool
from edgekd.serve.protocol import limited
from edgekd.serve.source import Served
from edgekd.serve.worker import Setup

PLACES_PER_WORKER = 8
_HEADERS = [("x-content-type-options", "nosniff"), ("cache-control", "no-store")]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where and how to serve; 0: a worker per core, 8 places in the queue per worker, any free port."""

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 0
    queue: int = 0
    root_path: str = ""
    origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


def run(served: Served, options: Options, keys: Keys, ready: Callable[[str, Service], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, then answer what was accepted; `ready` is told the URL.

    Raises:
        UsageError: the address cannot be had.
        ModelError: the model cannot be loaded.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold pictures
    with (
        _bound(options.host, options.port) as listener,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(served, options, keys, listener, ready))


async def _serve(
    served: Served,
    options: Options,
    keys: Keys,
    listener: socket.socket,
    ready: Callable[[str, Service], None],
) -> None:
    workers = options.workers or available_cores()
    setup = Setup(
        model=str(served.path),
        model_sha256=served.model_sha256,
        card=served.card.to_json(),
        max_pixels=options.limits.max_pixels,
        work_s=options.limits.work_s,
    )
    places = options.queue or PLACES_PER_WORKER * workers
    async with Pool(setup, workers=workers, places=places) as pool:
        service = Service(served, pool, options.limits)
        app = build(service, keys=keys, origins=options.origins, root_path=options.root_path)
        server = _Server(_config(app, options), service)
        server.on_start = lambda: ready(_url(listener), service)
        await server.serve([listener])


class _Server(uvicorn.Server):
    """uvicorn, ended by the first SIGTERM or SIGINT when all is answered, by the second at once."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self.on_start: Callable[[], object] = bool

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        if self.should_exit:
            self.force_exit = True
            return
        log.info("stopping: what was accepted is still answered")
        self._service.stopping = True
        self.should_exit = True


def _config(app: object, options: Options) -> uvicorn.Config:
    limits = options.limits
    # The gate writes the log; what these say of a request may quote it.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=limited(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=_HEADERS,
        proxy_headers=False,
        timeout_keep_alive=int(limits.idle_s) or 1,
        timeout_graceful_shutdown=int(limits.receive_s + 2 * limits.work_s) + 1,
    )


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(found[0], found[1]) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(found[4])
            yield listener
    except OSError as error:
        raise UsageError(
            f"cannot listen at {host} port {port} ({error.strerror or error}): choose others with --host and "
            "--port (0: any that is free)"
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
