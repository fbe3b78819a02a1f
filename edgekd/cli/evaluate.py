"""`edgekd evaluate`: a model's figures on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.options import Card, Json, Kind, ModelFile, Quiet, Verbose
from edgekd.cli.tables import estimate
from edgekd.plain import to_plain

if TYPE_CHECKING:
    from edgekd.card import ModelCard
    from edgekd.data.source import DataSource
    from edgekd.metrics.evaluation import EvaluationRecord


def evaluate(
    model: ModelFile,
    data: Annotated[Path, typer.Option(help="Labelled images, or their table.", show_default=False)],
    kind: Kind = "",
    split: Annotated[str, typer.Option(help="train, validation, test or all.")] = "test",
    card: Card = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Use this threshold (log odds) instead of the card's.", show_default=False),
    ] = None,
    calibrate_on: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Fit threshold and temperature, nothing else, on these labelled images of the new source; "
            "the folder of --data itself: on a half of its patients, and judge the other.",
            show_default=False,
        ),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write every prediction to this CSV file.", show_default=False)
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure MODEL on labelled images, at the operating point of its card.

    With --calibrate-on no image, patient or lesion is on both sides; the model is judged as it came, too.

    Example: edgekd evaluate model.tflite --data data/isic2017 --split test
    """
    console.configure(quiet=quiet, verbose=verbose)
    from edgekd import assess
    from edgekd.data.detect import detect_kind, open_folder
    from edgekd.metrics.predictions import write_predictions

    facts = assess.with_threshold(assess.find_card(model, card), threshold)
    source = open_folder(data, detect_kind(data, kind), facts.malignant)
    if calibrate_on:
        _calibrated(model, data, calibrate_on, facts, source, split, predictions, as_json=as_json)
        return
    record, said = assess.evaluate_model(
        assess.open_runtime(model), facts, source, split=split, artefact=str(model)
    )
    if predictions:
        write_predictions(predictions, said)
    if as_json:
        console.emit_json(record)
        return
    console.emit_table(_title(model, data, record), ("metric", "value"), _figures(record))


def _calibrated(
    model: Path,
    data: Path,
    calibrate_on: Path,
    card: ModelCard,
    source: DataSource,
    split: str,
    predictions: Path | None,
    *,
    as_json: bool,
) -> None:
    """Judge the model as it came and calibrated, and print both."""
    from edgekd import assess
    from edgekd.data.detect import detect_kind, open_folder
    from edgekd.metrics.predictions import write_predictions
    from edgekd.recalibrate import recalibrate

    same = calibrate_on.resolve() == data.resolve()
    other = None if same else open_folder(calibrate_on, detect_kind(calibrate_on), card.malignant)
    found, said = recalibrate(
        assess.open_runtime(model), card, source, other, split=split, artefact=str(model)
    )
    if predictions:
        write_predictions(predictions, said)
    if as_json:
        console.emit_json(found)
        return
    shared = f", {found.n_left_out} more share a patient or lesion with it" if found.n_left_out else ""
    console.emit_table(
        f"{_title(model, data, found.calibrated)}; calibrated on {found.n} other images of {found.source}, "
        f"{found.n_positive} malignant{shared}",
        ("metric", "as it came", "calibrated"),
        _both(found.as_it_came, found.calibrated),
    )


def _title(model: Path, data: Path, record: EvaluationRecord) -> str:
    return (
        f"{model} on {data}, {record.split}: n = {record.n}, {record.n_positive} malignant, "
        f"{record.engine['name']} {record.engine['version']}; 95 % intervals"
    )


def _figures(record: EvaluationRecord) -> list[tuple[str, str]]:
    plain = to_plain(record)
    rows = [(name, estimate(plain[name])) for name in ("auc", "sensitivity", "specificity")]
    rows += [("Brier", f"{record.brier:.3f}"), ("ECE", f"{record.ece:.3f}")]
    return [*rows, ("malignant missed", f"{record.confusion.false_negative} of {record.n_positive}")]


def _both(before: EvaluationRecord, after: EvaluationRecord) -> list[tuple[str, str, str]]:
    """The figures side by side, below them what was changed."""
    rows = [(name, one, two) for (name, one), (_, two) in zip(_figures(before), _figures(after), strict=True)]
    points = [f"{record.operating_point.threshold:.3f}" for record in (before, after)]
    heats = [f"{record.temperature:.3f}" for record in (before, after)]
    return [*rows, ("threshold, log odds", points[0], points[1]), ("temperature", heats[0], heats[1])]
