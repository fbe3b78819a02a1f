"""`search`: the question, the teacher, the trials, and the results on the disk after each of them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd import lazy
from edgekd.config import DistillMethod, Experiment, Strategy
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.errors import ModelError, UnknownNameError, UsageError
from edgekd.locate import locate_weights
from edgekd.metrics.intervals import Estimate
from edgekd.metrics.paired import auc_difference
from edgekd.metrics.predictions import read_predictions
from edgekd.plain import digest, file_digest, from_plain, read_json, to_plain, write_json
from edgekd.runs import Run, tool_versions
from edgekd.runtimes.evaluate import VALIDATION_PREDICTIONS
from edgekd.search import page, screen
from edgekd.search.folders import Folders, keep_experiment
from edgekd.search.record import Budget, Question, Screen, SearchRecord, Trial, best, front
from edgekd.search.space import Axis, check_space
from edgekd.search.study import PRUNERS, Search
from edgekd.settings import apply_settings
from edgekd_bench.device import describe_device

QUESTION = "search.json"
_TOOLS = ("edgekd", "optuna", "tensorflow", "ai-edge-litert")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a search is asked: `experiment` as it stands before weights are looked for in `weights`.

    `options` are those of `edgekd run` that make it, for people. `teacher` is a run whose data and teacher
    are taken over, `reference` the file latency is relative to (None: MobileNetV2 1.0 at 224 pixels, int8).
    """

    experiment: Experiment
    space: tuple[Axis, ...]
    budget: Budget
    options: tuple[str, ...] = ()
    weights: Path | None = None
    teacher: Run | None = None
    reference: Path | None = None
    pruner: str = "median"
    seed: int = 1
    threads: int = 1
    rounds: int = 5


def search(asked: Asked, out: Path, *, trials: int) -> SearchRecord:
    """What was found once `trials` students were trained; everything lies in `out`, whose lock is held here.

    Repeated, it goes on; a greater number of trials adds to what there is.

    Raises:
        UsageError: `out` holds another search, or the question cannot be meant.
        RunBusyError: another process searches there.
        ContractError: the budget allows no student.
        MissingExtraError: Optuna or matplotlib is not installed.
    """
    if asked.pruner not in PRUNERS:
        raise UnknownNameError("pruner", asked.pruner, PRUNERS)
    if asked.experiment.strategy is Strategy.MULTIWORKER:
        raise UsageError("a search is one process: choose another strategy than multiworker, as mirrored")
    check_space(asked.space, asked.experiment)
    lazy.pyplot()  # what is missing is told now, not after the first training
    with Run(out).locked():
        return _search(asked, Folders(out, asked.teacher), trials)


def _search(asked: Asked, folders: Folders, trials: int) -> SearchRecord:
    _claim(asked, folders.root)
    base = _resolved(asked, folders, ())
    dataset = open_dataset(folders.data(base))
    reference = _reference(asked, dataset, folders.screens)
    question = _question(asked, reference)
    write_json(folders.root / QUESTION, question)

    def write(found: Sequence[Trial]) -> None:
        page.write_results(folders.root, _record(question, found, folders))

    found = Search(
        question=question,
        folders=folders,
        resolve=lambda settings: _resolved(asked, folders, settings),
        cost=lambda experiment: _cost(experiment, asked, dataset, reference, folders),
        teacher=_teacher(base, folders),
        decided=write,
    ).run(trials)
    return _record(question, found, folders)


def _claim(asked: Asked, out: Path) -> None:
    """Make `out` the folder of this search, before anything is made.

    Raises:
        UsageError: it holds another one.
    """
    path = out / QUESTION
    if path.is_file():
        known = from_plain(Question, read_json(path), QUESTION)
        wanted = _question(asked, None)
        same = dataclasses.replace(known, reference_sha256="") == wanted
        if not same:
            changed = [
                field.name
                for field in dataclasses.fields(Question)
                if field.name != "reference_sha256"
                and getattr(known, field.name) != getattr(wanted, field.name)
            ]
            raise UsageError(
                f"{out} holds another search ({', '.join(changed)} differ): repeat its command, or choose "
                "another --out"
            )
    elif (out / "experiment.json").is_file():
        raise UsageError(f"{out} is a run folder: choose another --out for the search")
    keep_experiment(out, asked.experiment)
    write_json(path, _question(asked, None))


def _question(asked: Asked, reference: Path | None) -> Question:
    plain = to_plain(asked.experiment)
    for source in plain["data"]["sources"]:
        source.pop("root")
    plain["data"].pop("workers")
    plain["distill"].pop("cache")
    return Question(
        experiment=asked.experiment.name,
        options=asked.options,
        digest=digest(plain),
        space=asked.space,
        budget=asked.budget,
        pruner=asked.pruner,
        seed=asked.seed,
        reference=asked.reference.name if asked.reference else f"MobileNetV2 1.0 at {screen.REFERENCE_PX} px",
        reference_sha256=file_digest(reference) if reference else "",
        threads=asked.threads,
        rounds=asked.rounds,
    )


def _resolved(asked: Asked, folders: Folders, settings: Sequence[str]) -> Experiment:
    """The experiment of a point: its weights found, the teacher's answers in the folder all share."""
    changed = apply_settings(asked.experiment, settings)
    located = locate_weights(changed, asked.weights)
    if asked.teacher:  # its weights are those of the file, whatever they once began with
        located = dataclasses.replace(located, teach=changed.teach)
    cache = str((folders.root / "teacher_cache").resolve())
    return dataclasses.replace(located, distill=dataclasses.replace(located.distill, cache=cache))


def _teacher(base: Experiment, folders: Folders) -> Path | None:
    return None if base.distill.method is DistillMethod.NONE else folders.teach(base)


def _reference(asked: Asked, dataset: Dataset, screens: Path) -> Path:
    """The file latency is relative to.

    Raises:
        ModelError: there is no such file.
    """
    path = screens / "reference" / "model.tflite"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(".part.tflite")
    if asked.reference is None:
        screen.untrained_file(screen.REFERENCE, screen.REFERENCE_PX, dataset=dataset, out=part)
    elif asked.reference.is_file():
        shutil.copyfile(asked.reference, part)
    else:
        raise ModelError(f"{asked.reference}: no such file, expected a .tflite file as --reference")
    part.replace(path)
    return path


def _cost(
    experiment: Experiment, asked: Asked, dataset: Dataset, reference: Path, folders: Folders
) -> Screen:
    return screen.screen(
        experiment.distill.model,
        experiment.data.input_px,
        dataset=dataset,
        reference=reference,
        folder=folders.screens,
        threads=asked.threads,
        rounds=asked.rounds,
    )


def _record(question: Question, trials: Sequence[Trial], folders: Folders) -> SearchRecord:
    ranked = best(trials)
    device = describe_device()
    return SearchRecord(
        question=question,
        device=f"{device.cpu}, {device.cores} cores",
        versions=tool_versions(_TOOLS),
        trials=tuple(trials),
        front=front(trials),
        best=ranked[0].name if ranked else None,
        margin=_margin(ranked, folders),
    )


def _margin(ranked: Sequence[Trial], folders: Folders) -> Estimate | None:
    """The validation AUC of the first less that of the second, paired; None where there are not two."""
    if len(ranked) < 2:
        return None
    first, second = (_said(trial, folders) for trial in ranked[:2])
    return auc_difference(first.labels, second.score, first.score)


def _said(trial: Trial, folders: Folders) -> Any:
    folder = folders.trial(trial.name)
    malignant = open_dataset(folder.folder("data")).malignant
    return read_predictions(folder.folder("distill") / VALIDATION_PREDICTIONS, malignant)
