"""`ModelCard`: every fact that must travel with a model file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.errors import ModelError, UsageError
from edgekd.patient_input import PatientInput
from edgekd.photo_quality import PhotoQuality
from edgekd.plain import ABSENT, from_plain, to_plain

SCHEMA = "edgekd.card/1"
METADATA_NAME = "edgekd.card"
SCORE_RULE = "logsumexp(malignant logits) - logsumexp(benign logits)"
PIXEL_RULE = "upright RGB, centre square, edgekd.resample/1 to input_px, uint8"
NO_HAIR_REMOVAL = "none"
INTENDED_USE = "Research on skin-lesion screening on phones; a research tool, not a medical device."


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """The score at and above which a lesion is called malignant, and how it was found.

    `rule` is the threshold rule with its target, e.g. `sensitivity_at_least(0.9)`; `fitted_on` the split;
    `threshold` is in the unit of the score (log odds). Closer to it than `borderline_halfwidth`, in the same
    unit, another photo of the same lesion may well be called otherwise; `borderline_rule` says how that was
    found. None, and absent from the text: nothing is known of that.
    """

    rule: str
    threshold: float
    fitted_on: str
    borderline_halfwidth: float | None = field(default=None, metadata=ABSENT)
    borderline_rule: str | None = field(default=None, metadata=ABSENT)

    def __post_init__(self) -> None:
        if self.borderline_halfwidth is not None and not self.borderline_halfwidth >= 0:
            raise UsageError(f"card: borderline_halfwidth is {self.borderline_halfwidth}, expected 0 or more")

    def borderline(self, score: float) -> bool | None:
        """Whether `score` lies in the band around the threshold; None where there is none."""
        if self.borderline_halfwidth is None:
            return None
        return abs(score - self.threshold) < self.borderline_halfwidth


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What an application must know to feed a model and to read its answer.

    `labels` name the logits in order; `malignant` lists those counted as malignant. The input is uint8 RGB
    `[1, input_px, input_px, 3]`. `temperature` divides the score before the sigmoid (1: not calibrated).
    `operating_point` is null until the file was verified. `provenance` holds digests and versions.

    `hair_removal` is what must be done to the upright picture before the crop, as `pixel_rule` says too:
    a value of `HairRemoval`. An application that cannot do it must refuse the model, for the network never
    saw a picture with hairs. "none" too where hairs were taken out of training views only.

    `patient` says how the second input is made of what is known of the person; null: there is none.
    `quality` says which photos cannot be judged; null, and left out of the text: nothing is known of that.
    """

    schema: str = SCHEMA
    name: str
    precision: str
    input_px: int
    labels: tuple[str, ...]
    malignant: tuple[str, ...]
    pixel_rule: str = PIXEL_RULE
    hair_removal: str = NO_HAIR_REMOVAL
    patient: PatientInput | None = None
    score_rule: str = SCORE_RULE
    operating_point: OperatingPoint | None = None
    temperature: float = 1.0
    margin: float | None = None
    quality: PhotoQuality | None = field(default=None, metadata=ABSENT)
    intended_use: str = INTENDED_USE
    limits: tuple[str, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"card: schema is {self.schema!r}, expected {SCHEMA!r}")
        unknown = [name for name in self.malignant if name not in self.labels]
        if unknown or not self.labels:
            raise UsageError(f"card: malignant {unknown} not among the labels {list(self.labels)}")
        if self.hair_removal != NO_HAIR_REMOVAL and self.hair_removal not in self.pixel_rule:
            raise UsageError(
                f"card: hair_removal is {self.hair_removal!r} and pixel_rule says nothing of it: "
                f"{self.pixel_rule!r}"
            )

    def to_json(self) -> str:
        """The card as indented JSON with a final newline; the same card gives the same text."""
        return json.dumps(to_plain(self), indent=2, sort_keys=True) + "\n"

    @staticmethod
    def from_json(text: str) -> ModelCard:
        """The card written by `to_json`.

        Raises:
            UsageError: the text is not a card of this schema.
        """
        try:
            plain = json.loads(text)
        except ValueError as error:
            raise UsageError(f"card: not JSON ({error})") from error
        return from_plain(ModelCard, plain, "card")


def pixel_rule(hair_removal: str) -> str:
    """How the pixels of the network are made from a picture; `hair_removal` as in the card."""
    if hair_removal == NO_HAIR_REMOVAL:
        return PIXEL_RULE
    return PIXEL_RULE.replace("upright RGB", f"upright RGB, edgekd.hair/1 {hair_removal}")


def read_card(path: Path) -> ModelCard:
    """The card in the JSON file `path`.

    Raises:
        ModelError: the file is missing or is not a card.
    """
    try:
        return ModelCard.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, UsageError) as error:
        raise ModelError(f"{path}: no readable model card ({error})") from error
