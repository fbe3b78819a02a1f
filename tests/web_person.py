"""The card of a small network that also takes a person, people to ask it about, and the form of its page."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edgekd.data.patient import Person, encode
from edgekd.data.reading import MAX_AGE_YEARS
from edgekd.patient_input import PatientColumn, PatientInput
from edgekd.plain import to_plain
from edgekd.runtimes.base import Features
from web_pages import CARD

# Columns in an order that no list of fields or categories has, and three bytes to a year.
PATIENT = PatientInput(
    columns=(
        PatientColumn(name="sex_male", field="sex", category="male"),
        PatientColumn(name="site_torso", field="site", category="torso"),
        PatientColumn(name="age", field="age", low=5.0, high=90.0),
        PatientColumn(name="site_lower extremity", field="site", category="lower extremity"),
        PatientColumn(name="sex_female", field="sex", category="female"),
        PatientColumn(name="site_head/neck", field="site", category="head/neck"),
    )
)
PERSON_CARD = dataclasses.replace(CARD, name="small-person-int8", patient=PATIENT)
CONTEXT = ("patient_images", "same_site")
_CONTRADICTS = "patient columns cannot be used"
# Changes of one column of the card (by its place), or of what stands beside them, and what the page says.
_REFUSED_COLUMNS = [
    (0, {"field": CONTEXT[0], "category": None}, "also wants to know patient_images of the patient"),
    (2, {"low": 90}, _CONTRADICTS),
    (2, {"low": None}, _CONTRADICTS),
    (2, {"category": "old"}, _CONTRADICTS),
    (0, {"category": None}, _CONTRADICTS),
    (0, {"category": "Male"}, _CONTRADICTS),
    (0, {"name": "age"}, _CONTRADICTS),
    (0, {"weight": 2}, _CONTRADICTS),
]
_REFUSED_BESIDE = [
    ({"columns": []}, "names no patient columns"),
    ({"rule": "byte = 0"}, "does not know the patient rule “byte = 0”"),
    ({"missing": "the mean of all"}, "does not know the patient rule"),
    ({"units": "age: months"}, "does not know the patient rule"),
    ({"scaled": True}, "does not know the patient rule"),
]


def features(person: Person) -> Features:
    """What Python makes of `person`: float32 [1, 6]."""
    return encode(PATIENT, [person])


def tell(page: Any, person: Person) -> None:
    """Fill the form in as a person does, what is not known left empty."""
    page.get_by_label("Age in years").fill("" if person.age is None else f"{person.age:g}")
    page.get_by_label("Sex").select_option(person.sex or "")
    page.get_by_label("Site of the lesion").select_option(person.site or "")
    settle(page)


def settle(page: Any) -> None:
    """Wait until what was typed has its answer: timers of one page fire in their order."""
    page.evaluate("() => new Promise((done) => setTimeout(done, 350))")
    page.wait_for_function("() => document.getElementById('status').textContent !== 'Computing…'")


def persons() -> list[Person]:
    """Ages on and between the bytes and beyond both ends; words in every spelling, and unknown ones."""
    rng = np.random.Generator(np.random.PCG64(17))
    halves = [5 + (2 * k + 1) / 6 for k in range(255)]  # 255 times their share ends in a half
    ages = [None, 0, 4.99, 5, 90, 90.01, MAX_AGE_YEARS, *halves, *rng.uniform(0, 120, 200)]
    sexes = [None, "male", "FEMALE", " Male ", "other", ""]
    sites = [None, "torso", " LOWER  extremity", "head/neck", "head", "lower\textremity"]
    return [
        Person(age=age, sex=sexes[n % len(sexes)], site=sites[n // 6 % len(sites)])
        for n, age in enumerate(ages)
    ]


def refused_patients() -> list[tuple[dict[str, Any], str]]:
    """What a card may say of the patient that no page can serve, and what the page says of it."""
    found = []
    for place, change, sentence in _REFUSED_COLUMNS:
        patient = to_plain(PATIENT)
        patient["columns"][place] |= change
        found.append((patient, sentence))
    return [*found, *((to_plain(PATIENT) | changes, sentence) for changes, sentence in _REFUSED_BESIDE)]
