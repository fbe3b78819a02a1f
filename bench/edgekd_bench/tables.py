"""Tables in Markdown files, made from kept records: `python -m edgekd_bench.tables [--check] README.md…`.

A table stands between `<!-- table:NAME -->` (the artefacts of a run) or `<!-- board:NAME -->` (any files, as
the leaderboard ranks them) or `<!-- systems:NAME -->` (the published systems beside ours) or
`<!-- methods:NAME -->` (ways of training a student) or `<!-- stress:NAME -->` (a network on stripped
pictures) and `<!-- /table -->`; NAME is a folder of `--results`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from edgekd.errors import ContractError, DataError, EdgekdError, UnknownNameError
from edgekd.metrics.intervals import Estimate
from edgekd.plain import write_text
from edgekd_bench import methods, stress, systems
from edgekd_bench.leaderboard import markdown, read_board
from edgekd_bench.markdown import NONE, estimate, lines
from edgekd_bench.record import BenchRecord, figures
from edgekd_bench.results import Kept, read_kept
from edgekd_bench.round import Status

_MARKED = re.compile(
    r"(<!-- (?P<kind>table|board|systems|methods|stress):(?P<name>[\w.-]+) -->\n)"
    r"(?P<body>.*?)(<!-- /table -->)",
    re.DOTALL,
)
_FIGURE = re.compile(r"\d+(?:\.\d+)?")
_NOISY, _CORRECT = "†", "correctness only"


def fill(text: str, results: Path) -> str:
    """`text` with every marked table made anew from the records below `results`.

    Raises:
        UnknownNameError: a table names results that are not kept.
        DataError: a record cannot be read.
    """

    def remade(match: re.Match[str]) -> str:
        return f"{match[1]}{_table_of(match['kind'], match['name'], results)}{match[5]}"

    return _MARKED.sub(remade, text)


def drifted(paths: Iterable[Path], results: Path) -> list[str]:
    """One line for each file whose tables are not those of the records; empty when all agree.

    Raises:
        UnknownNameError: a table names results that are not kept.
    """
    return [
        f"{path}: tables differ from the kept records; run python -m edgekd_bench.tables {path}"
        for path in paths
        if (text := path.read_text(encoding="utf-8")) != fill(text, results)
    ]


def _table_of(kind: str, name: str, results: Path) -> str:
    known = [folder.name for folder in sorted(results.glob("*")) if folder.is_dir()]
    if name not in known:
        raise UnknownNameError("kept results", name, known)
    return _MAKE[kind](results / name)


def table(kept: Sequence[Kept]) -> str:
    """The artefacts as a Markdown table, its circumstances in a line below; ends with a newline."""
    engines = sorted({(r.requested_accelerator, r.threads) for artefact in kept for r in artefact.bench})
    head = ["artefact", "kB", "AUC", "at 90 % specificity", "sensitivity", "specificity"]
    head += ["change of sensitivity", "verdict", "same calls"]
    head += [f"{backend}, {threads} thread{'s' * (threads > 1)}" for backend, threads in engines]
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *(_row(artefact, engines) for artefact in kept)]
    return "\n".join([*lines(rows), "", _circumstances(kept)]) + "\n"


_MAKE: Mapping[str, Callable[[Path], str]] = {
    "table": lambda folder: table(read_kept(folder)),
    "board": lambda folder: markdown(read_board(folder)),
    "systems": lambda folder: systems.table(folder.parent),
    "methods": methods.table,
    "stress": stress.table,
}


def _row(kept: Kept, engines: Sequence[tuple[str, int]]) -> list[str]:
    by_engine = {(record.requested_accelerator, record.threads): record for record in kept.bench}
    verdict = kept.verdict
    return [
        kept.name,
        NONE if kept.size_bytes is None else f"{kept.size_bytes / 1000:.0f}",
        estimate(kept.evaluation.auc),
        _fraction(kept.evaluation.curve.sensitivity_at_specificity_90),
        estimate(kept.evaluation.sensitivity),
        estimate(kept.evaluation.specificity),
        estimate(verdict.sensitivity_difference, signed=True) if verdict else NONE,
        verdict.verdict.value if verdict else NONE,
        _share(verdict.decision_agreement) if verdict else NONE,
        *(_latency(by_engine.get(engine), kept) for engine in engines),
    ]


def _fraction(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _share(estimate: Estimate | None) -> str:
    return NONE if estimate is None or estimate.value is None else f"{estimate.value:.1%}"


def _latency(record: BenchRecord | None, kept: Kept) -> str:
    if record is None:
        return NONE
    if record.timed_ms is None:
        return _CORRECT if record.status is Status.OK else record.status.value
    cell = f"{figures(record)}{_NOISY if record.noise else ''}"
    measured = record.evaluation.sensitivity if record.evaluation else None
    if measured is not None and measured.value != kept.evaluation.sensitivity.value:
        cell += f", sensitivity {estimate(measured)}"
    return cell


def _circumstances(kept: Sequence[Kept]) -> str:
    first = kept[0].evaluation
    records = [record for artefact in kept for record in artefact.bench]
    said = [
        f"{first.split.capitalize()} split: n = {first.n}, {first.n_positive} malignant "
        f"({first.n_positive / first.n:.1%}).",
        f"Intervals: AUC {first.auc.method}, sensitivity and specificity {first.sensitivity.method}.",
        "At 90 % specificity: the sensitivity there, read off the curve of these images.",
        f"Threshold: {first.operating_point.rule}, fitted on {first.operating_point.fitted_on}, for each "
        "artefact its own.",
    ]
    said += [
        f"Change of sensitivity: against {verdict.reference}, paired, "
        f"{verdict.sensitivity_difference.method}; verdict at a margin of {verdict.margin:g}. "
        f"Same calls: the share of images that {verdict.reference} calls the same, each at its own threshold."
        for verdict in [artefact.verdict for artefact in kept if artefact.verdict][:1]
    ]
    return " ".join([*said, *_about_latency(records)])


def _about_latency(records: Sequence[BenchRecord]) -> list[str]:
    if not records:
        return []
    engines = sorted(
        {f"{r.engine.name} {r.engine.version} ({r.engine.kernels})" for r in records if r.engine}
    )
    runs = [record.timed_ms.n for record in records if record.timed_ms]
    devices = list(dict.fromkeys(f"{r.device.cpu}, {r.device.cores} cores" for r in records))
    said = [f"Latency: p50 (p90) in ms of one run, {', '.join(engines)}, {' and '.join(devices)}"]
    said[0] += f", n ≥ {min(runs)} runs in {records[0].rounds} rounds." if runs else "."
    reasons = _worst(reason for record in records for reason in record.noise)
    if reasons:
        said.append(
            f"{_NOISY} The machine was not quiet (at worst: {'; '.join(reasons)}): not to be compared."
        )
    return said


def _worst(reasons: Iterable[str]) -> list[str]:
    """Of the reasons that differ in their figures alone the one with the largest, sorted."""
    kinds: dict[str, list[str]] = {}
    for reason in reasons:
        kinds.setdefault(_FIGURE.sub("", reason), []).append(reason)
    return sorted(max(alike, key=_figures) for alike in kinds.values())


def _figures(reason: str) -> list[float]:
    return [float(figure) for figure in _FIGURE.findall(reason)]


def _main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m edgekd_bench.tables", description="Make tables of records."
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.md")
    parser.add_argument("--results", type=Path, default=Path("bench/results"))
    parser.add_argument(
        "--check", action="store_true", help="change nothing; say what has drifted, exit code 3"
    )
    options = parser.parse_args(arguments)
    try:
        if options.check:
            return _check(options.files, options.results)
        for path in options.files:
            write_text(path, fill(path.read_text(encoding="utf-8"), options.results))
    except (EdgekdError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code if isinstance(error, EdgekdError) else DataError.exit_code
    return 0


def _check(files: Sequence[Path], results: Path) -> int:
    lines = drifted(files, results)
    sys.stderr.writelines(f"{line}\n" for line in lines)
    return ContractError.exit_code if lines else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
