"""A real HTTP server on a port of its own that gives files, and misbehaves where it is asked to."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

CUT = 1


@dataclass
class Site:
    """The files by path, how the server treats them, and what it was asked.

    `script`: what the next answers do: `CUT` ends the connection half way through what it sends, a number is
    a status without a body; once it is used up, all is well. `ranges`: whether a part of a file may be asked
    for; `conditions`: whether If-Range is heeded; `tags`: whether a version is told; `promise`: bytes that
    are promised and never sent.
    """

    files: dict[str, bytes]
    script: list[int] = field(default_factory=list)
    ranges: bool = True
    conditions: bool = True
    tags: bool = True
    promise: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0
    url: str = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        wanted = self.headers.get("Range")
        site.asked.append((self.path, wanted))
        act = site.script.pop(0) if site.script else 0
        if act > CUT:
            self._empty(act)
            return
        whole = site.files.get(self.path)
        if whole is None:
            self._empty(404)
            return
        tag = f'"{hashlib.sha256(whole).hexdigest()[:16]}"'
        begin = 0
        if site.ranges and wanted and (not site.conditions or self.headers.get("If-Range") == tag):
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self._send(whole, begin, tag, cut=act == CUT)

    def _send(self, whole: bytes, begin: int, tag: str, *, cut: bool) -> None:
        site = self.site
        body = whole[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(whole) - 1}/{len(whole)}")
        if site.tags:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body) + site.promise))
        self.end_headers()
        if cut:
            body = body[: len(body) // 2]
            self.close_connection = True
        site.sent += len(body)
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)
        if site.promise:
            self.close_connection = True

    def _empty(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    """`site` served on 127.0.0.1, at `site.url`, until the context ends."""
    handler = type("Handler", (_Handler,), {"site": site})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
