"""Standard TFLite metadata: what lets MediaPipe and other people's clients use a file without our card.

The metadata is a FlatBuffer of its own (file identifier M001) in the metadata entry TFLITE_METADATA; the
names of the outputs are a text file in an uncompressed zip archive appended to the model. Written by hand:
the generated Python module of the schema cannot be imported from any recent distribution.

Normalization. Clients compute q = (x − mean) / std and, for a quantized input, q / scale + zero_point, and
cut or round the result to a byte. Our inputs are raw bytes x, so the result must be x itself: std = 1 / scale
and mean = zero_point give x up to a rounding error, which a client that cuts would turn into x − 1; a mean a
quarter of a grey level lower gives x + ¼ and with it x both ways. A file whose uint8 input has no scale takes
mean 0 and std 1. MediaPipe feeds raw bytes to a uint8 input whatever stands here.

Schema: mediapipe/tasks/metadata/metadata_schema.fbs, version 1.5.0; nothing younger than 1.0.0 is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatbuffers.table import Table

from edgekd.card import ModelCard
from edgekd.errors import ModelError, UsageError
from edgekd.patient_input import PatientInput
from edgekd_converters.metadata_front import (
    DAMAGED,
    embed_entry,
    find_entry,
    open_model,
    read_model,
    strip_entry,
)
from edgekd_converters.metadata_tables import Fields, build, byte, child, children, floats, root, text
from edgekd_converters.metadata_zip import find_zip, read_zipped, write_zip

SCHEMA = "edgekd.standard-metadata/1"
ENTRY, IDENTIFIER = "TFLITE_METADATA", b"M001"
LABEL_FILE = "labels.txt"
AUTHOR = "made with edgekd"
LICENCE = "none stated by the author; the terms of the training data apply"

_PARSER = "1.0.0"
_QUARTER = 0.25
_RGB, _AXIS_LABELS, _FEATURE, _IMAGE, _NORMALIZATION = 1, 2, 1, 2, 1  # enumerators of the schema
_KINDS = {0: "none", 1: "feature", 2: "image", 3: "bounding_box", 4: "audio"}
_MAX_LABEL_BYTES = 1 << 20
_LEAST_SCALE = 1e-9
_UINT8 = 3  # TensorType of a .tflite file


@dataclass(frozen=True, kw_only=True)
class TensorMetadata:
    """What the metadata says of one input or output.

    `kind` is the content: none, feature, image, bounding_box or audio. `mean` and `std` (one number, or one
    for each channel; empty if not stated) normalize by (x − mean) / std. `files` name its associated files.
    """

    name: str
    description: str
    kind: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StandardMetadata:
    """Standard metadata of a .tflite file (schema edgekd.standard-metadata/1); a missing text is empty.

    `labels` name the values of the first output, empty where it has no label file.
    """

    schema: str = SCHEMA
    name: str
    description: str
    version: str
    author: str
    licence: str
    min_parser_version: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    labels: tuple[str, ...]


def embed_standard_metadata(
    model: bytes,
    card: ModelCard,
    *,
    description: str = "",
    author: str = AUTHOR,
    licence: str = LICENCE,
) -> bytes:
    """The .tflite file `model` with standard metadata made from `card`, in place of such embedded before.

    `description` is by default the card's intended use, pixel rule, score rule and limits. The model's
    version is the digest of its weights, where the card knows it. A card inside the file stays.

    Raises:
        UsageError: a label cannot stand in a label file.
        ModelError: `model` is not a .tflite file or not of `card` (uint8 RGB input of its size, one of its
            patient values if it has any, one output value for each label), or holds standard metadata or an
            archive of another writer.
    """
    model = strip_standard_metadata(model)
    scale, zero_point, place = _check_ports(model, card)
    if find_zip(model) is not None:
        raise ModelError("an archive is appended already, not by edgekd: convert the model again")
    texts = (description or _describe(card), author, licence)
    inputs = [_patient(card.patient)] if card.patient else []
    inputs.insert(place, _image(card, scale, zero_point))
    fields = _fields(card, inputs, texts)
    labels = write_zip(LABEL_FILE, _label_file(card.labels), at=len(model))
    return embed_entry(model + labels, ENTRY, build(fields, IDENTIFIER))


def strip_standard_metadata(model: bytes) -> bytes:
    """The .tflite file `model` without the standard metadata and labels embedded in it, as it was before.

    Raises:
        ModelError: `model` is not a .tflite file, or the metadata is of another writer.
    """
    if find_entry(model, ENTRY) is None:
        return model
    try:
        stripped = strip_entry(model, ENTRY)
        archive = find_zip(stripped)
        return stripped[: archive.begin] if archive else stripped
    except DAMAGED as error:
        raise ModelError("damaged .tflite file") from error


def read_standard_metadata(path: Path) -> StandardMetadata:
    """What the standard metadata of the .tflite file `path` says; the file may come from anywhere.

    Raises:
        ModelError: the file is missing, larger than 1 GiB or damaged, or holds no standard metadata.
    """
    model = read_model(path)
    try:
        return find_standard_metadata(model)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def find_standard_metadata(model: bytes) -> StandardMetadata:
    """What the standard metadata in the bytes of a .tflite file says, whoever wrote it.

    Raises:
        ModelError: it is not a .tflite file, is damaged, or holds no standard metadata.
    """
    content = find_entry(model, ENTRY)
    if not content:
        raise ModelError(f"no standard metadata ({ENTRY}) inside")
    if content[4:8] != IDENTIFIER:
        raise ModelError(f"standard metadata of schema {content[4:8]!r}, expected {IDENTIFIER!r}")
    try:
        return _read(content, model)
    except DAMAGED as error:
        raise ModelError("the standard metadata inside is damaged") from error


def _describe(card: ModelCard) -> str:
    facts = (card.intended_use, f"Input: {card.pixel_rule}.", f"Score: {card.score_rule}.", *card.limits)
    return " ".join(facts)


def _check_ports(model: bytes, card: ModelCard) -> tuple[float, int, int]:
    """Scale, zero point (scale 0: not quantized) and number of the image input, when `card` is of `model`."""
    wanted = [1, card.input_px, card.input_px, 3]
    try:
        graph = open_model(model).Subgraphs(0)
        inputs = [graph.Tensors(graph.Inputs(n)) for n in range(max(1, min(graph.InputsLength(), 2)))]
        place = next((n for n, one in enumerate(inputs) if one.ShapeLength() == len(wanted)), 0)
        image, logits = inputs[place], graph.Tensors(graph.Outputs(0))
        others = [(one.Type(), _shape(one)) for one in inputs if one is not image]
        ports = (graph.InputsLength(), graph.OutputsLength())
        shape = _shape(image)
        values = logits.Shape(logits.ShapeLength() - 1) if logits.ShapeLength() else 1
        quantization = image.Quantization()
        scaled = quantization is not None and quantization.ScaleLength() == 1
        scale = float(quantization.Scale(0)) if scaled else 0.0
        zero_point = int(quantization.ZeroPoint(0)) if scaled and quantization.ZeroPointLength() else 0
        dtype = image.Type()
    except DAMAGED as error:
        raise ModelError("damaged .tflite file") from error
    expected = [(_UINT8, [1, len(card.patient.columns)])] if card.patient else []
    if ports != (1 + len(expected), 1) or dtype != _UINT8 or shape != wanted or others != expected:
        raise ModelError(
            f"input {shape} of tensor type {dtype}, {ports[0]} inputs and {ports[1]} outputs; the card says "
            f"one of each, the input uint8 (type {_UINT8}) {wanted}"
            f"{f', and patient values beside it: uint8 {expected[0][1]}' if expected else ''}"
        )
    if scale != 0 and not (_LEAST_SCALE < scale < 1 / _LEAST_SCALE and 0 <= zero_point <= 255):
        raise ModelError(f"input of scale {scale} and zero point {zero_point}, which no byte fits")
    if values != len(card.labels):
        raise ModelError(f"{values} output values, the card has {len(card.labels)} labels")
    return scale, zero_point, place


def _shape(tensor: Any) -> list[int]:
    return [tensor.Shape(n) for n in range(min(tensor.ShapeLength(), 5))]


def _label_file(labels: tuple[str, ...]) -> bytes:
    bad = [label for label in labels if not label.strip() or len(label.splitlines()) != 1]
    if bad:
        raise UsageError(f"labels {bad} cannot stand in a label file: one line of text each")
    return "".join(f"{label}\n" for label in labels).encode()


def _fields(card: ModelCard, inputs: list[Fields], texts: tuple[str, str, str]) -> Fields:
    """The tables ModelMetadata and, inside, SubGraphMetadata with the inputs and one output."""
    description, author, licence = texts
    return {
        0: card.name,
        1: description,
        2: card.provenance.get("weights_sha256", "")[:12] or "not stated",
        3: [{0: card.name, 2: inputs, 3: [_logits(card)]}],
        4: author,
        5: licence,
        7: _PARSER,
    }


def _image(card: ModelCard, scale: float, zero_point: int) -> Fields:
    mean, std = (zero_point - _QUARTER, 1 / scale) if scale else (0.0, 1.0)
    return {
        0: "image",
        1: f"{card.pixel_rule}: {card.input_px} x {card.input_px} raw bytes",
        3: {0: _IMAGE, 1: {0: _RGB}},  # Content
        4: [{0: _NORMALIZATION, 1: {0: (mean,), 1: (std,)}}],  # process units
    }


def _patient(patient: PatientInput) -> Fields:
    columns = ", ".join(patient.names)
    return {0: patient.tensor, 1: f"{columns}. {patient.rule}. {patient.missing}.", 3: {0: _FEATURE, 1: {}}}


def _logits(card: ModelCard) -> Fields:
    malignant = ", ".join(card.malignant)
    return {
        0: "logits",
        1: f"raw logits, no probabilities, one for each line of {LABEL_FILE}; "
        f"score: {card.score_rule}; malignant: {malignant}",
        6: [{0: LABEL_FILE, 1: "the diagnosis of each output value", 2: _AXIS_LABELS}],
    }


def _read(content: bytes, model: bytes) -> StandardMetadata:
    metadata = root(content)
    graphs = children(metadata, 3)
    inputs = [_read_tensor(tensor) for tensor in children(graphs[0], 2)] if graphs else []
    outputs = children(graphs[0], 3) if graphs else []
    return StandardMetadata(
        name=text(metadata, 0),
        description=text(metadata, 1),
        version=text(metadata, 2),
        author=text(metadata, 4),
        licence=text(metadata, 5),
        min_parser_version=text(metadata, 7),
        inputs=tuple(inputs),
        outputs=tuple(_read_tensor(tensor) for tensor in outputs),
        labels=_read_labels(outputs[0], model) if outputs else (),
    )


def _read_tensor(tensor: Table) -> TensorMetadata:
    content = child(tensor, 3)
    kind = byte(content, 0) if content else 0
    units = [unit for unit in children(tensor, 4) if byte(unit, 0) == _NORMALIZATION]
    normalization = child(units[0], 1) if units else None
    return TensorMetadata(
        name=text(tensor, 0),
        description=text(tensor, 1),
        kind=_KINDS.get(kind, f"unknown_{kind}"),
        mean=floats(normalization, 0) if normalization else (),
        std=floats(normalization, 1) if normalization else (),
        files=tuple(text(file, 0) for file in children(tensor, 6)),
    )


def _read_labels(tensor: Table, model: bytes) -> tuple[str, ...]:
    for file in children(tensor, 6):
        if byte(file, 2) == _AXIS_LABELS:
            return tuple(read_zipped(model, text(file, 0), limit=_MAX_LABEL_BYTES).decode().splitlines())
    return ()
