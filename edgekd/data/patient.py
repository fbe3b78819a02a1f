"""What is known of a person as numbers: ranges and categories from training rows, the same for every row.

Ages are put between the least and the greatest of training, sexes and sites become one column for each
category seen there; all that is unknown is 0. Values lie on the grid of 1/255, so that the byte of an 8-bit
file stands for the very number a float network was trained on: nothing is rounded on the way to a phone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.config import PatientField
from edgekd.console import log
from edgekd.data.reading import MAX_AGE_YEARS
from edgekd.data.table import Row, Split
from edgekd.errors import DataError, UsageError
from edgekd.patient_input import PatientColumn, PatientInput

STEPS = 255
IMAGES, SAME_SITE = "patient_images", "same_site"
_FIELDS = {"age": "age", "sex": "sex", "site": "site", "images": IMAGES, "same_site": SAME_SITE}


@dataclass(frozen=True, kw_only=True)
class Person:
    """What is known beside one picture; None: unknown.

    `age` in years. `images` is how many pictures there are of the person, this one included, and
    `same_site` how many of the others show the same site.

    Raises:
        UsageError: an age nobody has, or counts that cannot be.
    """

    age: float | None = None
    sex: str | None = None
    site: str | None = None
    images: int | None = None
    same_site: int | None = None

    def __post_init__(self) -> None:
        if self.age is not None and not 0 <= self.age <= MAX_AGE_YEARS:
            raise UsageError(f"age is {self.age:g}, expected years from 0 to {MAX_AGE_YEARS}, or nothing")
        if self.images is not None and self.images < 1:
            raise UsageError(f"{self.images} pictures of the person, expected 1 or more: this one counts")
        if self.same_site is not None and not 0 <= self.same_site < (self.images or 1):
            raise UsageError(
                f"{self.same_site} other pictures of the same site, expected 0 to {(self.images or 1) - 1}"
            )

    def told(self) -> tuple[str, ...]:
        """The fields that are known, as `PatientColumn.field` names them."""
        return tuple(field for name, field in _FIELDS.items() if getattr(self, name) is not None)

    def number(self, field: str) -> float | None:
        """The value of a field that is a number, in its unit (`patient_input.UNITS`)."""
        return _NUMBERS[field](self)

    def category(self, field: str) -> str | None:
        """The value of a field that is a word, in lower case."""
        text: str | None = getattr(self, field)
        return None if text is None else _word(text)


def fit_patient_input(
    rows: Sequence[Row], fields: Sequence[PatientField], *, context: bool = False
) -> PatientInput | None:
    """How `fields` become columns, by the training rows among `rows` alone; None without any field.

    `context` adds how a lesion stands among its person's others: how many pictures there are, and the share
    of the others at the same site, both within a split.

    Raises:
        DataError: the training rows do not know a field, or for `context` name no person with two pictures,
            or a person is in two splits.
    """
    if context:
        require_whole_patients(rows)
    seen = people([row for row in rows if row.split is Split.TRAIN])
    columns = [column for field in fields for column in _FIT[field](field.value, seen)]
    if context:
        columns += [*_ranged(IMAGES, seen, low=0.0), PatientColumn(name=SAME_SITE, field=SAME_SITE)]
    return PatientInput(columns=tuple(columns)) if columns else None


def require_whole_patients(rows: Sequence[Row]) -> None:
    """Nothing, when no person has pictures in two splits.

    Raises:
        DataError: naming the first who has.
    """
    home: dict[str, Split | None] = {}
    for row in rows:
        if row.patient is not None and home.setdefault(row.patient, row.split) is not row.split:
            raise DataError(
                f"patient {row.patient} is in {home[row.patient]} and in {row.split}: what a person's other "
                "pictures show would cross the splits; divide by patient, or set data.patient_context=false"
            )


def people(rows: Sequence[Row]) -> list[Person]:
    """The person of each of `rows`, which are all of one split: nobody's other pictures lie elsewhere.

    Of a synthetic image nothing is known: its parent's person never had what it shows.
    """
    photographs = [row for row in rows if row.parent is None]
    pictures = Counter(row.patient for row in photographs)
    places = Counter((row.patient, row.site) for row in photographs)
    return [
        Person(
            age=row.age,
            sex=row.sex,
            site=row.site,
            images=pictures[row.patient] if row.patient is not None else None,
            same_site=places[row.patient, row.site] - 1 if row.patient is not None and row.site else None,
        )
        if row.parent is None
        else Person()
        for row in rows
    ]


def encode(made: PatientInput, persons: Sequence[Person]) -> NDArray[np.float32]:
    """The patient vectors float32 [n, f] of `persons`: whole multiples of 1/255 from 0 to 1.

    A category that training never saw counts as unknown; `tell_unseen` says so.
    """
    stored = np.zeros((len(persons), len(made.columns)), np.uint8)
    for place, column in enumerate(made.columns):
        stored[:, place] = [_byte(column, person) for person in persons]
    return to_features(stored)


def tell_unseen(made: PatientInput, persons: Sequence[Person], *, strict: bool = False) -> None:
    """Warn, once for all, of categories of `persons` that training never saw; with `strict` refuse them.

    Raises:
        DataError: there is one, with `strict`.
    """
    unseen = _unseen(made, persons)
    if unseen and strict:
        known = ", ".join(f"{column.field} {column.category!r}" for column in made.columns if column.category)
        raise DataError(f"{', '.join(unseen)}: not seen in training; known are {known}")
    if unseen:
        log.warning("%s: not seen in training, taken as unknown", ", ".join(unseen))


def to_bytes(features: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The bytes uint8 [n, f] of patient vectors, as an 8-bit file takes them."""
    return np.asarray(np.rint(features * np.float32(STEPS)), np.uint8)


def to_features(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The patient vectors float32 [n, f] that `stored` stands for: byte / 255."""
    return np.asarray(stored.astype(np.float32) / np.float32(STEPS))


def _byte(column: PatientColumn, person: Person) -> int:
    if column.category is not None:
        return STEPS if person.category(column.field) == column.category else 0
    value = person.number(column.field)
    if value is None:
        return 0
    share = (value - column.low) / (column.high - column.low)
    return math.floor(STEPS * min(1.0, max(0.0, share)) + 0.5)


def _ranged(field: str, seen: Sequence[Person], low: float | None = None) -> Iterator[PatientColumn]:
    values = [value for person in seen if (value := person.number(field)) is not None]
    if not values or max(values) <= (least := min(values) if low is None else low):
        raise DataError(
            f"{field} says nothing: the training rows do not know two different values of it; leave it out "
            "of data.patient (patient_images: set data.patient_context=false)"
        )
    yield PatientColumn(name=field, field=field, low=least, high=max(values))


def _categories(field: str, seen: Sequence[Person]) -> Iterator[PatientColumn]:
    words = sorted({word for person in seen if (word := person.category(field))})
    if not words:
        raise DataError(f"no training row says a {field}: leave it out of data.patient")
    for word in words:
        yield PatientColumn(name=f"{field}_{word}", field=field, category=word)


def _unseen(made: PatientInput, persons: Sequence[Person]) -> list[str]:
    """Each unknown category once, as `site 'elbow'`."""
    known = {(column.field, column.category) for column in made.columns if column.category is not None}
    fields = sorted({field for field, _ in known})
    found = {(field, word) for field in fields for person in persons if (word := person.category(field))}
    return [f"{field} {word!r}" for field, word in sorted(found - known)]


def _word(text: str) -> str:
    return " ".join(text.lower().split())


def _log_images(person: Person) -> float | None:
    return None if person.images is None else math.log2(person.images)


def _same_site(person: Person) -> float | None:
    if person.images is None or person.images < 2 or person.same_site is None:
        return None
    return person.same_site / (person.images - 1)


_NUMBERS: Mapping[str, Callable[[Person], float | None]] = {
    PatientField.AGE: lambda person: person.age,
    IMAGES: _log_images,
    SAME_SITE: _same_site,
}

_FIT: Mapping[PatientField, Callable[[str, Sequence[Person]], Iterator[PatientColumn]]] = {
    PatientField.AGE: _ranged,
    PatientField.SEX: _categories,
    PatientField.SITE: _categories,
}
