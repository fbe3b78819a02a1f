"""What does a network look at besides the lesion? Its figures without rims, hair, ink, rulers and tint.

    python bench/stress.py MODEL DATA… [--split test] [--card FILE] [--out bench/results/NAME] [--json]

MODEL is a file `edgekd evaluate` takes, DATA folders of labelled images; several are judged together and, as
`source`, each for itself. Every picture is shown as it is and stripped (`edgekd_bench.stress.CHANGES`),
before the network's own crop and resize; of a network that takes patient data, also with nothing told of the
person. Differences are paired, with intervals, overall and by source, sex,
site and age. --out keeps the record, all predictions and a README, whose table
`python -m edgekd_bench.tables` makes anew.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd import assess, console
from edgekd.card import ModelCard
from edgekd.console import progress
from edgekd.data.census import age_band
from edgekd.data.detect import detect_kind, open_folder
from edgekd.data.patient import encode, people
from edgekd.data.source import DataSource
from edgekd.data.table import Row
from edgekd.errors import EdgekdError, ModelError
from edgekd.metrics.intervals import auc_interval
from edgekd.metrics.predictions import Predictions, write_predictions
from edgekd.plain import file_digest, write_json, write_text
from edgekd.runtimes.base import Runtime, beside
from edgekd_bench import stress
from edgekd_bench.stress import (
    AS_IT_IS,
    CHANGES,
    PREDICTIONS,
    RECORD,
    UNKNOWN_PERSON,
    StressRecord,
    compare_change,
)
from edgekd_bench.tables import fill

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


def main(arguments: Sequence[str]) -> int:
    """Judge, keep and show; the exit code."""
    options = _options(arguments)
    console.configure(quiet=options.quiet, verbose=False)
    try:
        record = examine(options)
    except EdgekdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if options.json:
        console.emit_json(record)
    else:
        console.emit_table(stress.circumstances(record), stress.HEAD, stress.rows(record))
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--split", default="test")
    parser.add_argument("--card", type=Path)
    parser.add_argument("--out", type=Path, help="bench/results/NAME")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    return parser.parse_args(arguments)


def examine(options: argparse.Namespace) -> StressRecord:
    """The record of a model on all the data, kept where `options.out` says.

    Raises:
        ModelError: the card does not fit the model or has no operating point.
        DataError, ImageError: the data cannot be read.
    """
    card = assess.find_card(options.model, options.card)
    if card.operating_point is None:
        raise ModelError("the card has no operating point: verify the model first")
    runtime = assess.open_runtime(options.model)
    assess.check_card(runtime, card)
    sources = [open_folder(folder, detect_kind(folder), card.malignant) for folder in options.data]
    shown = [(source, row) for source in sources for row in assess.rows_of(source, options.split)]
    said, changed = _answers(runtime, card, shown)
    rows, threshold = [row for _, row in shown], card.operating_point.threshold
    record = _record(options, runtime, rows, said, changed=changed, threshold=threshold)
    if options.out:
        _keep(options, record, said)
    return record


def _answers(
    runtime: Runtime, card: ModelCard, shown: Sequence[tuple[DataSource, Row]]
) -> tuple[dict[str, Predictions], dict[str, NDArray[np.bool_]]]:
    """What the model says of every picture by change, and whose picture each change changed."""
    rows = [row for _, row in shown]
    names = [*CHANGES, *([UNKNOWN_PERSON] if card.patient else [])]
    logits = {name: np.empty((len(rows), runtime.n_logits), np.float32) for name in (AS_IT_IS, *names)}
    changed = {name: np.zeros(len(rows), np.bool_) for name in names}
    vectors = encode(card.patient, people(rows)) if card.patient else np.zeros((len(rows), 0), np.float32)
    with progress("stress", len(rows), "images") as advance:
        for number, (source, row) in enumerate(shown):
            image, person = source.image(row), vectors[number : number + 1]
            seen = assess.pixels(card, image)
            said = logits[AS_IT_IS][number] = runtime.logits(seen[np.newaxis], *beside(person))[0]
            for name, other, known in _changed(card, image, seen, person):
                again = not (np.array_equal(other, seen) and np.array_equal(known, person))
                changed[name][number] = again
                logits[name][number] = runtime.logits(other[np.newaxis], *beside(known))[0] if again else said
            advance(1, "")
    return {name: _predictions(rows, card, found) for name, found in logits.items()}, changed


def _changed(
    card: ModelCard, image: Pixels, seen: Pixels, person: Floats
) -> Iterator[tuple[str, Pixels, Floats]]:
    """By change, what is shown of an `image`, otherwise `seen`, and told of a `person` [1, f]."""
    for name, change in CHANGES.items():
        yield name, assess.pixels(card, change(image)), person
    if card.patient:
        yield UNKNOWN_PERSON, seen, assess.nobody(card)


def _predictions(rows: Sequence[Row], card: ModelCard, logits: NDArray[np.float32]) -> Predictions:
    several = len({row.source for row in rows}) > 1
    return Predictions(
        image_ids=tuple(f"{row.source}/{row.image_id}" if several else row.image_id for row in rows),
        labels=np.array([row.malignant for row in rows], np.bool_),
        logits=logits,
        names=card.labels,
        malignant=card.malignant,
    )


def _record(
    options: argparse.Namespace,
    runtime: Runtime,
    rows: Sequence[Row],
    said: Mapping[str, Predictions],
    *,
    changed: Mapping[str, NDArray[np.bool_]],
    threshold: float,
) -> StressRecord:
    plain = said[AS_IT_IS]
    return StressRecord(
        model=options.model.name,
        model_sha256=file_digest(options.model),
        engine=runtime.engine.describe(),
        sources=tuple(dict.fromkeys(row.source for row in rows)),
        split=options.split,
        threshold=threshold,
        auc=auc_interval(plain.labels, plain.score),
        changes=tuple(
            compare_change(
                name,
                plain,
                said[name],
                changed=changed[name],
                threshold=threshold,
                groups=_groups(rows),
                attributes=_attributes(rows),
            )
            for name in changed
        ),
    )


def _groups(rows: Sequence[Row]) -> list[str | None]:
    return [f"{row.source}/{known}" if (known := row.patient or row.lesion) else None for row in rows]


def _attributes(rows: Sequence[Row]) -> dict[str, list[str | None]]:
    return {
        "source": [row.source for row in rows],
        "age": [age_band(row.age) for row in rows],
        "sex": [row.sex for row in rows],
        "site": [row.site for row in rows],
    }


def _keep(options: argparse.Namespace, record: StressRecord, said: Mapping[str, Predictions]) -> None:
    folder = options.out
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, record)
    for name, predictions in said.items():
        write_predictions(folder / f"{name}{PREDICTIONS}", predictions)
    text = (
        f"# {folder.name}\n```sh\npython bench/stress.py MODEL DATA --split {options.split} "
        f"--out bench/results/{folder.name}\n```\n<!-- stress:{folder.name} -->\n<!-- /table -->\n\n"
        f"By source, sex, site and age: `{RECORD}`. What each change does stands in "
        "`edgekd/imaging/strip.py`.\n"
    )
    write_text(folder / "README.md", fill(text, folder.parent))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
