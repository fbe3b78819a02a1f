"""`edgekd compare`: two artefacts on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd import console
from edgekd.cli.options import Json
from edgekd.cli.tables import estimate
from edgekd.plain import to_plain


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A run, or a folder with an evaluation.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The other one.")],
    margin: Annotated[float, typer.Option(help="The loss of sensitivity still tolerated.")] = 0.02,
    as_json: Json = False,
) -> None:
    """Compare B with A on the same images, paired; of a run its int8 file is meant.

    Example: edgekd compare runs/undistilled/distill runs/distilled/distill
    """
    console.configure()
    from edgekd.compare import compare as paired

    found = paired(a, b, margin=margin)
    if as_json:
        console.emit_json(found)
        return
    calls = found.calls
    rows = [
        ("AUC", estimate(to_plain(found.auc), signed=True), ""),
        (
            "sensitivity",
            estimate(to_plain(calls.sensitivity), signed=True),
            f"{calls.sensitivity_mcnemar_p:.3f}",
        ),
        (
            "specificity",
            estimate(to_plain(calls.specificity), signed=True),
            f"{calls.specificity_mcnemar_p:.3f}",
        ),
    ]
    console.emit_table(
        f"{b} − {a}: n = {found.n}, {found.n_positive} malignant, each at its own operating point",
        ("figure", "difference, 95 % interval", "McNemar p"),
        rows,
    )
    console.emit_text(
        f"sensitivity within {margin:g}: {calls.non_inferiority.verdict}; "
        f"the calls differ on {len(found.discordant)} images"
    )
