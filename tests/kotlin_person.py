"""What Python hands to the Kotlin library of models taking age, sex and site too: bytes, bundles, logits."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

import kotlin_side
from edgekd.config import Precision
from edgekd.data.patient import Person, encode, to_bytes
from edgekd.data.reading import MAX_AGE_YEARS
from edgekd.patient_input import PatientColumn, PatientInput
from edgekd.plain import to_plain
from edgekd.runtimes.litert import LitertRuntime
from patient_tflite import patient_classifier

PX = 48


def _words(field: str, *words: str) -> tuple[PatientColumn, ...]:
    return tuple(PatientColumn(name=f"{field}_{word}", field=field, category=word) for word in words)


# The first comes first in its file, whose signature lists it last; the other one is the usual way round.
PATIENTS = {
    "person-first": PatientInput(
        columns=(
            *_words("site", "head/neck", "lower extremity", "οδος", "i̇", "straße"),
            PatientColumn(name="age", field="age", low=3.5, high=97.25),
            *_words("sex", "female", "male"),
        )
    ),
    "person-last": PatientInput(
        columns=(
            PatientColumn(name="age", field="age", low=10.0, high=90.0),
            *_words("sex", "female", "male"),
        )
    ),
}
_TEXTS = ("", " ", "female", " FEMALE", "Male\t", "other", "straße", "STRASSE", "ΟΔΟΣ", "İ", "ı", "HEAD/NECK")


def write_person_vectors(folder: Path) -> int:
    """Write persons.json: for every patient input the persons and their bytes; how many persons there are."""
    known = [
        {
            "patient": to_plain(made),
            "persons": [
                _told(person) | {"bytes": to_bytes(encode(made, [person]))[0].tolist()}
                for person in _persons(made)
            ],
        }
        for made in PATIENTS.values()
    ]
    (folder / "persons.json").write_text(json.dumps({"inputs": known}), encoding="utf-8")
    return sum(len(one["persons"]) for one in known)


def _persons(made: PatientInput) -> Iterator[Person]:
    """Nothing known, ages at and beside each step of the byte, every blank that Python knows."""
    yield Person()
    (column,) = (column for column in made.columns if column.field == "age")
    steps = column.low + (np.arange(256) + 0.5) / 255 * (column.high - column.low)
    beside = np.concatenate([steps, np.nextafter(steps, 0), np.nextafter(steps, 200)])
    rng = np.random.Generator(np.random.PCG64(8))
    ages = [0.0, -0.0, 5e-324, MAX_AGE_YEARS, *np.arange(0, 121, 0.5), *beside, *rng.uniform(0, 120, 500)]
    yield from (Person(age=float(age)) for age in ages if 0 <= age <= MAX_AGE_YEARS)
    blanks = [
        chr(code) for code in range(sys.maxunicode) if chr(code).isspace() or code in (0, 0x200B, 0x180E)
    ]
    texts = [*_TEXTS, *(f"{blank}Lower{blank} {blank}extremity{blank}" for blank in blanks)]
    yield from (Person(site=text, sex=sex) for text in texts for sex in (None, "male", text))


def _told(person: Person) -> dict[str, Any]:
    return {name: getattr(person, name) for name in ("age", "sex", "site")}


def write_person_bundles(folder: Path) -> list[Path]:
    """The bundles of two models with a second input, 8-bit, one for each of `PATIENTS`."""
    made = []
    for name, patient in PATIENTS.items():
        model = folder / f"{name}.tflite"
        first = name == "person-first"
        content = patient_classifier(PX, len(kotlin_side.LABELS), len(patient.columns), patient_first=first)
        model.write_bytes(_signed(content) if first else content)
        made.append(
            kotlin_side.write_bundle_of(model, folder / name, Precision.INT8, PX, name=name, patient=patient)
        )
    return made


def _signed(content: bytes) -> bytes:
    """The model with int8 inputs, and with a signature that names them in the opposite order."""
    model = schema.ModelT.InitFromPackedBuf(content)
    graph, signature = model.subgraphs[0], schema.SignatureDefT()
    for place in graph.inputs:
        tensor = graph.tensors[place]
        tensor.type, tensor.quantization.zeroPoint = (
            schema.TensorType.INT8,
            tensor.quantization.zeroPoint - 128,
        )
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs = [_named(graph, place) for place in graph.inputs[::-1]]
    signature.outputs = [_named(graph, place) for place in graph.outputs]
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _named(graph: Any, place: int) -> Any:
    named = schema.TensorMapT()
    named.name, named.tensorIndex = graph.tensors[place].name, place
    return named


def write_person_answers(folder: Path, bundles: list[Path]) -> int:
    """Write NAME.json for every bundle: persons, and the logits of its first golden picture; how many."""
    written = 0
    for bundle in bundles:
        made, name = PATIENTS[bundle.name], json.loads((bundle / "card.json").read_text())["name"]
        runtime = LitertRuntime(bundle / "model.tflite")
        pixels = np.frombuffer((bundle / "golden" / "00.rgb").read_bytes(), np.uint8).reshape(1, PX, PX, 3)
        rows = [
            _told(person) | {"logits": runtime.logits(pixels, encode(made, [person]))[0].tolist()}
            for person in _few(made)
        ]
        runtime.close()
        written += len(rows)
        (folder / f"{name}.json").write_text(json.dumps({"persons": rows}), encoding="utf-8")
    return written


def _few(made: PatientInput) -> Iterator[Person]:
    """Nothing known, each field alone, and all at once, in every word the model knows."""
    words = {
        field: [column.category for column in made.columns if column.field == field]
        for field in ("sex", "site")
    }
    yield Person()
    yield from (Person(age=age) for age in (0.0, 30.0, 71.5, 120.0))
    yield from (Person(sex=word) for word in words["sex"])
    yield from (Person(site=word) for word in words["site"])
    everything = Person(age=48.0, sex="FEMALE", site="head/neck")
    yield from (everything, dataclasses.replace(everything, age=math.nextafter(48.0, 0), sex="unheard of"))
