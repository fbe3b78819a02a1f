"""Fixtures of the tests of the web page: a bundle, who serves it, a browser, and a picture to show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import web_files
import web_pages
from edgekd.bundle.web_server import WebServer
from edgekd.imaging.opencv import cv2
from edgekd.runtimes.litert import LitertRuntime


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A web bundle; a module with one of its own says so."""
    return web_pages.write_web_bundle(tmp_path_factory.mktemp("web") / "bundle")


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[WebServer]:
    """Who serves `bundle` on loopback."""
    with web_pages.served(bundle) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium."""
    with web_pages.chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def visit(chromium: Any, server: WebServer) -> Iterator[tuple[Any, list[str]]]:
    """A first visit: its page, and every address that was asked for."""
    context = chromium.new_context(accept_downloads=False)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    yield web_pages.open_page(context, server.url), asked
    context.close()


@pytest.fixture(scope="module")
def page(visit: tuple[Any, list[str]]) -> Any:
    """The page of that visit."""
    return visit[0]


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    """A visitor without a past and without a service worker."""
    context = chromium.new_context(service_workers="block")
    yield context
    context.close()


@pytest.fixture(scope="module")
def runtime(bundle: Path) -> LitertRuntime:
    """Python on the model of `bundle`."""
    return LitertRuntime(bundle / "model.tflite")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph-like picture, not square, every channel in use."""
    path = tmp_path_factory.mktemp("picture") / "lesion.png"
    assert cv2.imwrite(str(path), web_files.photograph())
    return path
