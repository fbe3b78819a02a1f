"""What a record says: the features of the SIIM-ISIC TFRecords, and the whole table row beside them.

    image                            bytes   the picture, PNG (or JPEG), RGB
    image_name                       bytes   the image id
    patient_id                       int64   its number in codes.json, −1 unknown
    sex                              int64   0 male, 1 female, 2 other, −1 unknown
    age_approx                       int64   years, rounded; −1 unknown
    anatom_site_general_challenge    int64   0 head/neck, 1 upper extremity, 2 lower extremity, 3 torso,
                                             4 palms/soles, 5 oral/genital, others behind; −1 unknown
    diagnosis                        int64   the class, its place in dataset.json
    target                           int64   1 malignant, 0 benign
    width, height                    int64   of the picture in the record, pixels
    edgekd/row                       bytes   the row of table.csv as a JSON object

Sex and site are numbered as in the widely used files, which took values in the order in which they come in
the 2020 tables. There the unknown `age_approx` is the mean age; here it is −1. `codes.json` beside the shards
says what the numbers mean. Other people's shards have none: unless one is put beside them, sex, site and
diagnosis are unknown, for their numbers mean something else in every collection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgekd.data.headers import canonical_id
from edgekd.data.reading import known, parse_age, parse_sex, parse_site
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import BINARY, Diagnosis, find_diagnosis, parse_diagnosis
from edgekd.data.tfrecord.example import Value, Values
from edgekd.errors import DataError, UsageError
from edgekd.plain import canonical_json, from_plain, read_json

IMAGE, NAME, PATIENT, SEX, AGE = "image", "image_name", "patient_id", "sex", "age_approx"
SITE, DIAGNOSIS, TARGET, ROW = "anatom_site_general_challenge", "diagnosis", "target", "edgekd/row"
UNKNOWN = -1

_MOST_TEXT = 1 << 16
_SEXES = ("male", "female", "other")
_SITES = ("head/neck", "upper extremity", "lower extremity", "torso", "palms/soles", "oral/genital")
_TARGETS = {
    **dict.fromkeys(("0", "0.0"), Diagnosis.BENIGN),
    **dict.fromkeys(("1", "1.0"), Diagnosis.MALIGNANT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """`codes.json`: by feature, the names whose place in the list is their number; nothing where not told."""

    patient_id: tuple[str, ...] = ()
    sex: tuple[str, ...] = ()
    anatom_site_general_challenge: tuple[str, ...] = ()
    diagnosis: tuple[str, ...] = ()


def codes_of(rows: Iterable[Row], classes: tuple[str, ...]) -> Codes:
    """The numbers under which `rows` are written; `classes` are those of the data set, in its order."""
    rows = tuple(rows)
    sites = {row.site for row in rows if row.site is not None}
    return Codes(
        patient_id=tuple(sorted({row.patient for row in rows if row.patient is not None})),
        sex=_SEXES,
        anatom_site_general_challenge=(*_SITES, *sorted(sites - set(_SITES))),
        diagnosis=classes,
    )


def read_codes(root: Path) -> Codes | None:
    """What codes.json in `root` says; None where there is none.

    Raises:
        DataError: it cannot be read.
    """
    path = root / "codes.json"
    try:
        return from_plain(Codes, read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, UsageError) as error:
        raise DataError(f"{path} cannot be read: {error}; expected lists of names") from error


class Writer:
    """Table rows as features, numbered by `codes`."""

    def __init__(self, codes: Codes) -> None:
        self._patients = _numbers(codes.patient_id)
        self._sexes = _numbers(codes.sex)
        self._sites = _numbers(codes.anatom_site_general_challenge)
        self._diagnoses = _numbers(codes.diagnosis)

    def features(self, row: Row, image: bytes, px: int) -> dict[str, Value]:
        """What is written of `row`, whose encoded `image` is `px` pixels wide and high."""
        return {
            IMAGE: image,
            NAME: row.image_id.encode(),
            PATIENT: self._patients.get(row.patient, UNKNOWN),
            SEX: self._sexes.get(row.sex, UNKNOWN),
            AGE: UNKNOWN if row.age is None else round(row.age),
            SITE: self._sites.get(row.site, UNKNOWN),
            DIAGNOSIS: self._diagnoses[row.diagnosis],
            TARGET: int(row.malignant),
            "width": px,
            "height": px,
            ROW: canonical_json(row).encode(),
        }


def _numbers(names: tuple[str, ...]) -> dict[str | None, int]:
    return {name: number for number, name in enumerate(names)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Features as table rows of the source `source`; `codes` None: numbers stay unknown."""

    source: str
    malignant: frozenset[str]
    codes: Codes | None

    def row(
        self, features: Mapping[str, Values], where: str, *, split: Split | None, path: str
    ) -> Row | None:
        """The row of one record, which lies in `split` and at `path`; None where it has no label.

        Raises:
            DataError: no image or name, or a value that cannot be meant or contradicts another; `where`
                names the record.
        """
        one = _Record(features, where)
        if not isinstance(one.value(IMAGE), bytes):
            raise DataError(f"{where}: no feature 'image' with the bytes of one picture")
        name = one.string(NAME)
        if not name:
            raise DataError(f"{where}: no feature 'image_name'")
        row = self._own(one, name) if ROW in features else self._strange(one, name)
        if row is None:
            return None
        malignant = self._malignant(row, one)
        try:
            return replace(row, malignant=malignant, source=self.source, split=split, path=path)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error

    def _own(self, one: _Record, name: str) -> Row:
        """The row an export of edgekd wrote, its cells looked at like those of any table."""
        try:
            row = from_plain(Row, json.loads(one.string(ROW)))
        except (ValueError, UsageError, DataError, RecursionError) as error:
            raise DataError(f"{one.where}: feature {ROW!r} is no table row: {error}") from error
        if row.image_id != name:
            raise DataError(f"{one.where}: image_name is {name!r}, its row says {row.image_id!r}")
        return replace(
            row,
            diagnosis=parse_diagnosis(row.diagnosis, one.where).value,
            age=parse_age("" if row.age is None else str(row.age), one.where),
            sex=parse_sex(row.sex or "", one.where),
            site=parse_site(row.site or ""),
        )

    def _strange(self, one: _Record, name: str) -> Row | None:
        codes = self.codes or Codes()
        text = one.coded(DIAGNOSIS, codes.diagnosis)
        binary = one.target()
        found = find_diagnosis(text or "") or binary
        if found is None and text is not None:
            found = parse_diagnosis(text, one.where)
        if found is None:
            return None
        return Row(
            image_id=canonical_id(name),
            path="",
            diagnosis=found.value,
            malignant=False,
            patient=self._patient(one, codes.patient_id),
            age=one.age(),
            sex=parse_sex(one.coded(SEX, codes.sex) or "", one.where),
            site=parse_site(one.coded(SITE, codes.anatom_site_general_challenge) or ""),
            source=self.source,
        )

    def _patient(self, one: _Record, names: tuple[str, ...]) -> str | None:
        """The patient's id; a number without a name means something in this source only."""
        number = one.value(PATIENT)
        if isinstance(number, int) and not names:
            return None if number < 0 else f"{self.source}/{number}"
        return one.coded(PATIENT, names)

    def _malignant(self, row: Row, one: _Record) -> bool:
        malignant, target = row.diagnosis in self.malignant, one.target()
        if target is not None and (target is Diagnosis.MALIGNANT) != malignant:
            raise DataError(
                f"{one.where}: diagnosis {row.diagnosis!r} is {BINARY[malignant]} by data.malignant, but "
                f"target says {target.value}; correct the records or data.malignant"
            )
        return malignant


@dataclass(frozen=True, slots=True)
class _Record:
    """The features of one record, one value each."""

    features: Mapping[str, Values]
    where: str

    def value(self, name: str) -> Value | None:
        """The value of the feature, None where it is absent or empty."""
        values = self.features.get(name, ())
        if len(values) > 1:
            raise DataError(f"{self.where}: feature {name!r} has {len(values)} values, expected one")
        return values[0] if values else None

    def string(self, name: str) -> str:
        """The value as text, empty where there is none."""
        value = self.value(name)
        if isinstance(value, bytes) and len(value) > _MOST_TEXT:
            raise DataError(f"{self.where}: feature {name!r} has {len(value):,} bytes, expected a word")
        try:
            return value.decode() if isinstance(value, bytes) else "" if value is None else str(value)
        except UnicodeDecodeError as error:
            raise DataError(f"{self.where}: feature {name!r} is not UTF-8") from error

    def text(self, name: str) -> str | None:
        """The value as text, None where it is unknown."""
        return known(self.string(name).strip())

    def coded(self, name: str, names: tuple[str, ...]) -> str | None:
        """The text, or what the number stands for in `names`; None where unknown or not told."""
        value = self.value(name)
        if not isinstance(value, int):
            return self.text(name)
        if value >= len(names) > 0:
            raise DataError(f"{self.where}: {name} is {value}, codes.json has {len(names)} names for it")
        return known(names[value]) if 0 <= value < len(names) else None

    def age(self) -> float | None:
        """Years; None where absent or negative."""
        value = self.value(AGE)
        if isinstance(value, int | float) and value < 0:
            return None
        return parse_age(self.text(AGE) or "", self.where)

    def target(self) -> Diagnosis | None:
        """Benign or malignant; None where the record has no target."""
        text = self.text(TARGET)
        if text is None:
            return None
        if text not in _TARGETS:
            raise DataError(f"{self.where}: target is {text!r}, expected 0 or 1")
        return _TARGETS[text]
