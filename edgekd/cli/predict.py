"""`edgekd predict`: a model's answer about single images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.options import Card, Json, Quiet, Verbose
from edgekd.demo_model import MODEL
from edgekd.errors import UsageError

if TYPE_CHECKING:
    from edgekd.assess import Answer, Refusal


def predict(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] IMAGE",
            help="MODEL: a .tflite, .keras or .h5 file, unless --demo names one.",
            show_default=False,
        ),
    ],
    demo: Annotated[bool, typer.Option("--demo", help="Ask the model that comes with edgekd.")] = False,
    card: Card = None,
    age: Annotated[float | None, typer.Option(help="Years.", show_default=False)] = None,
    sex: Annotated[str | None, typer.Option(help="As the card lists them.", show_default=False)] = None,
    site: Annotated[str | None, typer.Option(help="As the card lists them.", show_default=False)] = None,
    pictures: Annotated[
        int | None, typer.Option(help="Pictures there are of the person.", min=1, show_default=False)
    ] = None,
    same_site: Annotated[
        int | None, typer.Option(help="Others of them that show the same site.", min=0, show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a sex or site not trained on.")] = False,
    judge_anyway: Annotated[
        bool, typer.Option("--judge-anyway", help="Answer for photos that cannot be judged, too.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say what MODEL answers about each IMAGE, at the operating point of its card.

    A photo that is blurred, dark, over-exposed or shows no lesion is not judged, where the card has limits
    for that; borderline means that another photo of it may be called otherwise. Of the person, the same for
    every IMAGE, tell what the card asks for; what is left out is unknown.

    Example: edgekd predict runs/quickstart/export/int8/model.tflite lesion.jpg

    Example: edgekd predict --demo lesion.jpg
    """
    console.configure(quiet=quiet, verbose=verbose)
    from edgekd import assess
    from edgekd.data.patient import Person

    model, images = _asked(paths, demo=demo)
    facts = assess.find_card(model, card)
    person = Person(age=age, sex=sex, site=site, images=pictures, same_site=same_site)
    answers = list(
        assess.predict(
            assess.open_runtime(model), facts, images, person, strict=strict, judge_anyway=judge_anyway
        )
    )
    if as_json:
        console.emit_json({"card": facts, "answers": answers})
        return
    point = facts.operating_point
    called = f"malignant when score ≥ {point.threshold:.3f}, {point.rule}" if point else "no operating point"
    console.emit_table(
        f"{model}: {called}; a research tool, not a medical device",
        ("image", "score", "probability", "call"),
        [_row(a) for a in answers],
    )


def _asked(paths: Sequence[Path], *, demo: bool) -> tuple[Path, Sequence[Path]]:
    """The model, and the images it is asked about."""
    if demo:
        return MODEL, paths
    if len(paths) < 2:
        raise UsageError(
            f"expected MODEL IMAGE..., got only {paths[0]}: name a model file and at least one image, or ask "
            "the model that comes with edgekd with --demo"
        )
    return paths[0], paths[1:]


def _row(answer: Answer | Refusal) -> tuple[str, str, str, str]:
    reason = answer.photo.reason if answer.photo else ""
    if answer.score is None:
        return answer.image, "–", "–", f"cannot judge this photo: {reason}"
    doubt = f", but the photo is unfit: {reason}" if reason else ""
    return answer.image, f"{answer.score:+.3f}", f"{answer.probability:.3f}", f"{_call(answer)}{doubt}"


def _call(answer: Answer) -> str:
    if answer.malignant is None:
        return "–"
    call = "malignant" if answer.malignant else "benign"
    return f"{call}, borderline" if answer.borderline else call
