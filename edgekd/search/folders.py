"""The folders of a search: what all trials share, and the run folder of each.

    OUT/experiment.json            the experiment the search began with
    OUT/prepared/<px>/data         the data station at each resolution that was tried
    OUT/shared/<px>/data           the same without its test split
    OUT/shared/<px>/teach          the teacher, trained (or taken over) once
    OUT/teacher_cache              its answers, for all trials
    OUT/screens                    what each network costs
    OUT/trials/<name>/             a run folder: experiment.json, data and teach (links), distill
    OUT/study.log                  the journal of Optuna

No network here is shown a test image: the folders that trials (and their teacher) train from hold none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd import pipeline, stations
from edgekd.config import Experiment
from edgekd.console import log
from edgekd.data.withhold import withhold_test
from edgekd.errors import ModelError, UsageError
from edgekd.pipeline import Station
from edgekd.plain import file_digest, write_json
from edgekd.runs import Run, State, Step
from edgekd.training.folds import RECORD as FOLDS

if TYPE_CHECKING:
    from edgekd.training.fit import Watch

_WITHHELD = {"withheld": "test"}


@dataclass(frozen=True)
class Folders:
    """Where a search works; `source` is a run whose data and teacher are taken over, if any."""

    root: Path
    source: Run | None = None
    _whole: dict[int, Path] = field(default_factory=dict)  # side → data that need not be checked again
    _ready: dict[int, Path] = field(default_factory=dict)

    @property
    def journal(self) -> Path:
        """Optuna's journal."""
        return self.root / "study.log"

    @property
    def screens(self) -> Path:
        """What each network costs."""
        return self.root / "screens"

    def trial(self, name: str) -> Run:
        """The run folder of the trial called `name`."""
        return Run(self.root / "trials" / name)

    def data(self, experiment: Experiment) -> Path:
        """The data of `experiment` without its test split, made when they are missing.

        Raises:
            DataError, ImageError: the images cannot be prepared.
        """
        px, run = experiment.data.input_px, self._shared(experiment)
        if px in self._ready:
            return self._ready[px]
        prepared = self.prepared(experiment)
        stores = sorted(prepared.glob("store/*/manifest.json"))
        run.do(
            Step(
                name=Station.DATA,
                make=lambda out: withhold_test(prepared, out),
                config=_WITHHELD,
                facts={
                    path.relative_to(prepared).as_posix(): file_digest(path)
                    for path in (prepared / "table.csv", prepared / "dataset.json", *stores)
                },
            )
        )
        return self._ready.setdefault(px, run.folder(Station.DATA))

    def teach(self, experiment: Experiment) -> Path:
        """The folder of the teacher of `experiment`: that of the source run, or trained here, once.

        Raises:
            ModelError: the source run has no teacher.
            ContractError: training diverged.
        """
        self.data(experiment)
        run = self._shared(experiment)
        run.do(_taken(self.source) if self.source else pipeline.step(run, experiment, Station.TEACH))
        return run.folder(Station.TEACH)

    def open_trial(self, name: str, experiment: Experiment, teacher: Path | None) -> Run:
        """The run folder of a trial, its data and teacher in place."""
        run = self.trial(name)
        run.root.mkdir(parents=True, exist_ok=True)
        pipeline.write_experiment(run, experiment)
        link_folder(self.data(experiment), run.folder(Station.DATA))
        if teacher:
            link_folder(teacher, run.folder(Station.TEACH))
        return run

    def _shared(self, experiment: Experiment) -> Run:
        return Run(self.root / "shared" / str(experiment.data.input_px))

    def prepared(self, experiment: Experiment) -> Path:
        """The data station of `experiment`, test split and all: the source run's where it is the same.

        Raises:
            DataError, ImageError: the images cannot be prepared.
        """
        px = experiment.data.input_px
        if px in self._whole:
            return self._whole[px]
        if self.source:
            found = self.source.find(pipeline.step(self.source, experiment, Station.DATA))
            if found.state is State.KEPT:
                return self._whole.setdefault(px, self.source.folder(Station.DATA))
            log.info("the data of %s do not serve here (%s): preparing them", self.source.root, found.reason)
        run = Run(self.root / "prepared" / str(experiment.data.input_px))
        run.do(pipeline.step(run, experiment, Station.DATA))
        return self._whole.setdefault(px, run.folder(Station.DATA))


def train_trial(run: Run, experiment: Experiment, watch: Watch) -> Mapping[str, float]:
    """The metrics of a trial's student, which is trained or goes on; `watch` is told of every epoch.

    Raises:
        ContractError: training diverged.
        UsageError, ModelError: the student or its weights cannot be had.
    """
    ordinary = pipeline.step(run, experiment, Station.DISTILL)
    step = replace(ordinary, make=lambda out: stations.distill(run, experiment, out, watch=watch))
    metrics: Mapping[str, float] = run.do(step)["metrics"]
    return metrics


def _taken(source: Run) -> Step:
    """The teacher's files of `source`; of what it says of the test split, nothing."""
    folder = source.folder(Station.TEACH)
    members = sorted(folder.glob("*.keras"))
    if not members:
        raise ModelError(f"{source.root} has no trained teacher: run edgekd teach {source.root} first")
    files = [*members, *folder.glob(FOLDS)]

    def make(out: Path) -> Mapping[str, float]:
        for file in files:
            shutil.copyfile(file, out / file.name)
        return {"members": float(len(members))}

    return Step(
        name=Station.TEACH, make=make, config=_WITHHELD, facts={f.name: file_digest(f) for f in files}
    )


def link_folder(source: Path, link: Path) -> None:
    """Make `link` stand for the folder `source`, by a path that survives moving both together.

    Raises:
        UsageError: there is a folder of its own already.
    """
    if link.is_symlink():
        link.unlink()
    if link.exists():
        raise UsageError(f"{link} is a folder of its own, expected a link to {source}: remove it and repeat")
    link.symlink_to(os.path.relpath(source.resolve(), link.parent.resolve()), target_is_directory=True)


def keep_experiment(root: Path, experiment: Experiment) -> None:
    """Write the experiment of a search."""
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / "experiment.json", experiment)
