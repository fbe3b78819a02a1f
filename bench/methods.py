"""Which way of training a student is best? One schedule, several seeds, everything else equal.

    python bench/methods.py RUN bench/results/NAME [--seeds 0 1 2] [--arms none hinton …]
                            [--round none hinton] [--set k=v]… [--work DIR]

RUN holds a finished teacher. Arms: none (labels alone), hinton, dkd, dist, logit-standardised, focal-kl;
hinton again with answers asked for in every step (hinton-online) and with one answer a picture
(hinton-fixed); and binary-none, binary-hinton, binary-focal-kl, which know malignant and benign only and
have a teacher of their own, trained here once. `--round` names arms that become 8-bit files too: calibrated
(:ptq), quantization-aware with the float student's answers (:qat) and on labels alone (:qat-labels).

Students are trained in run folders below --work (RUN-methods) that hold no test image. When one is finished,
it is shown the test split once, its threshold and temperature being those of validation; what is there is
kept, so that the command goes on where it was stopped, and with more seeds or arms adds to the table. NAME
gets the records and a README, whose table `python -m edgekd_bench.tables` makes anew.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd import console, pipeline
from edgekd.config import DistillMethod, Experiment, Precision
from edgekd.console import log
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.errors import EdgekdError, UnknownNameError, UsageError
from edgekd.locate import locate_data, locate_weights
from edgekd.metrics.predictions import write_predictions
from edgekd.pipeline import Station
from edgekd.plain import file_digest, write_json, write_text
from edgekd.runs import Run, require_run, tool_versions
from edgekd.runtimes.base import Runtime
from edgekd.runtimes.evaluate import answer_splits, evaluate_splits
from edgekd.runtimes.predict import groups
from edgekd.search.folders import Folders, link_folder
from edgekd.settings import apply_settings
from edgekd_bench.arms import ARMS, ROUNDED, Arm
from edgekd_bench.methods import (
    EVALUATION,
    PREDICTIONS,
    RECORD,
    VALIDATION,
    MethodsRecord,
    Student,
    read_methods,
)
from edgekd_bench.tables import fill
from edgekd_converters.artefacts import artefact_file

_TOOLS = ("edgekd", "tensorflow", "ai-edge-litert", "numpy")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A finished student before it was judged."""

    name: str
    arm: str
    seed: int
    against: str | None
    file: Path
    parameters: int
    training_seconds: float


def main(arguments: Sequence[str]) -> int:
    """Train, judge, keep and tabulate; the exit code."""
    options = _options(arguments)
    console.configure(quiet=False, verbose=False)
    try:
        for name in [*options.arms, *options.rounded]:
            if name not in ARMS:
                raise UnknownNameError("arm", name, ARMS)
        compare(require_run(options.run), options)
    except EdgekdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path, help="bench/results/NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), metavar="ARM")
    parser.add_argument("--round", dest="rounded", nargs="*", default=["none", "hinton"], metavar="ARM")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="k=v")
    parser.add_argument("--work", type=Path, help="where the students are trained [default: RUN-methods]")
    return parser.parse_args(arguments)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a comparison of `base` works for `options`.

    `folders` are those of the arms that know diagnoses (False), and malignant and benign only (True).
    """

    base: Experiment
    folders: Mapping[bool, Folders]
    options: argparse.Namespace


def compare(source: Run, options: argparse.Namespace) -> MethodsRecord:
    """The record of all students, which are trained and judged as far as they are not yet.

    Raises:
        UsageError: the folder holds a comparison under other settings.
        EdgekdError: a student cannot be trained or judged.
    """
    base = apply_settings(pipeline.open_experiment(source), options.settings)
    work = options.work or source.root.with_name(f"{source.root.name}-methods")
    folders = {False: Folders(work / "diagnosis", source), True: Folders(work / "binary")}
    place = Place(base=base, folders=folders, options=options)
    students = _known(options.folder, base, options.settings)
    with Run(work).locked():
        _require_one_test_split(place)
        for seed in options.seeds:
            for arm in options.arms:
                students = _arm(arm, seed, place, students)
    return read_methods(options.folder)


def _require_one_test_split(place: Place) -> None:
    """Nothing, when all arms are judged on the same images.

    Raises:
        UsageError: without diagnoses the data are split otherwise.
    """
    kinds = sorted({ARMS[name].binary for name in place.options.arms})
    arms = {binary: Arm(settings=(), against=None, binary=binary) for binary in kinds}
    made = {binary: _experiment(place.base, arm, 0, place.folders[binary]) for binary, arm in arms.items()}
    found = [open_dataset(place.folders[binary].prepared(one)).test.rows for binary, one in made.items()]
    ids = {tuple(row.image_id for row in rows) for rows in found}
    if len(ids) > 1:
        raise UsageError(
            "with data.binary=true the test split holds other images, so nothing could be compared: leave "
            "the binary arms out (--arms), or use a data set with an official split"
        )


def _known(folder: Path, base: Experiment, settings: Sequence[str]) -> dict[str, Student]:
    if not (folder / RECORD).is_file():
        return {}
    record = read_methods(folder)
    if (record.experiment, record.settings) != (base.name, tuple(settings)):
        raise UsageError(
            f"{folder} holds a comparison of {record.experiment} with {', '.join(record.settings) or 'no'} "
            "settings: choose another folder"
        )
    return {student.name: student for student in record.students}


def _arm(name: str, seed: int, place: Place, known: Mapping[str, Student]) -> dict[str, Student]:
    """`known` with the students of one arm and seed, each judged and written as soon as it is finished."""
    arm, students, options = ARMS[name], dict(known), place.options
    folders = place.folders[arm.binary]
    experiment = _experiment(place.base, arm, seed, folders)
    dataset = open_dataset(folders.prepared(experiment))
    for model in _models(name, arm, seed, experiment, folders, rounded=name in options.rounded):
        student = _judged(model, students.get(model.name), dataset, experiment, options.folder)
        if students.get(model.name) != student:
            students[model.name] = student
            _write(students, dataset, place)
    return students


def _experiment(base: Experiment, arm: Arm, seed: int, folders: Folders) -> Experiment:
    settings = [*(["data.binary=true"] if arm.binary else []), *arm.settings, f"distill.seed={seed}"]
    settings += [f"distill.cache={(folders.root / 'teacher_cache').resolve()}"]
    return locate_weights(locate_data(apply_settings(base, settings), None), None)


def _models(
    name: str, arm: Arm, seed: int, experiment: Experiment, folders: Folders, *, rounded: bool
) -> Iterator[Model]:
    """The float student of an arm and seed, then its 8-bit files where they are asked for."""
    taught = experiment.distill.method is not DistillMethod.NONE
    run = folders.open_trial(f"{name}-{seed}", experiment, folders.teach(experiment) if taught else None)
    made = run.do(pipeline.step(run, experiment, Station.DISTILL))
    student = Model(
        name=f"{name}-{seed}",
        arm=name,
        seed=seed,
        against=arm.against,
        file=run.folder(Station.DISTILL) / "model.keras",
        parameters=int(made["metrics"]["parameters"]),
        training_seconds=made["provenance"]["seconds"],
    )
    yield student
    for way in ROUNDED if rounded else ():
        yield _rounded(way, student, experiment, folders)


def _rounded(way: str, student: Model, experiment: Experiment, folders: Folders) -> Model:
    """The 8-bit file of `student` made in the `way`, in a run folder beside the student's own."""
    kind = ROUNDED[way]
    changed = apply_settings(experiment, [*kind.settings, f"export.precisions={kind.precision}"])
    run = folders.open_trial(f"{student.name}.{way}", changed, None)
    link_folder(folders.trial(student.name).folder(Station.DISTILL), run.folder(Station.DISTILL))
    seconds = 0.0
    if kind.precision is Precision.INT8:
        seconds = run.do(pipeline.step(run, changed, Station.QAT))["provenance"]["seconds"]
    run.do(pipeline.step(run, changed, Station.EXPORT))
    return dataclasses.replace(
        student,
        name=f"{student.arm}.{way}-{student.seed}",
        arm=f"{student.arm}:{way}",
        against=f"{student.arm}{kind.against}",
        file=artefact_file(run.folder(Station.EXPORT), kind.precision),
        training_seconds=seconds,
    )


def _judged(
    model: Model, known: Student | None, dataset: Dataset, experiment: Experiment, folder: Path
) -> Student:
    """The record of `model`, which sees the test split now unless these very weights did before."""
    sha256 = file_digest(model.file)
    if (
        known is not None
        and known.model_sha256 == sha256
        and (folder / f"{model.name}{PREDICTIONS}").is_file()
    ):
        log.info("%s judged before", model.name)
        return known
    if known is not None:
        log.warning(
            "%s is another than the one that was judged: its test split is predicted again", model.name
        )
    folder.mkdir(parents=True, exist_ok=True)
    _judge(model, dataset, experiment, folder)
    return Student(
        name=model.name,
        arm=model.arm,
        seed=model.seed,
        against=model.against,
        malignant=dataset.malignant,
        parameters=model.parameters,
        size_bytes=model.file.stat().st_size if model.file.suffix == ".tflite" else None,
        training_seconds=model.training_seconds,
        model_sha256=sha256,
        touches=(known.touches if known else 0) + 1,
    )


def _judge(model: Model, dataset: Dataset, experiment: Experiment, folder: Path) -> None:
    """Predict both splits; figures at the threshold and temperature of validation."""
    answers = answer_splits(
        _runtime(model.file), dataset, classes=dataset.classes, malignant=dataset.malignant, label=model.name
    )
    record = evaluate_splits(
        answers, dataset, config=experiment.verify, artefact=model.name, runtime=answers.engine.name
    )
    write_predictions(folder / f"{model.name}{VALIDATION}", answers.validation)
    write_predictions(folder / f"{model.name}{PREDICTIONS}", answers.test)
    write_json(folder / f"{model.name}{EVALUATION}", record)


def _runtime(file: Path) -> Runtime:
    if file.suffix == ".tflite":
        from edgekd.runtimes.litert import LitertRuntime

        return LitertRuntime(file, threads=1)
    from edgekd.runtimes.keras import KerasRuntime

    return KerasRuntime(file)


def _write(students: Mapping[str, Student], dataset: Dataset, place: Place) -> None:
    """Write methods.json and README.md, arms in their order and not in that they were trained in."""
    options = place.options
    arms = [name + way for name in ARMS for way in ("", *(f":{way}" for way in ROUNDED))]
    ordered = sorted(students.values(), key=lambda one: (arms.index(one.arm), one.seed))
    record = MethodsRecord(
        experiment=place.base.name,
        settings=tuple(options.settings),
        versions=tool_versions(_TOOLS),
        students=tuple(ordered),
        groups=groups(dataset.test),
        validation_groups=groups(dataset.validation),
    )
    write_json(options.folder / RECORD, record)
    name = options.folder.name
    text = (
        f"# {name}\n```sh\n{_command(options)}\n```\n"
        f"<!-- methods:{name} -->\n<!-- /table -->\n\n"
        "`*.predictions.csv` hold every prediction on the test split, `*.validation.csv` on validation "
        "(label 1 =\nmalignant): every figure can be recomputed from them.\n"
    )
    write_text(options.folder / "README.md", fill(text, options.folder.parent))


def _command(options: argparse.Namespace) -> str:
    """What was asked last, without this machine's folders."""
    parts = ["python", "bench/methods.py", "RUN", f"bench/results/{options.folder.name}"]
    parts += ["--seeds", *map(str, options.seeds), "--arms", *options.arms, "--round", *options.rounded]
    return shlex.join([*parts, *(part for setting in options.settings for part in ("--set", setting))])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
