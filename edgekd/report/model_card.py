"""What the model card says, drawn from the records."""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.card import INTENDED_USE, PIXEL_RULE, SCORE_RULE, ModelCard
from edgekd.data.taxonomy import DESCRIPTIONS, find_diagnosis
from edgekd.report.blocks import Page, Table
from edgekd.report.quality import candidate
from edgekd.report.records import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class CardText:
    """The model card, ready to be shown. `tables` are those of the report, by the anchor of their section."""

    title: str
    summary: str
    intended_use: str
    details: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str, str], ...]
    limits: tuple[str, ...]
    tables: dict[str, tuple[Table, ...]]


def model_card(records: Records, page: Page) -> CardText:
    """The card of the files of a run; what no record tells is left out."""
    cards = [artefact.card for artefact in records.artefacts if artefact.card is not None]
    network = candidate(records)
    wanted = next((card for card in reversed(cards) if network and card.precision == network.name), None)
    card = wanted or (cards[-1] if cards else None)
    return CardText(
        title=page.title,
        summary=page.subtitle,
        intended_use=card.intended_use if card else INTENDED_USE,
        details=_details(card),
        labels=_labels(card),
        limits=card.limits if card else (),
        tables={
            section.anchor: tuple(block for block in section.blocks if isinstance(block, Table))
            for section in page.sections
        },
    )


def _details(card: ModelCard | None) -> tuple[tuple[str, str], ...]:
    if card is None:
        return (("pixels", PIXEL_RULE), ("score", SCORE_RULE))
    provenance = tuple((name, value) for name, value in sorted(card.provenance.items()))
    person = card.patient
    told = (("patient", f"{', '.join(person.names)}; {person.rule}; {person.missing}"),) if person else ()
    return (
        ("name", card.name),
        ("input", f"uint8 RGB [1, {card.input_px}, {card.input_px}, 3]"),
        *told,
        ("pixels", card.pixel_rule),
        ("output", f"{len(card.labels)} logits"),
        ("score", card.score_rule),
        *provenance,
    )


def _labels(card: ModelCard | None) -> tuple[tuple[str, str, str], ...]:
    if card is None:
        return ()
    return tuple(
        (label, _description(label), "malignant" if label in card.malignant else "benign")
        for label in card.labels
    )


def _description(label: str) -> str:
    found = find_diagnosis(label)
    return DESCRIPTIONS[found] if found else ""
