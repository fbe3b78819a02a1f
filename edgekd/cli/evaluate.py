"""`edgekd evaluate`: a model's figures on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd import console
from edgekd.cli.options import Card, Json, Kind, ModelFile, Quiet, Verbose
from edgekd.cli.tables import estimate
from edgekd.plain import to_plain


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
    predictions: Annotated[
        Path | None, typer.Option(help="Write every prediction to this CSV file.", show_default=False)
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure MODEL on labelled images, at the operating point of its card.

    Example: edgekd evaluate model.tflite --data data/isic2017 --split test
    """
    console.configure(quiet=quiet, verbose=verbose)
    from edgekd import assess
    from edgekd.data.detect import detect_kind, open_folder
    from edgekd.metrics.predictions import write_predictions

    facts = assess.with_threshold(assess.find_card(model, card), threshold)
    source = open_folder(data, detect_kind(data, kind), facts.malignant)
    record, said = assess.evaluate_model(
        assess.open_runtime(model), facts, source, split=split, artefact=str(model)
    )
    if predictions:
        write_predictions(predictions, said)
    if as_json:
        console.emit_json(record)
        return
    plain = to_plain(record)
    rows = [(name, estimate(plain[name])) for name in ("auc", "sensitivity", "specificity")]
    rows += [("Brier", f"{record.brier:.3f}"), ("ECE", f"{record.ece:.3f}")]
    rows += [("malignant missed", f"{record.confusion.false_negative} of {record.n_positive}")]
    console.emit_table(
        f"{model} on {data}, {split}: n = {record.n}, {record.n_positive} malignant, "
        f"{record.engine['name']} {record.engine['version']}; 95 % intervals",
        ("metric", "value"),
        rows,
    )
