"""The web page for visitors who are given something else: other files, another card, no network any more."""

from __future__ import annotations

import json

import pytest

import web_pages
from edgekd.imaging.decode import read_image
from edgekd.imaging.opencv import cv2
from edgekd.imaging.resample import prepare
from web_pages import (
    PX,
    REFUSED_CARDS,
    altered_card,
    answered,
    assert_answers_as_python,
    chosen,
    open_page,
    refused,
    with_altered,
)

pytestmark = pytest.mark.timeout(300)


def test_after_a_first_visit_it_works_without_a_network(chromium, bundle, runtime, picture):
    context = chromium.new_context()
    with web_pages.served(bundle) as server:
        first = open_page(context, server.url)
        first.wait_for_function("() => document.getElementById('offline').textContent.includes('offline')")
        url = server.url
        first.close()
    again = open_page(context, url)  # nobody listens there any more
    assert_answers_as_python(chosen(again, picture), runtime, prepare(read_image(picture), PX))
    context.close()


def test_an_altered_model_is_refused(context, bundle, server):
    model = bytearray((bundle / "model.tflite").read_bytes())
    model[len(model) // 2] ^= 1
    with_altered(context, bundle, "model.tflite", bytes(model), listed=False)
    page = context.new_page()
    sentence = refused(page, lambda: page.goto(server.url))
    assert "model.tflite is not the file this page was published with" in sentence
    for control in ("#file", "#camera", "#sample"):
        assert page.is_disabled(control)


def test_a_card_that_it_cannot_serve_is_refused_in_words(context, bundle, server):
    page = context.new_page()
    page.goto(f"{server.url}icon.svg")  # any file of the page will do, none takes less time to open
    checked = """async (card) => {
      const { checkCard } = await import("/card.js");
      try { checkCard(card); } catch (error) { return error.message; }
      return "";
    }"""
    for changes, sentence in REFUSED_CARDS:
        assert sentence in page.evaluate(checked, json.loads(altered_card(bundle, **changes))), changes
    for fine in ({}, {"operating_point": None}, {"quality": None}, {"colour_rule": None}):
        assert page.evaluate(checked, json.loads(altered_card(bundle, **fine))) == ""


def test_a_card_of_another_schema_and_another_model_are_refused(chromium, bundle, server):
    for changes, sentence in (
        ({"schema": "edgekd.card/2"}, "“edgekd.card/2”"),
        ({"input_px": 64}, "page.json does not fit the model card"),
    ):
        context = chromium.new_context(service_workers="block")
        with_altered(context, bundle, "card.json", altered_card(bundle, **changes), listed=True)
        page = context.new_page()
        assert sentence in refused(page, lambda page=page: page.goto(server.url))
        context.close()


def test_a_borderline_score_is_called_so(context, bundle, server, picture):
    card = altered_card(bundle, operating_point=web_pages.with_band(50.0))
    with_altered(context, bundle, "card.json", card, listed=True)
    page = open_page(context, server.url)
    assert chosen(page, picture)["call"] == "borderline"
    assert page.inner_text("#verdict").startswith("Borderline: just")
    assert "less than 50.00 from the threshold (views_of_one_lesion(0.95))" in page.inner_text("#explanation")


def test_a_photo_that_cannot_be_judged_is_not(context, bundle, server, runtime, picture, tmp_path):
    limit = {"measure": "brightness", "low": 60.0, "high": None, "rule": "given", "missed": None}
    quality = {"rule": "edgekd.quality/1", "limits": [limit], "colours": "f" * 256, "images": 5, "refused": 0}
    card = altered_card(bundle, quality=quality | {"fitted_on": "validation"})
    with_altered(context, bundle, "card.json", card, listed=True)
    page = open_page(context, server.url)
    dark = tmp_path / "dark.png"
    image = read_image(picture) // 8
    assert cv2.imwrite(str(dark), image[:, :, ::-1])
    page.set_input_files("#file", dark)
    page.wait_for_selector("#answer[data-call='none']")
    assert page.inner_text("#verdict") == "This photo cannot be judged" and page.is_hidden("#judged")
    assert "it is too dark (brightness" in page.inner_text("#explanation")
    anyway = answered(page, lambda: page.click("#anyway"))
    assert_answers_as_python(anyway, runtime, prepare(image, PX))
    assert "do not rely on it" in page.inner_text("#explanation")
    assert chosen(page, picture)["call"] in ("malignant", "benign")
