"""What a request may tell of the person: the fields that the model takes, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekd.card import ModelCard
from edgekd.data.patient import IMAGES, SAME_SITE, Person
from edgekd.errors import UsageError
from edgekd.serve.refusal import Reason, Refusal


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a request: its `name` there, the attribute of `Person`, its JSON type, what it means."""

    name: str
    attribute: str
    kind: str
    meaning: str

    def schema(self) -> dict[str, Any]:
        """Its JSON schema."""
        return {"type": self.kind, "description": self.meaning}


# By the field of a card's patient columns.
_FIELDS: Mapping[str, Field] = {
    "age": Field(name="age", attribute="age", kind="number", meaning="Age in years."),
    "sex": Field(name="sex", attribute="sex", kind="string", meaning="Sex, as the card lists them."),
    "site": Field(name="site", attribute="site", kind="string", meaning="Site, as the card lists them."),
    IMAGES: Field(
        name="pictures",
        attribute="images",
        kind="integer",
        meaning="Pictures there are of the person, this one included.",
    ),
    SAME_SITE: Field(
        name="same_site",
        attribute="same_site",
        kind="integer",
        meaning="How many of the others show the same site.",
    ),
}
_PARSE = {"number": float, "integer": int, "string": str}


def fields_of(card: ModelCard) -> tuple[Field, ...]:
    """The fields that the model takes; none for a model of pictures alone."""
    taken = card.patient.fields if card.patient else ()
    needed = [*taken, *([IMAGES] if SAME_SITE in taken and IMAGES not in taken else [])]
    return tuple(_FIELDS[name] for name in needed)


ANYWAY = Field(
    name="judge_anyway",
    attribute="",
    kind="boolean",
    meaning="Answer for a photo that cannot be judged by the card's limits, too.",
)


def read_anyway(told: Sequence[tuple[str, str]]) -> tuple[bool, list[tuple[str, str]]]:
    """Whether `told` says true for `judge_anyway`, and the rest of it.

    Raises:
        Refusal: it says neither true nor false.
    """
    texts = [text for name, text in told if name == ANYWAY.name]
    if texts not in ([], ["true"], ["false"], [""]):
        raise Refusal(Reason.BAD_REQUEST, f"{ANYWAY.name} is to be true or false, once")
    return texts == ["true"], [one for one in told if one[0] != ANYWAY.name]


def read_person(told: Iterable[tuple[str, str]], fields: Iterable[Field]) -> dict[str, Any]:
    """What `told` (names and texts of a request) says, as the attributes of `Person` that are known.

    An empty text is an unknown value, as forms send it.

    Raises:
        Refusal: a field the model does not take, one told twice, or a value that cannot be.
    """
    known = {field.name: field for field in fields}
    found: dict[str, Any] = {}
    for name, text in told:
        if name not in known:
            raise Refusal(Reason.BAD_REQUEST, _unknown(name, tuple(known)))
        if known[name].attribute in found:
            raise Refusal(Reason.BAD_REQUEST, f"{name} is told twice")
        if text:
            found[known[name].attribute] = _value(known[name], text)
    try:
        Person(**found)
    except UsageError as error:
        raise Refusal(Reason.BAD_REQUEST, str(error)) from None
    return found


def unseen(card: ModelCard, person: Mapping[str, Any]) -> list[str]:
    """The fields of `person` whose word training never saw: they count as unknown."""
    columns = card.patient.columns if card.patient else ()
    categories = [(column.field, column.category) for column in columns if column.category]
    named = Person(**person)
    words = {field: named.category(field) for field, _ in categories}
    return sorted(field for field, word in words.items() if word and (field, word) not in categories)


def _unknown(name: str, known: tuple[str, ...]) -> str:
    takes = f"it takes {', '.join(known)}" if known else "it takes the picture alone"
    return f"this model does not take {name[:40]!a}; {takes}"


def _value(field: Field, text: str) -> Any:
    try:
        value = _PARSE[field.kind](text)
    except ValueError:
        raise Refusal(Reason.BAD_REQUEST, f"{field.name} is {text[:40]!a}, expected a {field.kind}") from None
    return value
