"""One visit to the web page in a real Chromium: it computes what Python computes and keeps to itself."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

import web_files
from edgekd.card import read_card
from edgekd.errors import ImageError
from edgekd.imaging.decode import read_image
from edgekd.imaging.opencv import cv2
from edgekd.imaging.resample import prepare, resize
from web_pages import (
    LABELS,
    PX,
    answered,
    assert_answers_as_python,
    chosen,
    drag,
    refused,
)

pytestmark = pytest.mark.timeout(300)

WIRE_LIMIT = 4_000_000  # bytes of a first visit beside the model, compressed: the promise


def test_a_first_visit_is_small_and_asks_nobody_else(visit, server):
    page, asked = visit
    page.wait_for_function("() => document.getElementById('offline').textContent !== ''")
    assert "works offline" in page.inner_text("#offline")
    model = sum(size for path, size in server.sent.items() if path.endswith(".tflite"))
    assert 0 < sum(server.sent.values()) - model < WIRE_LIMIT
    assert asked and all(url.startswith(server.url) for url in asked)


def test_golden_pictures_give_pythons_bytes_and_values(page, bundle):
    golden = json.loads((bundle / "golden" / "golden.json").read_text())
    calls = set()
    for item in golden["items"]:
        found = chosen(page, bundle / item["image"])
        expected = np.frombuffer((bundle / item["input"]).read_bytes(), np.uint8).reshape(PX, PX, 3)
        np.testing.assert_array_equal(found["input"], expected, err_msg=item["image"])
        np.testing.assert_array_equal(found["logits"], np.array(item["logits"]))
        assert found["score"] == pytest.approx(item["score"], rel=1e-12, abs=1e-12)
        assert found["call"] == ("malignant" if item["malignant"] else "benign")
        calls.add(found["call"])
    assert calls == {"malignant", "benign"}


def test_the_page_checks_the_device_itself(page):
    page.click("#check")
    page.wait_for_selector("#check-result.good")
    assert page.inner_text("#check-result").startswith("All 14 test pictures give the same bytes")


def test_every_kind_of_file_is_decoded_as_in_python(page, runtime, picture, tmp_path):
    image = cv2.imread(str(picture))
    differing = {}
    for name, content in web_files.forms(image).items():
        (tmp_path / name).write_bytes(content)
        found = chosen(page, tmp_path / name)
        expected = prepare(read_image(tmp_path / name), PX)
        differing[name] = int(np.abs(found["input"].astype(int) - expected).max())
    assert differing == dict.fromkeys(differing, 0)
    assert "colour profile" not in page.inner_text("#photo-facts")


def test_the_profiles_of_these_files_are_ones_a_browser_would_apply(page, picture):
    """Else that test would say nothing about colour management."""
    managed = """async (bytes) => {
      const blob = new Blob([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))]);
      const shown = async (options) => {
        const bitmap = await createImageBitmap(blob, options);
        const context = new OffscreenCanvas(9, 9).getContext("2d");
        context.drawImage(bitmap, 0, 0);
        return context.getImageData(0, 0, 9, 9).data.join();
      };
      return (await shown({})) !== (await shown({ colorSpaceConversion: "none" }));
    }"""
    for name, content in web_files.profiled(cv2.imread(str(picture))).items():
        assert page.evaluate(managed, base64.b64encode(content).decode()), name


def test_the_square_is_moved_by_keyboard_and_by_pointer(page, runtime, picture):
    image = read_image(picture)
    chosen(page, picture)
    page.focus("#side")
    for key in ("ArrowLeft", "PageDown", "PageDown"):
        smaller = answered(page, lambda key=key: page.keyboard.press(key))
    page.focus("#left")
    moved = answered(page, lambda: page.keyboard.press("Home"))
    dragged = answered(page, lambda: drag(page, "#square", 40, 15))
    pulled = answered(page, lambda: drag(page, '#square [data-corner="nw"]', 30, 30))
    assert "You moved the square" in page.inner_text("#square-note")
    back = answered(page, lambda: page.click("#centre"))
    squares = [tuple(found["square"]) for found in (smaller, moved, dragged, pulled, back)]
    assert len(set(squares)) == 5 and squares[1][0] == 0 and squares[4] == (53, 0, 317)
    for found in (smaller, moved, dragged, pulled, back):
        left, top, side = found["square"]
        expected = resize(np.ascontiguousarray(image[top : top + side, left : left + side]), PX)
        assert_answers_as_python(found, runtime, expected)


def test_photos_are_dropped_and_pasted_too(page, runtime, picture):
    expected = prepare(read_image(picture), PX)
    give = """([kind, name, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], "photo"));
      const carrier = kind === "paste" ? "clipboardData" : "dataTransfer";
      dispatchEvent(new globalThis[name](kind, { [carrier]: data }));
    }"""
    content = base64.b64encode(picture.read_bytes()).decode()
    for kind, name in (("drop", "DragEvent"), ("paste", "ClipboardEvent")):
        found = answered(page, lambda kind=kind, name=name: page.evaluate(give, [kind, name, content]))
        assert_answers_as_python(found, runtime, expected)
    shown = answered(page, lambda: page.click("#sample"))
    assert shown["square"][2] >= PX


def test_resize_in_javascript_is_resize_in_python(page):
    rng = np.random.Generator(np.random.PCG64(11))
    sizes = [1, 2, 3, 5, 7, 8, 13, 31, 32, 33, 64, 97, 130, 224, 301]
    shapes = [(h, w, px) for h, w in zip(sizes, reversed(sizes), strict=True) for px in (1, 7, 32, 96)]
    assert len(shapes) >= 30
    resized = """async ([pixels, height, width, px]) => {
      const { resize } = await import("/resample.js");
      const bytes = Uint8Array.from(atob(pixels), (c) => c.charCodeAt(0));
      return btoa(String.fromCharCode(...resize(bytes, height, width, px)));
    }"""
    for height, width, px in [*shapes, (2000, 3, 20), (3, 2000, 20), (40, 60, 150)]:
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        alpha = rng.integers(0, 256, (height, width, 1), np.uint8)  # which changes nothing
        given = [base64.b64encode(np.dstack([image, alpha]).tobytes()).decode(), height, width, px]
        found = np.frombuffer(base64.b64decode(page.evaluate(resized, given)), np.uint8)
        np.testing.assert_array_equal(found.reshape(px, px, 3), resize(image, px), err_msg=f"{given[1:]}")


def test_photo_measures_in_javascript_are_those_of_python(page, bundle):
    from edgekd.imaging.quality import measure

    colours = (bytes(range(128))).hex()
    measured = """async ([pixels, px, colours]) => {
      const { measure } = await import("/quality.js");
      return measure(Uint8Array.from(atob(pixels), (c) => c.charCodeAt(0)), px, colours);
    }"""
    rng = np.random.Generator(np.random.PCG64(5))
    drawn = [np.fromfile(path, np.uint8).reshape(PX, PX, 3) for path in sorted(bundle.glob("golden/*.rgb"))]
    for image in [*drawn, rng.integers(0, 256, (101, 101, 3), np.uint8), np.full((33, 33, 3), 255, np.uint8)]:
        given = [base64.b64encode(image.tobytes()).decode(), len(image), colours]
        assert page.evaluate(measured, given) == measure(image, colours)


def test_hostile_files_are_answered_with_a_sentence(page, picture, tmp_path):
    files = web_files.hostile(cv2.imread(str(picture)))
    for name, (content, sentence) in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert sentence in refused(page, lambda path=path: page.set_input_files("#file", path)), name
        with pytest.raises(ImageError):
            read_image(path)
    found = chosen(page, picture)  # and goes on
    assert found["call"] in ("malignant", "benign")


def test_the_policy_forbids_every_other_address_and_inline_code(page, server):
    blocked = """async () => {
      const told = new Promise((done) => {
        addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
      });
      await fetch("https://example.org/").then(() => { throw new Error("it was fetched"); }, () => null);
      return told;
    }"""
    assert page.evaluate(blocked) == "connect-src"
    inline = """() => {
      const script = document.createElement("script");
      script.textContent = "globalThis.hacked = true";
      document.body.append(script);
      return Boolean(globalThis.hacked);
    }"""
    assert page.evaluate(inline) is False


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_screen(page, picture, width):
    page.set_viewport_size({"width": width, "height": 800})
    chosen(page, picture)
    page.evaluate("() => document.querySelectorAll('details').forEach((node) => (node.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_keyboard_and_a_screen_reader_find_everything(page, picture):
    chosen(page, picture)
    for role, name in (
        ("button", "Choose a photo"),
        ("button", "Try a test picture"),
        ("slider", "Size"),
        ("slider", "Left to right"),
        ("slider", "Top to bottom"),
        ("button", "Back to the centre square"),
        ("button", "Check this device"),
        ("heading", "The model card"),
        ("img", "Exactly what the model was given"),
    ):
        assert page.get_by_role(role, name=name).count() == 1, (role, name)
    assert page.get_by_role("status").first.inner_text().endswith("Not a diagnosis.")
    reached = set()
    page.evaluate("() => document.activeElement.blur()")
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"Go to the photo", "file", "sample", "side", "left", "check"} <= reached
    assert page.evaluate("document.body.innerText").startswith("Not a diagnosis.")


def test_it_goes_on_with_a_slow_processor(page, runtime, picture):
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 6})
    try:
        assert_answers_as_python(chosen(page, picture), runtime, prepare(read_image(picture), PX))
    finally:
        session.send("Emulation.setCPUThrottlingRate", {"rate": 1})


def test_the_card_is_shown(page, bundle):
    card = read_card(bundle / "card.json")
    shown = page.inner_text("#about")
    for text in (card.name, card.intended_use, *card.limits, ", ".join(LABELS), "fitted on validation"):
        assert text in shown
    page.evaluate("() => document.querySelectorAll('details').forEach((node) => (node.open = true))")
    assert json.loads(page.inner_text("#card-json")) == json.loads((bundle / "card.json").read_text())
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["files"]["model.tflite"]["sha256"] in shown


def test_all_of_this_asked_nobody_else(visit, server):
    """Of all that the page above did, but for the address that its policy was to forbid."""
    asked = visit[1]
    assert len(asked) > 20
    assert {url for url in asked if not url.startswith((server.url, "blob:"))} <= {"https://example.org/"}
