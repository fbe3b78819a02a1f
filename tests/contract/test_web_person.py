"""The web page of a model that also takes age, sex and site, in a real Chromium: bytes, answers, form."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import web_pages
from edgekd import patient_input
from edgekd.bundle.web_bundle import check_web, write_web
from edgekd.config import PatientField
from edgekd.data.patient import Person, encode, to_bytes
from edgekd.data.reading import MAX_AGE_YEARS
from edgekd.errors import ModelError
from edgekd.imaging.decode import read_image
from edgekd.imaging.resample import prepare
from edgekd.patient_input import PatientColumn, PatientInput
from edgekd.plain import to_plain
from web_pages import (
    PX,
    altered_card,
    answered,
    assert_answers_as_python,
    chosen,
    open_page,
    refused,
    with_altered,
)
from web_person import CONTEXT, PATIENT, PERSON_CARD, features, persons, refused_patients, settle, tell

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return web_pages.write_web_bundle(tmp_path_factory.mktemp("person") / "bundle", PERSON_CARD)


@pytest.fixture(scope="module")
def image(picture: Path) -> np.ndarray:
    return prepare(read_image(picture), PX)


@pytest.fixture
def shown(page: Any, picture: Path) -> Any:
    """The page with a picture chosen and an empty form."""
    tell(page, Person())
    chosen(page, picture)
    return page


def test_a_person_becomes_the_bytes_that_python_makes(page):
    """Also in words no form offers, for the rule is the card's and not the form's."""
    encoded = """async ([patient, persons]) => {
      const { encode } = await import("/patient.js");
      return persons.map((person) => Array.from(encode(patient, person)));
    }"""
    asked = persons()
    told = [{"age": one.age, "sex": one.sex, "site": one.site} for one in asked]
    expected = to_bytes(encode(PATIENT, asked))
    assert len(np.unique(expected[:, 2])) > 200
    np.testing.assert_array_equal(page.evaluate(encoded, [to_plain(PATIENT), told]), expected)
    assert page.evaluate(encoded, [to_plain(PATIENT), [{}]]) == [[0] * 6]


def test_the_rules_of_the_page_are_those_of_python(page):
    known = page.evaluate("async () => ({ ...(await import('/patient.js')) })")
    assert (known["RULE"], known["MISSING"]) == (patient_input.RULE, patient_input.MISSING)
    assert known["AGE_YEARS"] == {"min": 0, "max": MAX_AGE_YEARS}
    beyond = """async (fields) =>
      (await import("/patient.js")).beyond({ columns: fields.map((field) => ({ field })) })"""
    assert page.evaluate(beyond, [*map(str, PatientField), *CONTEXT]) == list(CONTEXT)


def test_golden_pictures_give_pythons_values_for_their_person(page, bundle):
    """The lesions through the form, and all of them through the page's own check."""
    golden = json.loads((bundle / "golden" / "golden.json").read_text())
    assert golden["patient"] == [255, 255, 128, 0, 0, 0]
    tell(page, Person(age=47.5, sex="male", site="torso"))  # those very bytes
    for item in golden["items"][:4]:
        found = chosen(page, bundle / item["image"])
        fed = np.frombuffer((bundle / item["input"]).read_bytes(), np.uint8).reshape(PX, PX, 3)
        np.testing.assert_array_equal(found["input"], fed, err_msg=item["image"])
        np.testing.assert_array_equal(found["logits"], np.array(item["logits"]))
        assert found["score"] == pytest.approx(item["score"], rel=1e-12, abs=1e-12)
    tell(page, Person())
    page.click("#check")
    page.wait_for_selector("#check-result.good")
    assert page.inner_text("#check-result").startswith("All 14 test pictures give the same bytes")


def test_the_form_changes_the_answer_to_pythons_for_that_person(shown, runtime, image):
    """The last picture is neither decoded nor resized again, and the answer names what was left empty."""
    shown.evaluate("""() => {
      globalThis.work = 0;
      const canvas = CanvasRenderingContext2D.prototype;
      for (const [owner, name] of [[globalThis, "createImageBitmap"], [canvas, "drawImage"]]) {
        const real = owner[name];
        owner[name] = function (...given) { globalThis.work++; return real.apply(this, given); };
      }
    }""")
    scores = set()
    for person, told, empty in (
        (Person(age=71), "told: age 71.", "without sex and site, left empty"),
        (Person(age=0.5, sex="female"), "told: sex female, age 0.5.", "without site, left empty"),
        (Person(age=35, sex="male", site="head/neck"), "told: sex male, site head/neck, age 35.", ""),
        (Person(sex="female", site="lower extremity"), "sex female, site lower ext", "without age, left"),
        (Person(), "", "without sex, site and age, left empty"),
    ):
        found = answered(shown, lambda person=person: tell(shown, person))
        assert_answers_as_python(found, runtime, image, features(person))
        said = shown.inner_text("#explanation")
        assert told in said and empty in said and bool(empty) == ("answers without" in said)
        assert bool(told) == ("was told" in said)
        scores.add(found["score"])
    assert len(scores) == 5 and shown.evaluate("globalThis.work") == 0
    assert (
        shown.get_by_role("status").first.inner_text().endswith("without sex, site and age. Not a diagnosis.")
    )


def test_an_age_that_cannot_be_gets_no_answer(shown, runtime, image, picture):
    age = shown.get_by_label("Age in years")
    for text in ("130", "-1", "1e"):  # the last is no number, whose field reads as an empty one
        age.fill("")
        age.press_sequentially(text)
        shown.wait_for_selector("#answer[data-call='none']")
        assert shown.inner_text("#explanation") == "The age must be 0 to 120 years, or stay empty."
        assert shown.is_hidden("#judged") and age.get_attribute("aria-invalid") == "true"
        assert shown.inner_text("#age-note") == "The age must be 0 to 120 years, or stay empty."
        shown.set_input_files("#file", picture)  # nor with another photo
        shown.wait_for_selector("#answer[data-call='none']")
        settle(shown)
        found = answered(shown, lambda: shown.click("text=Empty the form"))
        assert_answers_as_python(found, runtime, image, features(Person()))
        assert age.get_attribute("aria-invalid") == "false" and shown.inner_text("#age-note") == ""


def test_a_keyboard_and_a_screen_reader_find_the_form(shown, runtime, image):
    for role, name in (
        ("form", "The person"),
        ("spinbutton", "Age in years"),
        ("combobox", "Sex"),
        ("combobox", "Site of the lesion"),
    ):
        assert shown.get_by_role(role, name=name).count() == 1, (role, name)

    def type_all():
        shown.get_by_label("Age in years").focus()
        for key in ("6", "2", "Enter", "Tab", "f", "Tab", "h"):
            shown.keyboard.press(key)
        settle(shown)

    person = Person(age=62, sex="female", site="head/neck")
    assert_answers_as_python(answered(shown, type_all), runtime, image, features(person))
    shown.set_viewport_size({"width": 320, "height": 700})
    assert shown.evaluate("document.documentElement.scrollWidth") <= 320


def test_nothing_typed_is_kept_or_sent(shown, visit, server):
    asked = visit[1]
    before = len(asked)
    tell(shown, Person(age=77, sex="female", site="torso"))
    assert "age 77" in shown.inner_text("#explanation")
    kept = """async () => [localStorage.length + sessionStorage.length, document.cookie,
      (await indexedDB.databases()).length, location.href]"""
    assert shown.evaluate(kept) == [0, "", 0, server.url]
    assert asked[before:] == []
    assert shown.get_attribute("#person", "autocomplete") == "off"  # else a browser may keep it by itself


def test_a_card_whose_person_it_cannot_ask_is_refused_in_words(page):
    checked = """async (card) => {
      const { checkCard } = await import("/card.js");
      try { checkCard(card); } catch (error) { return error.message; }
      return "";
    }"""
    card = to_plain(PERSON_CARD)
    assert page.evaluate(checked, card) == ""
    for patient, sentence in refused_patients():
        assert sentence in page.evaluate(checked, card | {"patient": patient}), patient


def test_a_file_that_takes_the_person_second_answers_the_same(
    context, bundle, server, runtime, picture, image
):
    with_altered(
        context,
        bundle,
        "model.tflite",
        web_pages.model_of(PERSON_CARD, patient_first=False),
        listed=True,
    )
    page = open_page(context, server.url)
    person = Person(age=44, site="torso")
    tell(page, person)
    assert_answers_as_python(chosen(page, picture), runtime, image, features(person))


def test_a_file_with_other_inputs_than_its_card_says_is_refused(page):
    matched = """async (details) => {
      const { inOrder } = await import("/engine.js");
      const inputs = details.map(([dtype, shape]) => ({ dtype, shape: Int32Array.from(shape) }));
      try { return inOrder(inputs, { picture: [1, 96, 96, 3], patient: [1, 6] }).join(); }
      catch (error) { return error.message; }
    }"""
    seen, told = ("uint8", [1, 96, 96, 3]), ("uint8", [1, 6])
    assert page.evaluate(matched, [seen, told]) == "picture,patient"
    assert page.evaluate(matched, [told, seen]) == "patient,picture"
    for inputs in (
        [seen],
        [seen, seen],
        [seen, told, told],
        [seen, ("uint8", [1, 5])],
        [seen, ("float32", [1, 6])],
    ):
        has = " and ".join(f"{dtype} [{','.join(map(str, shape))}]" for dtype, shape in inputs)
        assert page.evaluate(matched, inputs) == (
            f"The model file does not fit its card: it takes {has}, the card says "
            "a picture of uint8 [1,96,96,3] and a patient of uint8 [1,6]."
        )


def test_a_page_of_another_card_is_refused(context, bundle, server):
    fewer = to_plain(PATIENT) | {"columns": to_plain(PATIENT)["columns"][:5]}
    with_altered(context, bundle, "card.json", altered_card(bundle, patient=fewer), listed=True)
    page = context.new_page()
    told = refused(page, lambda: page.goto(server.url))
    assert "page.json does not fit the model card" in told and page.is_hidden("#person")


def test_the_command_makes_no_page_for_what_it_cannot_ask_or_feed(tmp_path):
    columns = [*PATIENT.columns, *(PatientColumn(name=field, field=field) for field in CONTEXT)]
    card = dataclasses.replace(PERSON_CARD, patient=PatientInput(columns=tuple(columns)))
    with pytest.raises(ModelError, match="takes patient_images, same_site of the patient, which a web page"):
        check_web(card)
    for model, served in (
        (PERSON_CARD, dataclasses.replace(PERSON_CARD, patient=PatientInput(columns=PATIENT.columns[:5]))),
        (PERSON_CARD, web_pages.CARD),
        (web_pages.CARD, PERSON_CARD),
    ):
        (tmp_path / "model.tflite").write_bytes(web_pages.model_of(model))
        with pytest.raises(ModelError, match="the page takes one uint8 picture"):
            write_web(tmp_path, served)
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
