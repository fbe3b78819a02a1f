"""README.md and LICENSE of a bundle, and the Swift file of one for iOS, from the card and templates here."""

from __future__ import annotations

from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

from edgekd.bundle.manifest import Platform, Verdict
from edgekd.card import ModelCard
from edgekd.data.fetch_catalogue import COLLECTIONS
from edgekd.errors import ModelError
from edgekd.plain import write_text

_MOST_BYTES = 1 << 20
_UNKNOWN = "Not stated by whoever trained it; the licences of the images it was trained on apply."
_VERDICTS = {
    Verdict.PASSED: "passed: a loss of sensitivity above the margin against the float student is excluded",
    Verdict.UNDECIDED: "**undecided**: too few malignant test images to exclude a loss of sensitivity",
    Verdict.FAILED: "**failed**: it must not be used as it is",
    Verdict.NONE: "**none**: nobody verified this file with edgekd",
}
_SWIFT = "EdgekdBundle.swift"


def write_guide(folder: Path, platform: Platform, card: ModelCard, verdict: Verdict) -> None:
    """Write README.md into the bundle `folder`, and for iOS the Swift file."""
    write_text(folder / "README.md", guide(platform, card, verdict))
    if platform is Platform.IOS:
        write_text(folder / _SWIFT, _template(_SWIFT))


def guide(platform: Platform, card: ModelCard, verdict: Verdict) -> str:
    """What to do with a bundle on `platform`: intended use and limits first."""
    point = card.operating_point
    facts = {
        "name": card.name,
        "intended_use": card.intended_use,
        "limits": "\n".join(f"- {limit}" for limit in card.limits) or "- None stated.",
        "verdict": _VERDICTS[verdict],
        "precision": card.precision,
        "px": str(card.input_px),
        "labels": ", ".join(card.labels),
        "malignant": ", ".join(card.malignant),
        "pixel_rule": card.pixel_rule,
        "score_rule": card.score_rule,
        "threshold": f"{point.threshold:.6g} ({point.rule}, fitted on {point.fitted_on})"
        if point
        else "none",
        "patient": _patient(card),
    }
    text = _template("common.md") + _template(f"{platform.value}.md")
    for name, value in facts.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def licence_text(card: ModelCard, sources: tuple[str, ...], file: Path | None) -> str:
    """What a bundle may be used for: the licence of the model, of the pictures, and of the code.

    Raises:
        ModelError: `file`, the licence of the model, cannot be read.
    """
    model = card.provenance.get("license", _UNKNOWN)
    if file is not None:
        try:
            with file.open(encoding="utf-8") as opened:
                model = opened.read(_MOST_BYTES).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{file}: not a readable licence text ({error})") from error
    trained = "".join(f"  {source}: {_terms(source)}\n" for source in sources)
    return (
        f"THE MODEL ({card.name})\n\n{model}\n\n"
        + (f"It was trained on:\n{trained}\n" if trained else "")
        + "THE PICTURES in golden/\n\nEach item of golden/golden.json says where its picture is from; those "
        "of public data sets are CC0 1.0, drawn ones are under the licence of the code.\n\n"
        f"THE CODE AND TEXT of this folder, written by edgekd\n\n{_apache()}"
    )


def _terms(source: str) -> str:
    kind = source.rpartition("(")[2].rstrip(")")
    collection = COLLECTIONS.get(kind)
    return f"{collection.licence}; {collection.cite}" if collection else "terms not known to edgekd"


def _patient(card: ModelCard) -> str:
    if card.patient is None:
        return "The model takes the picture alone."
    return (
        f"The model takes a second input, `{card.patient.tensor}`: {', '.join(card.patient.names)}. "
        f"{card.patient.rule}. {card.patient.missing}. Every question of a form may stay open: guess "
        "nothing, and say beside the answer what was left empty. An application without a form for it must "
        "refuse the model."
    )


def _apache() -> str:
    text = distribution("edgekd").read_text("licenses/LICENSE")
    return text if text else "Apache License, Version 2.0\n"


def _template(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
