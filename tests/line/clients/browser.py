"""LiteRT.js in a page of a real Chromium, fed from a local server of plain files."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PATIENCE_S = 120
_DYING_S = 10
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # it does not start as root otherwise; it sees nothing but our own page
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--enable-logging=stderr",  # what the console says, for the message of a failure
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def outputs_in_browser(
    chromium: str, modules: Path, files: Mapping[str, Path], images: Path, folder: Path
) -> dict[str, Any]:
    """The stored outputs [n][k] of every file for the images of an .npy file, by LiteRT.js.

    `modules` is a node_modules, `folder` an empty one to work in. What LiteRT.js refuses is an
    AssertionError with its words.
    """
    site = _site(folder / "site", modules, files, np.load(images))
    with _served(site) as (port, posted):
        page = f"http://127.0.0.1:{port}/page.html"
        with (
            (folder / "said").open("w") as said,
            _started(chromium, page, folder / "profile", said) as process,
        ):
            for _ in range(PATIENCE_S):
                if posted.wait(1) or process.poll() is not None:
                    break
        words = (folder / "said").read_text(errors="replace")[-2000:]
    assert posted.is_set(), f"the page posted no answer; {chromium} said: {words}"
    answer: dict[str, Any] = posted.answer
    assert "error" not in answer, answer["error"]
    return answer


def _site(folder: Path, modules: Path, files: Mapping[str, Path], images: np.ndarray) -> Path:
    folder.mkdir()
    (folder / "node_modules").symlink_to(modules)
    for name in ("page.html", "page.js"):
        shutil.copy(HERE / name, folder)
    for name, path in files.items():
        shutil.copy(path, folder / f"{name}.tflite")
    (folder / "images").write_bytes(images.tobytes())
    job = {"models": list(files), "shape": [1, *images.shape[1:]], "count": len(images)}
    (folder / "job.json").write_text(json.dumps(job))
    return folder


class _Posted(threading.Event):
    """Set once the page has posted its `answer`."""

    answer: dict[str, Any]


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments: Any, posted: _Posted, **options: Any) -> None:
        self._posted = posted
        super().__init__(*arguments, **options)

    def do_POST(self) -> None:
        self._posted.answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self._posted.set()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _served(folder: Path) -> Iterator[tuple[int, _Posted]]:
    posted = _Posted()
    handler = functools.partial(_Handler, posted=posted, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port, posted
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _started(chromium: str, page: str, profile: Path, said: Any) -> Iterator[subprocess.Popen[bytes]]:
    command = [chromium, *_OPTIONS, f"--user-data-dir={profile}", page]
    environment = os.environ | {"HOME": str(profile.parent)}
    with subprocess.Popen(command, stdout=said, stderr=said, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_DYING_S)
            except subprocess.TimeoutExpired:
                process.kill()
