"""Names of diagnoses."""

from __future__ import annotations

import pytest

from edgekd.data.taxonomy import (
    DESCRIPTIONS,
    Diagnosis,
    find_diagnosis,
    in_order,
    malignant_names,
    parse_diagnosis,
)
from edgekd.errors import DataError, UnknownNameError


@pytest.mark.parametrize(
    ("text", "diagnosis"),
    [
        ("MEL", "mel"),
        ("Melanoma", "mel"),
        ("nevus", "nv"),
        ("melanocytic_nevi", "nv"),
        ("seborrheic keratosis", "bkl"),
        ("Benign-Keratosis-like lesions", "bkl"),
        ("Bowen's disease", "akiec"),
        ("AK", "akiec"),
        ("Squamous Cell Carcinoma", "scc"),
        ("benign", "benign"),
        ("Malignant", "malignant"),
    ],
)
def test_long_and_short_names_are_understood(text: str, diagnosis: str) -> None:
    assert parse_diagnosis(text, "here") == diagnosis


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        DataError, match=r"^t\.csv, line 3: unknown diagnosis 'melanom': did you mean melanoma"
    ):
        parse_diagnosis("melanom", "t.csv, line 3")
    assert find_diagnosis("") is None


def test_every_diagnosis_is_described() -> None:
    assert set(DESCRIPTIONS) == set(Diagnosis)


def test_the_order_is_that_of_the_list() -> None:
    assert in_order(["nv", "bkl", "mel", "nv"]) == ("mel", "nv", "bkl")


def test_malignant_always_is() -> None:
    assert malignant_names(("mel",)) == {"mel", "malignant"}
    with pytest.raises(UnknownNameError, match="'melanoma'"):
        malignant_names(("melanoma",))
    with pytest.raises(UnknownNameError, match="'benign'"):
        malignant_names(("benign",))
