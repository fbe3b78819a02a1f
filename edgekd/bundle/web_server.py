"""`serve_web`: a web bundle on this machine, with the headers a careful host would send.

Only the files of the manifest are served, only on the loopback interface. What can be compressed is, once.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgekd.bundle.web_bundle import policy
from edgekd.console import log
from edgekd.errors import UsageError

HOST = "127.0.0.1"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
}
_OTHER = "application/octet-stream"
_PACKED = (".png", ".gz")  # compressed already
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), payment=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Kept by the browser and asked for each time; an unchanged file is answered with 304 and no bytes.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class _Served:
    """One file of the bundle."""

    path: Path

    @cached_property
    def content(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.content, 6, mtime=0)

    @cached_property
    def tag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    @property
    def kind(self) -> str:
        return _TYPES.get(self.path.suffix, _OTHER)

    @property
    def packed(self) -> bool:
        return self.path.suffix in _PACKED


class WebServer(ThreadingHTTPServer):
    """The server; `sent` counts the bytes of the bodies by path of the request."""

    daemon_threads = True

    def __init__(self, folder: Path, paths: Iterable[str], port: int) -> None:
        self.files: Mapping[str, _Served] = {path: _Served(folder / path) for path in paths}
        self.policy = f"{policy()}; frame-ancestors 'none'"
        self.sent: dict[str, int] = {}
        super().__init__((HOST, port), _Handler)

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/"


@contextmanager
def web_server(
    folder: Path, paths: tuple[str, ...], port: int = 0, *, fallback: bool = False
) -> Iterator[WebServer]:
    """A server for the files `paths` of `folder`; port 0 takes a free one, and so does `fallback` if need be.

    It listens; answers are given while the caller runs its `serve_forever`.

    Raises:
        UsageError: the port is taken.
    """
    with _bound(folder, paths, port, fallback=fallback) as server:
        yield server


def _bound(folder: Path, paths: tuple[str, ...], port: int, *, fallback: bool) -> WebServer:
    try:
        return WebServer(folder, paths, port)
    except OSError as error:
        if fallback:
            return WebServer(folder, paths, 0)
        raise UsageError(
            f"port {port} cannot be served on ({error.strerror}): choose another --port"
        ) from error


class _Handler(BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"
    timeout = 60.0

    def version_string(self) -> str:
        return "edgekd"

    def do_GET(self) -> None:
        file = self._file()
        if file is None:
            self._answer(HTTPStatus.NOT_FOUND, b"not a file of this bundle\n", {"Content-Type": "text/plain"})
            return
        headers = {"Content-Type": file.kind, "ETag": file.tag, "Vary": "Accept-Encoding"}
        if file.tag in self.headers.get("If-None-Match", ""):
            self._answer(HTTPStatus.NOT_MODIFIED, b"", headers)
        elif not file.packed and "gzip" in self.headers.get("Accept-Encoding", ""):
            self._answer(HTTPStatus.OK, file.compressed, {**headers, "Content-Encoding": "gzip"})
        else:
            self._answer(HTTPStatus.OK, file.content, headers)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _file(self) -> _Served | None:
        path = unquote(urlsplit(self.path).path).removeprefix("/")
        return self.server.files.get(path or "index.html")

    def _answer(self, status: HTTPStatus, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Security-Policy": self.server.policy, **headers}.items():
            self.send_header(name, value)
        if status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.server.sent[self.path] = self.server.sent.get(self.path, 0) + len(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)
