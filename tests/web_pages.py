"""The web bundle of a small network, served on loopback, in a page of a real Chromium."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.bundle.make import Wishes, write_bundle
from edgekd.bundle.manifest import MANIFEST, Platform, Verdict, read_manifest
from edgekd.bundle.pictures import drawn, odd_shapes
from edgekd.bundle.source import Contents
from edgekd.bundle.web_server import WebServer, web_server
from edgekd.card import ModelCard, OperatingPoint
from edgekd.errors import MissingError
from edgekd.metrics.calibration import probability
from edgekd.metrics.predictions import malignancy_score
from edgekd.runtimes.base import Features
from line.clients.environments import browser
from patient_tflite import patient_classifier
from small_tflite import small_classifier

PX, LABELS = 96, ("mel", "nv", "bkl")
CARD = ModelCard(
    name="small-int8",
    precision="int8",
    input_px=PX,
    labels=LABELS,
    malignant=("mel",),
    operating_point=OperatingPoint(rule="sensitivity_at_least(0.9)", threshold=-0.6, fitted_on="validation"),
    temperature=1.25,
    limits=("Random weights: it knows nothing about skin.",),
    provenance={"made": "by a test"},
)
# The sandbox of Chromium does not start as root; it sees nothing but our own page.
_ROOT = ["--no-sandbox"] if os.geteuid() == 0 else []
_OPTIONS = [*_ROOT, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
PATIENCE_MS = 60_000

REFUSED_CARDS = [
    ({"hair_removal": "oriented"}, "wants hairs removed from the picture first (“oriented”)"),
    ({"pixel_rule": "stretched to input_px"}, "does not know the pixel rule"),
    ({"score_rule": "softmax"}, "does not know the score rule"),
    ({"colour_rule": "grey world"}, "something this page does not know: colour_rule"),
    ({"quality": {"rule": "edgekd.quality/2"}}, "how the model card wants photos to be looked at"),
    ({"malignant": ["scc"]}, "contradicts itself"),
    ({"temperature": 0}, "contradicts itself"),
    ({"labels": []}, "contradicts itself"),
    ({"operating_point": {"threshold": None}}, "contradicts itself"),
]
"""Changes of the card, and what the page says of them."""

_SEEN = """() => {
  const canvas = document.getElementById("seen"), { width, height } = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  return [width, height, btoa(Array.from(data, (value) => String.fromCharCode(value)).join(""))];
}"""


def write_web_bundle(folder: Path, card: ModelCard = CARD, *, space: bool = False) -> Path:
    """A whole bundle with golden pictures, as `edgekd bundle --web` makes it; skips without LiteRT.js."""
    model = folder.with_name(f"{folder.name}.tflite")
    model.write_bytes(model_of(card))
    contents = Contents(
        model=model, card=card, embed=True, verdict=Verdict.NONE, pictures=[*drawn(4), *odd_shapes()]
    )
    try:
        write_bundle(folder, Platform.WEB, contents, Wishes(space=space))
    except MissingError as error:
        pytest.skip(str(error))
    return folder


def model_of(card: ModelCard, *, patient_first: bool = True) -> bytes:
    """A small network for `card`; a second input comes first, the order nobody would take for granted."""
    if card.patient is None:
        return small_classifier(card.input_px, len(card.labels))
    values = len(card.patient.columns)
    return patient_classifier(card.input_px, len(card.labels), values, patient_first=patient_first)


@contextmanager
def served(folder: Path) -> Iterator[WebServer]:
    """The bundle `folder` on a free port."""
    with web_server(folder, (*read_manifest(folder).files, MANIFEST)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless Chromium; skips where there is none."""
    program = browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=_OPTIONS)
        try:
            yield started
        finally:
            started.close()


def open_page(context: Any, url: str) -> Any:
    """The page, once its model is loaded."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.wait_for_selector("#sample:enabled")
    return page


def answered(page: Any, act: Any) -> dict[str, Any]:
    """What the page shows after `act()`: input [px, px, 3], logits, score, probability, call, square."""
    page.evaluate("() => delete document.getElementById('figures').dataset.score")
    act()
    page.wait_for_selector("#figures[data-score], #error:not([hidden])", state="attached")
    assert page.inner_text("#error") == ""
    figures = page.evaluate("() => ({...document.getElementById('figures').dataset})")
    logits = page.eval_on_selector_all("#logits td[data-value]", "all => all.map((td) => td.dataset.value)")
    square = page.evaluate("['left', 'top', 'side'].map((id) => Number(document.getElementById(id).value))")
    return {
        "input": seen(page),
        "logits": np.array(logits, np.float64),
        "score": float(figures["score"]),
        "probability": float(figures["probability"]),
        "call": page.get_attribute("#answer", "data-call"),
        "square": square,
    }


def seen(page: Any) -> np.ndarray:
    """The bytes the network was fed, uint8 [px, px, 3]."""
    width, height, data = page.evaluate(_SEEN)
    pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)
    assert (pixels[:, :, 3] == 255).all()
    return pixels[:, :, :3]


def chosen(page: Any, path: Path) -> dict[str, Any]:
    """What the page shows about the file `path`, chosen through its file input."""
    return answered(page, lambda: page.set_input_files("#file", path))


def refused(page: Any, act: Any) -> str:
    """The sentence the page says after `act()`."""
    act()
    page.wait_for_selector("#error:not([hidden])")
    return str(page.inner_text("#error"))


def with_altered(context: Any, folder: Path, name: str, content: bytes, *, listed: bool) -> None:
    """Let `context` receive `content` for the file `name`; `listed`: with a manifest that says so."""
    context.route(f"**/{name}", lambda route: route.fulfill(body=content))
    if listed:
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["files"][name]["sha256"] = hashlib.sha256(content).hexdigest()
        context.route(f"**/{MANIFEST}", lambda route: route.fulfill(body=json.dumps(manifest)))


def altered_card(folder: Path, **changes: Any) -> bytes:
    """card.json of the bundle with other values."""
    return json.dumps(json.loads((folder / "card.json").read_text()) | changes).encode()


def with_band(halfwidth: float) -> dict[str, Any]:
    """The operating point of `CARD` with a borderline band."""
    point = dataclasses.asdict(CARD)["operating_point"]
    return point | {"borderline_halfwidth": halfwidth, "borderline_rule": "views_of_one_lesion(0.95)"}


def drag(page: Any, selector: str, right: int, down: int) -> None:
    """Pull the middle of `selector` by so many pixels of the screen."""
    page.eval_on_selector(selector, "node => node.scrollIntoView({block: 'center'})")
    box = page.locator(selector).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right / 2, y + down)
    page.mouse.move(x + right, y + down)
    page.mouse.up()


def assert_answers_as_python(
    found: dict[str, Any], runtime: Any, image: np.ndarray, features: Features | None = None
) -> None:
    """What the page shows is what Python says of `image`, the bytes fed, and of a person's `features`."""
    expected = runtime.logits(image[np.newaxis], features)
    np.testing.assert_array_equal(found["input"], image)
    np.testing.assert_array_equal(found["logits"], expected[0].astype(np.float64))
    score = malignancy_score(expected, CARD.labels, CARD.malignant)
    # Two logarithms of sums of three exponentials: a few roundings of float64.
    assert found["score"] == pytest.approx(score[0], rel=1e-12, abs=1e-12)
    assert found["probability"] == pytest.approx(probability(score, CARD.temperature)[0], rel=1e-12)
    assert found["call"] == ("malignant" if score[0] >= CARD.operating_point.threshold else "benign")
