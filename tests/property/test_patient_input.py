"""Patient data as numbers: bounds, what training alone decides, what is unknown, one person's pictures."""

from __future__ import annotations

import dataclasses
import json
import logging
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.config import PatientField
from edgekd.data.patient import (
    Person,
    encode,
    fit_patient_input,
    people,
    tell_unseen,
    to_bytes,
    to_features,
)
from edgekd.data.table import Row, Split
from edgekd.errors import DataError, UsageError
from edgekd.patient_input import PatientColumn, PatientInput
from edgekd.plain import from_plain, to_plain

FIELDS = tuple(PatientField)
ages = st.none() | st.floats(0, 120, allow_nan=False)
sexes = st.none() | st.sampled_from(["male", "female", "Other"])
sites = st.none() | st.sampled_from(["torso", "head/neck", "Lower  Extremity", "palms/soles"])
persons = st.builds(Person, age=ages, sex=sexes, site=sites)


def row(number: int, split: Split, person: Person, patient: str | None = None) -> Row:
    return Row(
        image_id=f"i{number}",
        path=f"i{number}.jpg",
        diagnosis="nv",
        malignant=False,
        split=split,
        patient=patient,
        age=person.age,
        sex=person.sex,
        site=person.site,
        source="s",
    )


def table(split: Split, known: list[Person]) -> list[Row]:
    return [row(number, split, person) for number, person in enumerate(known)]


ANCHORS = [Person(age=20.0, sex="male", site="torso"), Person(age=70.0, sex="female", site="head/neck")]


def fitted(known: list[Person]) -> PatientInput:
    made = fit_patient_input(table(Split.TRAIN, [*ANCHORS, *known]), FIELDS)
    assert made is not None
    return made


@given(training=st.lists(persons, max_size=8), asked=st.lists(persons, min_size=1, max_size=8))
def test_values_are_bytes_between_0_and_1_and_a_category_is_said_once(training, asked) -> None:
    made = fitted(training)
    values = encode(made, asked)
    assert values.shape == (len(asked), len(made.columns))
    assert values.dtype == np.float32
    assert np.array_equal(values, to_features(to_bytes(values)))
    assert values.min() >= 0 and values.max() <= 1
    for field in ("sex", "site"):
        places = [n for n, column in enumerate(made.columns) if column.field == field]
        assert set(values[:, places].sum(axis=1).tolist()) <= {0.0, 1.0}


@given(training=st.lists(persons, max_size=8), others=st.lists(persons, max_size=8), person=persons)
def test_rows_outside_training_decide_nothing(training, others, person) -> None:
    rows = table(Split.TRAIN, [*ANCHORS, *training])
    elsewhere = [
        row(1000 + number, split, one)
        for split in (Split.VALIDATION, Split.TEST)
        for number, one in enumerate([*others, Person(age=120.0, sex="poison", site="poison")])
    ]
    alone, beside = fit_patient_input(rows, FIELDS), fit_patient_input([*elsewhere, *rows], FIELDS)
    assert alone == beside
    assert alone is not None and "poison" not in {column.category for column in alone.columns}
    assert np.array_equal(encode(alone, [person]), encode(beside, [person]))


@given(training=st.lists(persons, max_size=8), person=persons)
def test_what_is_unknown_is_0_and_moves_nothing_else(training, person) -> None:
    made = fitted(training)
    told = encode(made, [person])[0]
    assert not encode(made, [Person()]).any()
    for field in FIELDS:
        silent = encode(made, [dataclasses.replace(person, **{field.value: None})])[0]
        own = np.array([column.field == field for column in made.columns])
        assert not silent[own].any()
        assert np.array_equal(silent[~own], told[~own])


@given(training=st.lists(persons, max_size=8), age=st.floats(0, 120))
def test_an_age_is_within_half_a_step_of_its_place_in_training(training, age) -> None:
    made = fitted(training)
    seen = [person.age for person in [*ANCHORS, *training] if person.age is not None]
    expected = np.clip((age - min(seen)) / (max(seen) - min(seen)), 0, 1)
    assert made.columns[0] == PatientColumn(name="age", field="age", low=min(seen), high=max(seen))
    assert abs(float(encode(made, [Person(age=age)])[0, 0]) - expected) <= 0.5 / 255 + 1e-6


def test_every_byte_reads_back() -> None:
    stored = np.arange(256, dtype=np.uint8)[np.newaxis]
    assert np.array_equal(to_bytes(to_features(stored)), stored)


def test_a_case_or_a_second_blank_makes_no_other_category() -> None:
    made = fitted([Person(site="Lower  Extremity")])
    assert "site_lower extremity" in made.names
    spellings = [Person(site="lower extremity"), Person(site=" LOWER extremity ")]
    assert encode(made, spellings)[:, made.names.index("site_lower extremity")].tolist() == [1.0, 1.0]


def test_an_unseen_category_is_unknown_with_one_warning_or_refused(caplog) -> None:
    made = fitted([])
    asked = [Person(site="elbow", sex="male"), Person(site="elbow"), Person(sex="robot")]
    with caplog.at_level(logging.WARNING, logger="edgekd"):
        tell_unseen(made, asked)
    assert [record.getMessage() for record in caplog.records] == [
        "sex 'robot', site 'elbow': not seen in training, taken as unknown"
    ]
    assert encode(made, asked)[0, made.names.index("sex_male")] == 1
    assert not encode(made, asked)[1:].any()
    with pytest.raises(DataError, match="site 'elbow': not seen in training; known are .*site 'torso'"):
        tell_unseen(made, asked[:1], strict=True)


@pytest.mark.parametrize("age", [-1.0, 400.0, math.nan, math.inf])
def test_an_age_nobody_has_is_refused(age) -> None:
    with pytest.raises(UsageError, match="expected years from 0 to 120"):
        Person(age=age)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ([Person(sex="male", site="torso")] * 3, "age says nothing"),
        ([Person(age=50.0, sex="male", site="torso")] * 3, "age says nothing"),
        ([Person(age=50.0, sex="male"), Person(age=60.0)], "no training row says a site"),
    ],
)
def test_a_field_the_training_rows_do_not_know_is_refused(known, told) -> None:
    with pytest.raises(DataError, match=told):
        fit_patient_input(table(Split.TRAIN, known), FIELDS)


@given(sizes=st.lists(st.integers(1, 6), min_size=2, max_size=8), data=st.data())
def test_context_counts_a_persons_own_pictures_of_one_split(sizes, data) -> None:
    rows = [
        row(100 * patient + n, Split.TRAIN, data.draw(persons), f"p{patient}")
        for patient, size in enumerate([*sizes, 7])
        for n in range(size)
    ]
    order = data.draw(st.permutations(range(len(rows))))
    mixed = [rows[number] for number in order]
    for place, one in zip(order, people(mixed), strict=True):
        mine = [other for other in rows if other.patient == rows[place].patient]
        assert one.images == len(mine)
        same = sum(other.site == rows[place].site for other in mine) - 1
        assert one.same_site == (same if rows[place].site else None)
    made = fit_patient_input(rows, (), context=True)
    assert made is not None and made.columns[0].high == math.log2(7)
    values = encode(made, people(rows))
    assert values[-1, 0] == 1  # the person with most pictures
    assert not values[[n for n, one in enumerate(people(rows)) if one.images == 1]].any()


def test_nothing_is_known_of_a_synthetic_image_and_it_is_nobodys_picture() -> None:
    rows = [row(n, Split.TRAIN, ANCHORS[0], "p") for n in range(3)]
    made_up = dataclasses.replace(rows[0], image_id="synthetic", diagnosis="mel", parent="i0")
    found = people([*rows, made_up])
    assert found[3] == Person()
    assert found[:3] == people(rows)
    assert found[0] == dataclasses.replace(ANCHORS[0], images=3, same_site=2)


def test_context_needs_persons_and_persons_within_one_split() -> None:
    with pytest.raises(DataError, match="patient_images says nothing"):
        fit_patient_input(table(Split.TRAIN, ANCHORS), FIELDS, context=True)
    rows = [row(0, Split.TRAIN, Person(), "p"), row(1, Split.TEST, Person(), "p")]
    with pytest.raises(DataError, match="patient p is in train and in test"):
        fit_patient_input(rows, (), context=True)


def test_the_input_is_json_and_without_fields_there_is_none() -> None:
    made = fitted([Person(site="palms/soles")])
    assert from_plain(PatientInput, json.loads(json.dumps(to_plain(made)))) == made
    assert fit_patient_input(table(Split.TRAIN, ANCHORS), ()) is None
