"""A prepared data set whose diagnosis shows in the picture and, more clearly, in who the person is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import tiny_students
from edgekd.config import PatientField
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.data.patient import fit_patient_input
from edgekd.data.table import Row, Split, read_table, write_table
from edgekd.plain import write_json
from tiny_dataset import CLASSES, prepare

FIELDS = (PatientField.AGE, PatientField.SEX, PatientField.SITE)
SITES = ("torso", "head/neck", "lower extremity")
TYPICAL_AGE = {"mel": 70.0, "nv": 35.0, "bkl": 60.0}


def write_patients(folder: Path) -> Dataset:
    """60 images a split of 30 persons; melanomas are of old men, on the torso more often than not."""
    prepare(folder, lambda count, seed: tiny_students.lesions(count, 70 + seed)[0])
    rows = [known(row, number) for number, row in enumerate(read_table(folder / "table.csv"))]
    return rewrite(folder, rows)


def rewrite(folder: Path, rows: list[Row]) -> Dataset:
    """The data set with the table `rows`, its patient columns fitted anew."""
    import json

    write_table(folder / "table.csv", rows)
    record = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    record["patient"] = fit_patient_input(rows, FIELDS, context=True)
    write_json(folder / "dataset.json", record)
    return open_dataset(folder)


def known(row: Row, number: int) -> Row:
    """`row` with age, sex, site and a patient of two pictures; one row in twelve says nothing."""
    random = np.random.Generator(np.random.PCG64([21, number]))
    malignant = row.diagnosis == CLASSES[0]
    silent = number % 12 == 7
    return replace(
        row,
        patient=f"{row.split}_p{number // 2}",
        age=None if silent else float(np.clip(random.normal(TYPICAL_AGE[row.diagnosis], 9), 0, 95).round()),
        sex=None
        if silent
        else str(random.choice(["male", "female"], p=[0.8, 0.2] if malignant else [0.4, 0.6])),
        site=None
        if silent
        else str(random.choice(SITES, p=[0.7, 0.2, 0.1] if malignant else [0.2, 0.3, 0.5])),
    )


def poisoned(rows: tuple[Row, ...], splits: tuple[Split, ...]) -> list[Row]:
    """`rows` with absurd persons in `splits`: 120 years old, of a sex and at a site nobody else has."""
    return [
        replace(row, age=120.0, sex="other", site="poison") if row.split in splits else row for row in rows
    ]
