"""A real `edgekd serve` for the tests, and what a client does to it: whole requests and raw bytes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.card import ModelCard, OperatingPoint
from edgekd.data.lesions import render
from edgekd.imaging.opencv import cv2
from edgekd.plain import write_text
from tiny_tflite import average_pool

PATIENCE_S = 60.0
PX = 32
CARD = ModelCard(
    name="pool",
    precision="int8",
    input_px=PX,
    labels=("mel", "nv", "bkl"),
    malignant=("mel",),
    operating_point=OperatingPoint(rule="given", threshold=0.1, fitted_on="none"),
)


def model_in(folder: Path, card: ModelCard = CARD) -> Path:
    """A model file whose logits are the mean of each channel, with its card beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(average_pool(px=PX))
    write_text(folder / "card.json", card.to_json())
    return folder / "model.tflite"


def lesion(number: int, width: int = 300, height: int = 225) -> NDArray[np.uint8]:
    """A drawn lesion, RGB [height, width, 3]."""
    drawn = render(seed=5, number=number, diagnosis=("mel", "nv")[number % 2], px=96)
    return np.asarray(cv2.resize(drawn, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def encoded(image: NDArray[np.uint8], suffix: str = ".jpg") -> bytes:
    """`image` as an image file."""
    return bytes(cv2.imencode(suffix, image[..., ::-1])[1])


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running service: its address, processes, description, and where its log goes."""

    port: int
    process: subprocess.Popen[bytes]
    workers: list[int]
    model: dict[str, str]
    log: Path
    headers: dict[str, str]

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of an answer, over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body or None, {**self.headers, **(headers or {})})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def predict(self, body: bytes, kind: str = "image/jpeg", query: str = "") -> tuple[int, Any]:
        """Status and JSON of POST /api/predict."""
        status, _, text = self.ask("POST", f"/api/predict{query}", body, {"Content-Type": kind})
        return status, json.loads(text)

    def metric(self, line: str) -> float:
        """The value of the line of /metrics that begins with `line`; 0 where there is none."""
        text = self.ask("GET", "/metrics")[2].decode()
        return next((float(one.rpartition(" ")[2]) for one in text.splitlines() if one.startswith(line)), 0.0)

    def raw(self, *parts: bytes, close: bool = True) -> bytes:
        """All that comes back to `parts`, written one after another; then `close` the sending side."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                for part in parts:
                    connection.sendall(part)
                if close:
                    connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def head(self, method: str = "POST", path: str = "/api/predict", **headers: object) -> bytes:
        """The head of a request; names of `headers` have _ for -."""
        known = {"Host": f"127.0.0.1:{self.port}", **self.headers}
        named = {**known, **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes, or resets."""
    found = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 16):
            found += chunk
    return found


def statuses(answer: bytes) -> list[int]:
    """The statuses of all answers in `answer`."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def form(fields: Mapping[str, bytes], boundary: str = "edge") -> tuple[str, bytes]:
    """Content type and body of a form; the field `image` as a file."""
    body = b""
    for name, value in fields.items():
        file = '; filename="lesion.jpg"\r\nContent-Type: image/jpeg' if name == "image" else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        body += value + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


@contextmanager
def running(
    source: Path,
    log: Path,
    *options: str,
    headers: Mapping[str, str] | None = None,
    before: str = "",
    **environment: str,
) -> Iterator[Service]:
    """`edgekd serve source options` on a free port; `before` is Python that its process runs first."""
    code = f"{before}\nfrom edgekd.cli.app import main; main()"
    command = [sys.executable, "-c", code, "serve", str(source), "--port", "0", "--json", *options]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=file, env={**os.environ, **environment}
        )
    try:
        ready = json.loads(_first_document(process) or _told(log))
        yield Service(
            port=int(ready["url"].rpartition(":")[2]),
            process=process,
            workers=ready["workers"],
            model=ready["model"],
            log=log,
            headers=dict(headers or {}),
        )
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def _first_document(process: subprocess.Popen[bytes]) -> bytes:
    text = b""
    for line in process.stdout or ():
        text += line
        if line == b"}\n":
            break
    return text


def _told(log: Path) -> bytes:
    raise AssertionError(f"the service did not start: {log.read_text(encoding='utf-8')}")


def resident_bytes(pids: list[int]) -> int:
    """The memory that processes hold together."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) for pid in pids]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")
