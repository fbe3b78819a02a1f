"""The experiments: Python files whose head holds purpose, command, time and expected result."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgekd.config import Experiment
from edgekd.errors import UnknownNameError
from edgekd.experiments import isic2017, quickstart

EXPERIMENTS: Mapping[str, Callable[[bool], Experiment]] = {
    "isic2017": isic2017.experiment,
    "quickstart": quickstart.experiment,
}


def load_experiment(name: str, *, quick: bool = False) -> Experiment:
    """The experiment called `name`; `quick` shrinks it to a trial of the same line.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in EXPERIMENTS:
        raise UnknownNameError("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name](quick)
