"""How long the page of a web bundle takes from a chosen photo to its score, in a headless Chromium.

    python bench/throughput/serve_page.py --bundle RUN/bundle/web [--sizes 4032x3024 6000x4000] [--rounds 5]

JPEG files with the grain of a camera are made first. Each round is a visitor without a past: the page is
opened, the photo goes in through its file input, twice; `first_ms` and `second_ms` are from the event that it
was chosen to the score in the page, by the clock of the page, `steps_ms` what it shows itself of the
first. `load_ms` is from the address to a page that is ready, over the loopback interface; `wire_bytes` what a
visit takes beside the model, compressed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from circumstances import record, show

from edgekd.bundle.check import open_bundle
from edgekd.bundle.manifest import MANIFEST
from edgekd.bundle.web_server import WebServer, web_server
from edgekd.imaging.opencv import cv2

_SIZES = ((4032, 3024), (6000, 4000))
_PATIENCE_MS = 120_000
_STEPS = ("decode", "resize", "quality", "network", "together", "load")
_WATCH = """() => {
  const figures = document.getElementById("figures");
  addEventListener("change", ({ target }) => {
    if (target.type === "file") globalThis.began = performance.now();
  }, true);
  new MutationObserver(() => { globalThis.spent = performance.now() - globalThis.began; })
    .observe(figures, { attributeFilter: ["data-score"] });
}"""


def main() -> None:
    """Measure and show."""
    options = _options()
    rounds: dict[str, list[dict[str, Any]]] = {f"{width}x{height}": [] for width, height in options.sizes}
    with tempfile.TemporaryDirectory() as folder, _browser(options.browser) as browser:
        photos = [write_photo(Path(folder), size) for size in options.sizes]
        for _ in range(options.rounds):
            for found, photo in zip(rounds.values(), photos, strict=True):
                found.append(visit(browser, options.bundle, photo))
        version = browser.version
    _report(options, version, rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--sizes", type=_size, nargs="+", default=_SIZES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--browser", default=shutil.which("chromium") or "chromium")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def write_photo(folder: Path, size: tuple[int, int]) -> Path:
    """A JPEG of `size` (width, height) with broad colours and grain, about a quarter of a byte a pixel."""
    generator = np.random.Generator(np.random.PCG64(3))
    coarse = generator.integers(0, 256, (40, 60, 3), np.uint8)
    image = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    path = folder / f"{size[0]}x{size[1]}.jpg"
    grain = generator.integers(0, 24, image.shape, np.uint8)
    cv2.imwrite(str(path), cv2.add(image, grain), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return path


def visit(browser: Any, bundle: Path, photo: Path) -> dict[str, Any]:
    """What one visitor meets who chooses `photo` twice."""
    context = browser.new_context(service_workers="block")
    with _served(bundle) as server:
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        began = time.perf_counter()
        page.goto(server.url)
        page.wait_for_selector("#sample:enabled")
        load_ms = 1e3 * (time.perf_counter() - began)
        page.evaluate(_WATCH)
        first_ms, steps_ms = _chosen(page, photo), _steps(page)
        second_ms = _chosen(page, photo)
        wire = sum(size for path, size in server.sent.items() if not path.endswith(".tflite"))
    context.close()
    return {
        "load_ms": load_ms,
        "first_ms": first_ms,
        "second_ms": second_ms,
        "steps_ms": steps_ms,
        "wire_bytes": wire,
    }


def _chosen(page: Any, photo: Path) -> float:
    page.evaluate("() => delete globalThis.spent")
    page.set_input_files("#file", photo)
    page.wait_for_function("() => globalThis.spent")
    return float(page.evaluate("globalThis.spent"))


def _steps(page: Any) -> dict[str, float]:
    texts = page.eval_on_selector_all("#times td:last-child", "all => all.map((td) => td.textContent)")
    return {step: float(text) for step, text in zip(_STEPS, texts, strict=True)}


@contextmanager
def _served(bundle: Path) -> Iterator[WebServer]:
    with web_server(bundle, (*open_bundle(bundle).manifest.files, MANIFEST)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def _browser(program: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    # The sandbox of Chromium does not start as root; it sees nothing but our own page.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


def _report(
    options: argparse.Namespace, version: str, rounds: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    card = open_bundle(options.bundle).card
    result = record(
        f"page of {card.name}: from a chosen JPEG to its score in Chromium {version}, headless, medians of "
        f"{options.rounds}",
        {"model": {"name": card.name, "input_px": card.input_px}, "chromium": version, "rounds": rounds},
    )
    columns = (
        "photo",
        "first ms",
        "longest",
        "second ms",
        *(f"{step} ms" for step in _STEPS[:4]),
        "load ms",
        "wire MB",
    )
    show(result, columns, [_row(*one) for one in rounds.items()], as_json=options.json)


def _row(size: str, rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    first = [one["first_ms"] for one in rounds]
    steps = (statistics.median(one["steps_ms"][step] for one in rounds) for step in _STEPS[:4])
    return [
        size,
        f"{statistics.median(first):.0f}",
        f"{max(first):.0f}",
        f"{statistics.median(one['second_ms'] for one in rounds):.0f}",
        *(f"{value:.0f}" for value in steps),
        f"{statistics.median(one['load_ms'] for one in rounds):.0f}",
        f"{max(one['wire_bytes'] for one in rounds) / 1e6:.2f}",
    ]


if __name__ == "__main__":
    main()
