"""The search itself: Optuna chooses, the budget refuses, a trial is trained and may be stopped early.

Everything that was decided stands in the journal of the study; a search that was killed reads it, gives the
trial that was under way back to its run folder, and goes on. What is chosen next is a function of the seed
and of what was decided before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekd import lazy
from edgekd.config import Experiment
from edgekd.console import log
from edgekd.data.dataset import open_dataset
from edgekd.errors import ContractError, EdgekdError, ModelError, StorageError, UsageError
from edgekd.metrics.intervals import auc_interval
from edgekd.metrics.predictions import read_predictions
from edgekd.plain import from_plain, to_plain
from edgekd.runs import Run
from edgekd.runtimes.evaluate import VALIDATION_PREDICTIONS
from edgekd.search.folders import Folders, train_trial
from edgekd.search.record import Question, Screen, Trial, TrialState
from edgekd.search.space import combinations, name_of, points, settings_of
from edgekd.training.checkpoint import remove_checkpoint
from edgekd.training.history import Epoch, read_history
from edgekd.training.journal import METRICS

NAME = "edgekd"
PRUNERS = ("median", "hyperband", "none")
IDLE = 100
"""After so many points in a row that were refused or known, nothing more is looked for."""
_OUTCOME, _AGAIN = "outcome", "again"
_BEFORE_PRUNING = 4


class PrunedError(Exception):
    """The pruner ended a trial."""


@dataclass(kw_only=True)
class Search:
    """One search. `resolve` makes the experiment of a point, `cost` its screen; `teacher` is shared by all.

    `decided` is called after every trial with all so far.
    """

    question: Question
    folders: Folders
    resolve: Callable[[Sequence[str]], Experiment]
    cost: Callable[[Experiment], Screen]
    teacher: Path | None
    decided: Callable[[Sequence[Trial]], None]
    trials: list[Trial] = field(default_factory=list)

    def run(self, wanted: int) -> list[Trial]:
        """All trials, once `wanted` were trained or the space holds no more; goes on where it was killed.

        Raises:
            ContractError: the budget allows none.
            UsageError, ModelError: no point can be built.
        """
        study = open_study(self.question, self.folders.journal, epochs=self.resolve(()).distill.fit.epochs)
        _give_back(study)
        self.trials = [outcome for one in study.get_trials(deepcopy=False) if (outcome := _outcome(one))]
        self.decided(self.trials)
        idle = 0
        while _trained(self.trials) < wanted and not self._exhausted() and idle < IDLE:
            idle = 0 if self._next(study) else idle + 1
        self._require_any()
        return self.trials

    def _next(self, study: Any) -> bool:
        """Decide one more point; whether it was new and allowed."""
        study.sampler = _sampler(self.question.seed + _counted(study))
        trial = study.ask()
        point = {axis.field: axis.suggest(trial) for axis in self.question.space}
        known = next((old for old in self.trials if old.name == name_of(point)), None)
        if known is not None:
            self._repeat(study, trial, known)
            return False
        outcome = self._decide(trial, point)
        _tell(study, trial, outcome)
        self.trials.append(outcome)
        log.info("trial %d, %s: %s", len(self.trials), outcome.name, _said(outcome))
        self.decided(self.trials)
        return outcome.state is not TrialState.REFUSED

    def _repeat(self, study: Any, trial: Any, known: Trial) -> None:
        """Let a point that is known count again for the sampler, and look at an untried one next."""
        earlier = next(old for old in study.get_trials(deepcopy=False) if _is(old, known))
        for step, value in sorted(earlier.intermediate_values.items()):
            trial.report(value, step)
        trial.set_user_attr(_AGAIN, True)
        _tell(study, trial, known)
        untried = self._untried()
        if untried:
            generator = np.random.Generator(np.random.PCG64([self.question.seed, _counted(study)]))
            study.enqueue_trial(untried[int(generator.integers(len(untried)))])

    def _untried(self) -> list[dict[str, str]]:
        if combinations(self.question.space) is None:
            return []
        tried = {trial.name for trial in self.trials}
        return [point for point in points(self.question.space) if name_of(point) not in tried]

    def _exhausted(self) -> bool:
        return combinations(self.question.space) is not None and not self._untried()

    def _decide(self, trial: Any, point: dict[str, str]) -> Trial:
        started = Trial(name=name_of(point), settings=settings_of(point), state=TrialState.FAILED)
        try:
            experiment = self.resolve(started.settings)
            started = replace(started, screen=self.cost(experiment))
        except (UsageError, ModelError) as error:
            return replace(started, state=TrialState.REFUSED, reason=str(error))
        refusal = self.question.budget.refusal(started.screen) if started.screen else ""
        if refusal:
            return replace(started, state=TrialState.REFUSED, reason=refusal)
        return self._train(trial, started, experiment)

    def _train(self, trial: Any, started: Trial, experiment: Experiment) -> Trial:
        run = self.folders.open_trial(started.name, experiment, self.teacher)
        began, reported = time.monotonic(), set[int]()

        def watch(history: Sequence[Epoch]) -> None:
            for epoch in (one for one in history if one.epoch not in reported):
                reported.add(epoch.epoch)
                trial.report(epoch.validation_auc_smoothed, epoch.epoch)
            if len(history) < experiment.distill.fit.epochs and trial.should_prune():
                raise PrunedError

        try:
            train_trial(run, experiment, watch)
        except PrunedError:
            return _stopped(started, run, time.monotonic() - began)
        except StorageError:
            raise
        except EdgekdError as error:
            return replace(started, reason=str(error), seconds=time.monotonic() - began)
        history = read_history(run.folder("distill") / METRICS)
        for epoch in (one for one in history if one.epoch not in reported):
            trial.report(epoch.validation_auc_smoothed, epoch.epoch)
        return _whole(started, run, history, time.monotonic() - began)

    def _require_any(self) -> None:
        if any(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in self.trials):
            return
        failed = [trial.reason for trial in self.trials if trial.state is TrialState.FAILED]
        if failed:
            raise ContractError(f"no student could be trained whole, {len(failed)} failed: {failed[0]}")
        dear = [trial.screen for trial in self.trials if trial.screen]
        if not dear:
            raise UsageError(f"no point of the space can be built: {self.trials[0].reason}")
        raise ContractError(
            f"the budget allows none of {len(dear)} students: the smallest is "
            f"{min(one.size_bytes for one in dear):,} bytes, the fastest "
            f"{min(one.latency_ms for one in dear):.3f} ms and "
            f"{min(one.relative_latency for one in dear):.2f} × the reference; give more, or a wider --space"
        )


def open_study(question: Question, journal: Path, *, epochs: int) -> Any:
    """The study kept in the file `journal`, whatever a kill left of it; the caller holds its folder."""
    optuna = lazy.optional("optuna", package="optuna", extra="search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journals = lazy.optional("optuna.storages.journal", package="optuna", extra="search")
    _mend(journal)
    pruners = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_PRUNING, n_warmup_steps=2),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs),
        "none": optuna.pruners.NopPruner,
    }
    return optuna.create_study(
        study_name=NAME,
        storage=optuna.storages.JournalStorage(journals.JournalFileBackend(str(journal))),
        sampler=_sampler(question.seed),
        pruner=pruners[question.pruner](),
        direction="maximize",
        load_if_exists=True,
    )


def _sampler(seed: int) -> Any:
    optuna = lazy.optional("optuna", package="optuna", extra="search")
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_BEFORE_PRUNING)


def _mend(journal: Path) -> None:
    """Remove the lock and the half line of a process that was killed while it wrote."""
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink()
    if journal.is_file():
        data = journal.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            journal.write_bytes(whole)


def _give_back(study: Any) -> None:
    """Put what was under way when a search was killed first in the queue."""
    state = lazy.optional("optuna", package="optuna", extra="search").trial.TrialState
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
        study.tell(trial.number, state=state.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)


def _counted(study: Any) -> int:
    """How many points were ever decided: the same whether or not a search was killed in between."""
    state = lazy.optional("optuna", package="optuna", extra="search").trial.TrialState
    return len(study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED)))


def _tell(study: Any, trial: Any, outcome: Trial) -> None:
    state = lazy.optional("optuna", package="optuna", extra="search").trial.TrialState
    trial.set_user_attr(_OUTCOME, to_plain(outcome))
    if outcome.state is TrialState.COMPLETE:
        study.tell(trial, outcome.value)
    else:
        study.tell(trial, state=state.PRUNED)


def _outcome(trial: Any) -> Trial | None:
    """What a trial of the study came to; None while it has not, and where a known one was met again."""
    if not trial.state.is_finished() or _OUTCOME not in trial.user_attrs or _AGAIN in trial.user_attrs:
        return None
    return from_plain(Trial, trial.user_attrs[_OUTCOME], "study.log")


def _is(trial: Any, known: Trial) -> bool:
    return (outcome := _outcome(trial)) is not None and outcome.name == known.name


def _trained(trials: Sequence[Trial]) -> int:
    return sum(trial.state is not TrialState.REFUSED for trial in trials)


def _stopped(started: Trial, run: Run, seconds: float) -> Trial:
    work = run.root / ".distill.tmp"
    history = read_history(work / METRICS)
    remove_checkpoint(work)  # megabytes, and nobody goes on from here
    return replace(
        started,
        state=TrialState.PRUNED,
        reason=f"stopped after epoch {len(history)}: below the others there",
        epochs=len(history),
        value=max(epoch.validation_auc_smoothed for epoch in history),
        seconds=seconds,
    )


def _whole(started: Trial, run: Run, history: Sequence[Epoch], seconds: float) -> Trial:
    malignant = open_dataset(run.folder("data")).malignant
    said = read_predictions(run.folder("distill") / VALIDATION_PREDICTIONS, malignant)
    return replace(
        started,
        state=TrialState.COMPLETE,
        epochs=len(history),
        value=next(one.validation_auc_smoothed for one in reversed(history) if one.best),
        validation_auc=auc_interval(said.labels, said.score),
        n=len(said.labels),
        n_positive=int(said.labels.sum()),
        seconds=seconds,
    )


def _said(trial: Trial) -> str:
    value = "" if trial.value is None else f", validation AUC {trial.value:.4f}"
    return f"{trial.state}{value}{f' ({trial.reason})' if trial.reason else ''}"
