"""Keeping the records of a run: `python -m edgekd_bench.results RUN bench/results/NAME --command "…"`.

<folder>/<artefact>.evaluation.json          figures on the test split; artefacts are teach, distill, qat and
                                             the precisions of the exported files
<folder>/<artefact>.predictions.csv          what they can be recomputed from
<folder>/<precision>.verdict.json            against the float student, paired
<folder>/<precision>.inspect.json            what the file holds, its size among it
<folder>/<precision>@<backend>-<n>t.bench.json   latency
<folder>/README.md                           command, machine, date, and the table
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.config import Precision
from edgekd.errors import DataError, EdgekdError, UsageError
from edgekd.metrics.evaluation import EvaluationRecord, read_evaluation
from edgekd.plain import from_plain, read_json, write_text
from edgekd_bench.record import BenchRecord, read_bench
from edgekd_converters.verdict import VerdictRecord

EVALUATION, PREDICTIONS = ".evaluation.json", ".predictions.csv"
VERDICT, INSPECTION, BENCH = ".verdict.json", ".inspect.json", ".bench.json"
KERAS_STATIONS = ("teach", "distill", "qat")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The records of one artefact; a Keras model has no size in bytes, no verdict and no benchmarks."""

    name: str
    size_bytes: int | None
    evaluation: EvaluationRecord
    verdict: VerdictRecord | None
    bench: tuple[BenchRecord, ...]


def keep(run: Path, folder: Path, *, command: str, force: bool = False) -> None:
    """Copy the records of the run folder `run` into `folder`, whose name becomes that of the table.

    Raises:
        UsageError: `folder` exists, and not `force`.
        DataError: `run` holds no verified file.
    """
    if folder.exists() and not force:
        raise UsageError(f"{folder} exists: give --force to replace it, or another name")
    copies = dict(_copies(run))
    if not any(name.endswith(VERDICT) for name in copies):
        raise DataError(f"{run}: no verify/<precision>/verdict.json in it; run edgekd verify first")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, source in copies.items():
        shutil.copyfile(source, folder / name)
    write_text(folder / "README.md", _readme(folder, command))


def read_kept(folder: Path) -> tuple[Kept, ...]:
    """The artefacts kept in `folder`: Keras models in the order of the line, then files, largest first.

    Raises:
        DataError: there are none, or a record cannot be read.
    """
    names = [path.name.removesuffix(EVALUATION) for path in sorted(folder.glob(f"*{EVALUATION}"))]
    if not names:
        raise DataError(f"{folder}: no kept results (*{EVALUATION})")
    return tuple(sorted((_kept(folder, name) for name in names), key=_place))


def _kept(folder: Path, name: str) -> Kept:
    verdict = folder / f"{name}{VERDICT}"
    found = [read_bench(path) for path in sorted(folder.glob(f"{name}@*{BENCH}"))]
    return Kept(
        name=name,
        size_bytes=_size_bytes(folder / f"{name}{INSPECTION}", found),
        evaluation=read_evaluation(folder / f"{name}{EVALUATION}"),
        verdict=from_plain(VerdictRecord, read_json(verdict), str(verdict)) if verdict.is_file() else None,
        bench=tuple(sorted(found, key=lambda record: (record.requested_accelerator, record.threads))),
    )


def _size_bytes(inspection: Path, bench: Sequence[BenchRecord]) -> int | None:
    if inspection.is_file():
        return int(read_json(inspection)["size_bytes"])
    return bench[0].model.size_bytes if bench else None


def _place(kept: Kept) -> tuple[int, int, str]:
    if kept.name in KERAS_STATIONS:
        return KERAS_STATIONS.index(kept.name), 0, kept.name
    return len(KERAS_STATIONS), -(kept.size_bytes or 0), kept.name


def _copies(run: Path) -> Iterator[tuple[str, Path]]:
    """Names of the kept files and what they are copies of, as far as it exists."""
    folders = {
        **{name: run / name for name in KERAS_STATIONS},
        **{precision.value: run / "verify" / precision for precision in Precision},
    }
    for name, folder in folders.items():
        for suffix in (EVALUATION, PREDICTIONS, VERDICT):
            if (source := folder / suffix.removeprefix(".")).is_file():
                yield f"{name}{suffix}", source
        if (source := run / "export" / name / INSPECTION.removeprefix(".")).is_file():
            yield f"{name}{INSPECTION}", source
    for source in sorted((run / "bench").glob("*@*.json")):
        yield f"{source.stem}{BENCH}", source


def _readme(folder: Path, command: str) -> str:
    from edgekd_bench.tables import fill  # tables read what is kept here

    records = [record for kept in read_kept(folder) for record in kept.bench]
    machine = _machine(records[0]) if records else "Latency was not measured."
    text = (
        f"# {folder.name}\n```sh\n{command}\n```\n{machine}\n\n"
        f"<!-- table:{folder.name} -->\n<!-- /table -->\n\n"
        "`*.predictions.csv` hold every prediction on the test split (label 1 = malignant; called malignant\n"
        "when score ≥ the threshold in `*.evaluation.json`): every figure can be recomputed from them. How\n"
        "latency is measured stands in [bench/README.md](../../README.md).\n"
    )
    return fill(text, folder.parent)


def _machine(record: BenchRecord) -> str:
    device = record.device
    versions = ", ".join(f"{name} {version}" for name, version in sorted(record.versions.items()))
    machine = f"{device.cpu} ({device.isa}), {device.cores} cores, {device.os}"
    return f"{record.measured_at[:10]}, {machine}; {versions}."


def _main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m edgekd_bench.results", description="Keep a run's records."
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path, help="bench/results/NAME")
    parser.add_argument("--command", required=True, help="what made the run, as anybody could type it")
    parser.add_argument("--force", action="store_true", help="replace what is kept there")
    options = parser.parse_args(arguments)
    try:
        keep(options.run, options.folder, command=options.command, force=options.force)
    except EdgekdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
