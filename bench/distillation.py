"""Does distillation help? Students with and without a teacher, several seeds, everything else equal.

    python bench/distillation.py RUN bench/results/NAME [--seeds 0 1 2] [--methods hinton none] [--set k=v]…

RUN holds a finished teacher. Each student is trained in a run folder of its own, RUN-students/METHOD-SEED,
which shares the data and the teacher of RUN; repeated, what is finished is kept. NAME gets the evaluation
and the predictions of every student on the test split and a README with the table.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd import console, pipeline
from edgekd.config import DistillMethod, Experiment
from edgekd.errors import EdgekdError, UsageError
from edgekd.locate import locate_data, locate_weights
from edgekd.metrics.evaluation import EvaluationRecord, read_evaluation
from edgekd.metrics.intervals import Estimate
from edgekd.metrics.paired import auc_difference
from edgekd.metrics.predictions import Predictions, read_predictions
from edgekd.pipeline import Station
from edgekd.plain import write_text
from edgekd.runs import Run, require_run
from edgekd.settings import apply_settings

_SHARED = (Station.DATA, Station.TEACH)


@dataclass(frozen=True, kw_only=True, eq=False)
class Student:
    """One trained student, judged on the test split."""

    method: str
    seed: int
    evaluation: EvaluationRecord
    predictions: Predictions


def main(arguments: Sequence[str]) -> int:
    """Train, keep and tabulate; the exit code."""
    options = _options(arguments)
    console.configure(quiet=False, verbose=False)
    try:
        if options.folder.exists() and not options.force:
            raise UsageError(f"{options.folder} exists: give --force to replace it, or another name")
        students = [
            _student(require_run(options.run), method, seed, options.settings)
            for seed in options.seeds
            for method in options.methods
        ]
        _keep(students, options)
    except EdgekdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path, help="bench/results/NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", type=DistillMethod, nargs="+", default=["hinton", "none"])
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="k=v")
    parser.add_argument("--force", action="store_true", help="replace what is kept there")
    return parser.parse_args(arguments)


def _student(source: Run, method: str, seed: int, settings: Sequence[str]) -> Student:
    run = Run(source.root.with_name(f"{source.root.name}-students") / f"{method}-{seed}")
    for station in _SHARED:
        if not run.folder(station).is_dir():
            shutil.copytree(source.folder(station), run.folder(station), copy_function=os.link)
    experiment: Experiment = apply_settings(
        pipeline.open_experiment(source), [*settings, f"distill.method={method}", f"distill.seed={seed}"]
    )
    with run.locked():
        pipeline.make(run, locate_weights(locate_data(experiment, None), None), Station.DISTILL)
    folder = run.folder(Station.DISTILL)
    return Student(
        method=method,
        seed=seed,
        evaluation=read_evaluation(folder / "evaluation.json"),
        predictions=read_predictions(folder / "predictions.csv", experiment.data.malignant),
    )


def _keep(students: Sequence[Student], options: argparse.Namespace) -> None:
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    for student in students:
        name = f"{student.method}-{student.seed}"
        folder = options.run.with_name(f"{options.run.name}-students") / name / Station.DISTILL
        for file in ("evaluation.json", "predictions.csv"):
            shutil.copyfile(folder / file, options.folder / f"{name}.{file}")
    write_text(options.folder / "README.md", _page(students, options))


def _page(students: Sequence[Student], options: argparse.Namespace) -> str:
    first = students[0].evaluation
    changed = "".join(f" --set {shlex.quote(setting)}" for setting in options.settings)
    rows = [_row(student) for student in students]
    return "\n".join(
        [
            f"# {options.folder.name}",
            "```sh",
            f"python bench/distillation.py RUN bench/results/{options.folder.name}{changed}",
            "```",
            f"Students of one schedule, {first.split} split, n = {first.n}, {first.n_positive} malignant; "
            f"{first.engine['name']} {first.engine['version']}, {first.engine['isa']}. Intervals: AUC "
            f"{first.auc.method}, sensitivity and specificity {first.sensitivity.method}; threshold "
            f"{first.operating_point.rule}, fitted on validation, for each student its own.",
            "",
            "| method | seed | AUC | sensitivity | specificity |",
            "| --- | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            *_differences(students, options.methods),
            "",
        ]
    )


def _row(student: Student) -> str:
    record = student.evaluation
    cells = (_estimate(value) for value in (record.auc, record.sensitivity, record.specificity))
    return f"| {student.method} | {student.seed} | {' | '.join(cells)} |"


def _differences(students: Sequence[Student], methods: Sequence[str]) -> list[str]:
    """One line per method that has a teacher: its AUC minus that of the undistilled twin of each seed."""
    alone = {one.seed: one for one in students if one.method == DistillMethod.NONE}
    lines = []
    for method in (method for method in methods if method != DistillMethod.NONE):
        pairs = [(one, alone[one.seed]) for one in students if one.method == method and one.seed in alone]
        found = [_difference(one.predictions, twin.predictions) for one, twin in pairs]
        means = [value.value for value in found if value.value is not None]
        if means:
            spread = f", standard deviation {statistics.stdev(means):.3f}" if len(means) > 1 else ""
            lines.append(
                f"AUC, {method} − none, seed by seed: {', '.join(map(_estimate, found))} "
                f"({found[0].method}); mean {statistics.mean(means):+.3f}{spread}."
            )
    return lines


def _difference(candidate: Predictions, reference: Predictions) -> Estimate:
    if candidate.image_ids != reference.image_ids:
        raise UsageError("two students were judged on different images: remove RUN-students and repeat")
    return auc_difference(reference.labels, reference.score, candidate.score)


def _estimate(value: Estimate) -> str:
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
