"""`PatientInput`: how what is known of a person becomes the second input of a network.

Written once by the data station, and shipped inside the card: an application retypes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.errors import UsageError

TENSOR = "patient"
RULE = (
    "byte = floor(255 * v + 0.5); v of a column with a category: 1 where the field is that category (any "
    "case), else 0; of any other: (value - low) / (high - low), cut to 0..1. A .tflite file takes the bytes "
    "as uint8 [1, f], a Core ML package and a Keras model byte / 255 as float32 [1, f]"
)
MISSING = "byte 0 for all that is not known, a category that is not listed, and a person's only picture"
UNITS = (
    "age: years; patient_images: log2 of the number of pictures there are of the person, this one included; "
    "same_site: the share of the person's other pictures that show the same site"
)


@dataclass(frozen=True, kw_only=True)
class PatientColumn:
    """One value of the patient vector: what `field` says, as `RULE` puts it.

    With a `category` (lower case) it says whether the field is that one; without, how far between `low` and
    `high` the value lies, which are the ends seen in training.
    """

    name: str
    field: str
    category: str | None = None
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise UsageError(f"patient column {self.name}: low {self.low:g} is not below high {self.high:g}")


@dataclass(frozen=True, kw_only=True)
class PatientInput:
    """The patient vector: its `columns` in order, the input's name, and the conventions in words."""

    tensor: str = TENSOR
    columns: tuple[PatientColumn, ...]
    rule: str = RULE
    units: str = UNITS
    missing: str = MISSING

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.columns) or not self.columns:
            raise UsageError(f"patient input: columns {', '.join(self.names) or 'none'} are empty or repeat")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields the columns read, each once, in order."""
        return tuple(dict.fromkeys(column.field for column in self.columns))
