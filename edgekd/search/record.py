"""What a search was asked and what it found: the records that its table and picture are made from."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from edgekd.metrics.intervals import Estimate
from edgekd.search.space import Axis

SCHEMA = "edgekd.search/1"


class TrialState(enum.StrEnum):
    """How a trial ended: trained whole, stopped early, refused by the budget, or it could not be trained."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Screen:
    """What a network costs, whatever it learns: its untrained int8 file, calibrated on noise.

    `size_bytes` with its card; `parameters` and `macs` of one picture; `latency_ms` and `reference_ms` p50
    over all runs; `relative_latency` the median over the rounds of its median over that of the reference in
    the same round; `noise` why the machine was not quiet.
    """

    size_bytes: int
    parameters: int
    macs: int
    latency_ms: float
    reference_ms: float
    relative_latency: float
    rounds: int
    threads: int
    engine: str
    noise: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most a student may cost; 0: any."""

    bytes: int = 0
    ms: float = 0.0
    relative_latency: float = 0.0

    def refusal(self, screen: Screen) -> str:
        """Why `screen` is too dear; empty when it is not."""
        checks = (
            (screen.size_bytes, self.bytes, "{0:,.0f} bytes, at most {1:,.0f} are allowed"),
            (screen.latency_ms, self.ms, "{0:.3f} ms, at most {1:g} are allowed"),
            (
                screen.relative_latency,
                self.relative_latency,
                "{0:.2f} × the reference's latency, at most {1:g} are allowed",
            ),
        )
        return "; ".join(words.format(found, most) for found, most, words in checks if most and found > most)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One student. `settings` tell it from the experiment as `--set` takes them.

    `value` is what the search maximises, the smoothed validation AUC of the kept epoch; `validation_auc` the
    area of the kept weights, `n` and `n_positive` the validation images it is over. `epochs` were trained.
    Null where it did not come to that.
    """

    name: str
    settings: tuple[str, ...]
    state: TrialState
    reason: str = ""
    screen: Screen | None = None
    epochs: int = 0
    value: float | None = None
    validation_auc: Estimate | None = None
    n: int = 0
    n_positive: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a search looks for: on it everything depends but the number of trials.

    `options` are those of `edgekd run` that make its experiment, folders as DIR.
    """

    experiment: str
    options: tuple[str, ...]
    digest: str
    space: tuple[Axis, ...]
    budget: Budget
    pruner: str
    seed: int
    reference: str
    reference_sha256: str
    threads: int
    rounds: int


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """A search and its `trials` in the order they were decided (schema edgekd.search/1).

    `front` names those that no other beats in validation AUC, size and latency at once; `best` the one of the
    greatest `value`, `margin` its validation AUC minus that of the next, paired. All null or empty while no
    trial is complete.
    """

    schema: str = SCHEMA
    question: Question
    device: str
    versions: dict[str, str]
    trials: tuple[Trial, ...]
    front: tuple[str, ...]
    best: str | None
    margin: Estimate | None


def front(trials: Sequence[Trial]) -> tuple[str, ...]:
    """The names of the complete `trials` that no other equals or beats in value, size and latency at once."""
    whole = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return tuple(trial.name for trial in whole if not any(_beats(other, trial) for other in whole))


def best(trials: Sequence[Trial]) -> list[Trial]:
    """The complete `trials`, the greatest value first; among equals the smaller, then the faster file."""
    return sorted((trial for trial in trials if trial.state is TrialState.COMPLETE), key=_costs)


def _beats(one: Trial, other: Trial) -> bool:
    mine, theirs = _costs(one), _costs(other)
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def _costs(trial: Trial) -> tuple[float, float, float]:
    screen = trial.screen
    size, latency = (screen.size_bytes, screen.relative_latency) if screen else (0, 0.0)
    return -_value(trial), size, latency


def _value(trial: Trial) -> float:
    return -1.0 if trial.value is None else trial.value
