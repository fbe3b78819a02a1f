"""`edgekd compare`: two artefacts on the same images, or two measurements of latency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.options import Json
from edgekd.cli.tables import estimate
from edgekd.errors import ContractError
from edgekd.plain import to_plain

if TYPE_CHECKING:
    from edgekd_bench.compare import LatencyComparison


def compare(
    a: Annotated[
        Path, typer.Argument(metavar="A", help="A run or a folder with an evaluation; or benchmark records.")
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="The other one.")],
    margin: Annotated[float, typer.Option(help="The loss of sensitivity still tolerated.")] = 0.02,
    smallest: Annotated[
        float, typer.Option(help="The smallest difference of latency of interest, a fraction.")
    ] = 0.03,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare latencies of other machines, engines or in noise, too.")
    ] = False,
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="Exit code 3 when B is worse, for CI.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare B with A: on the same images, paired (of a run its int8 file), or the latencies of records.

    Example: edgekd compare runs/undistilled/distill runs/distilled/distill
    """
    console.configure()
    from edgekd_bench.folders import compare_paths, holds_bench

    if not (holds_bench(a) or holds_bench(b)):
        _compare_evaluations(a, b, margin=margin, fail_if_worse=fail_if_worse, as_json=as_json)
        return
    found = compare_paths(a, b, smallest_difference=smallest, anyway=anyway)
    if as_json:
        console.emit_json(found)
    else:
        emit_latencies(f"{b} against {a}: B is better, worse or not distinguishable", found)
    _fail([one.b for one in found if one.finding.value == "worse"], fail_if_worse=fail_if_worse)


def emit_latencies(title: str, found: tuple[LatencyComparison, ...] | list[LatencyComparison]) -> None:
    """Print one line for each comparison of latency."""
    rows = [
        (
            one.b if one.a == one.b else f"{one.b} against {one.a}",
            estimate(to_plain(one.p50_ratio)),
            one.finding.value,
            one.reason,
            "; ".join(one.differing),
        )
        for one in found
    ]
    console.emit_table(title, ("record", "p50 of B / A, 95 % interval", "B is", "why", "differing"), rows)


def _fail(worse: list[str], *, fail_if_worse: bool) -> None:
    if worse and fail_if_worse:
        raise ContractError(f"worse than before: {', '.join(worse)}")


def _compare_evaluations(a: Path, b: Path, *, margin: float, fail_if_worse: bool, as_json: bool) -> None:
    from edgekd.compare import compare as paired

    found = paired(a, b, margin=margin)
    calls = found.calls
    lost = calls.non_inferiority.verdict.value == "failed"
    if as_json:
        console.emit_json(found)
        _fail([str(b)] * lost, fail_if_worse=fail_if_worse)
        return
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
    _fail([str(b)] * lost, fail_if_worse=fail_if_worse)
