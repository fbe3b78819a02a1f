"""The model card inside an .mlpackage: in full for programs, in Core ML's own fields for people and Xcode.

Only the description part of the model file is written anew; program and weights keep their bytes. Neither
coremltools nor TensorFlow is needed. Xcode shows the standard metadata, the user-defined entries ("Additional
Metadata") and the descriptions of input and output. Its list of class labels and its image preview are for
classifiers, whose output is a dictionary of probabilities; these packages answer with raw logits, so the
labels stand in the description of the output.
Field numbers: coremltools' mlmodel/format/Model.proto.
"""

from __future__ import annotations

from pathlib import Path

from edgekd.card import METADATA_NAME, ModelCard
from edgekd.errors import ModelError, StorageError, UsageError
from edgekd.runtimes.mil.package import naming, open_package
from edgekd.runtimes.mil.spec import STANDARD, Specification, read_specification
from edgekd.runtimes.mil.wire import Budget, Message, encode, replace

PREVIEW_TYPE, IMAGE_CLASSIFIER = "com.apple.coreml.model.preview.type", "imageClassifier"

_DESCRIPTION, _INPUTS, _OUTPUTS, _METADATA = 2, 1, 10, 100
_FEATURE_NAME, _FEATURE_DESCRIPTION, _USER_DEFINED = 1, 2, 100
_LICENSE = "Not stated; the licences of the training images apply."


def read_card_coreml(package: Path) -> ModelCard:
    """The card inside the .mlpackage folder `package`, which may come from anywhere.

    Raises:
        ModelError: it is missing or damaged, or holds no card.
    """
    text = _specification(package).user_defined.get(METADATA_NAME)
    if text is None:
        raise ModelError(f"{package}: no model card inside: not exported by edgekd, or stripped since")
    try:
        return ModelCard.from_json(text)
    except (UsageError, RecursionError) as error:
        raise ModelError(f"{package}: {error}") from error


def embed_card_coreml(package: Path, card: ModelCard) -> None:
    """Put `card` into the .mlpackage folder `package`, in place of a card it held before.

    The model file is replaced when its new bytes are written, so that no reader sees a half.

    Raises:
        ModelError: `package` is missing or damaged.
        StorageError: it cannot be written.
    """
    opened = open_package(package)
    specification = _specification(package)
    model = opened.read_model()
    description = _described(Message(model, Budget()).joined(_DESCRIPTION), specification, card)
    path = package / opened.model
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(replace(model, _DESCRIPTION, [description]))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def _specification(package: Path) -> Specification:
    with naming(package):
        return read_specification(open_package(package).read_model())


def _described(description: bytes, specification: Specification, card: ModelCard) -> bytes:
    """The serialized message ModelDescription with what `card` says."""
    labels = ", ".join(card.labels)
    pixels = f"RGB, {card.input_px} × {card.input_px}, bytes from 0 to 255: {card.pixel_rule}"
    outputs = f"Raw logits of {labels}, in this order"
    for field, text in ((_INPUTS, pixels), (_OUTPUTS, outputs)):
        features = [bytes(feature) for feature in Message(description, Budget()).blobs(field)]
        told = [
            replace(feature, _FEATURE_DESCRIPTION, [_patient(card, feature) or text]) for feature in features
        ]
        description = replace(description, field, told)
    entries = specification.user_defined | _entries(specification, card)
    standard = {
        "short_description": f"{card.name}: {card.intended_use}",
        "version": card.provenance.get("version", card.provenance.get("weights_sha256", "")[:12]),
        "author": card.provenance.get("author", f"edgekd {card.provenance.get('edgekd', '')}".strip()),
        "license": card.provenance.get("license", _LICENSE),
    }
    metadata = b"".join(
        [
            *(encode(STANDARD[name], text) for name, text in standard.items()),
            *(
                encode(_USER_DEFINED, encode(1, key) + encode(2, text))
                for key, text in sorted(entries.items())
            ),
        ]
    )
    return replace(description, _METADATA, [metadata])


def _patient(card: ModelCard, feature: bytes) -> str:
    """What is said of a feature that is the card's patient vector; nothing of any other."""
    patient = card.patient
    if patient is None or Message(feature, Budget()).text(_FEATURE_NAME) != patient.tensor:
        return ""
    values = f"float32 [1, {len(patient.names)}], 0 to 1: {', '.join(patient.names)}"
    return f"{values}. {patient.rule}. {patient.missing}."


def _entries(specification: Specification, card: ModelCard) -> dict[str, str]:
    point = card.operating_point
    entries = {
        METADATA_NAME: card.to_json(),
        "edgekd.labels": ", ".join(card.labels),
        "edgekd.malignant": ", ".join(card.malignant),
        "edgekd.score": card.score_rule,
        "edgekd.threshold": "not fitted yet"
        if point is None
        else f"{point.threshold!r} ({point.rule}, fitted on {point.fitted_on})",
    }
    if specification.predicted_feature:
        entries[PREVIEW_TYPE] = IMAGE_CLASSIFIER
    return entries
