"""The experiments: Python files whose head holds purpose, command, time and expected result."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgekd.config import Experiment
from edgekd.errors import UnknownNameError
from edgekd.experiments import (
    adepu2023,
    demo,
    folders,
    inception2020,
    isic2017,
    khan2022,
    quickstart,
    record,
    zunair2020,
)

EXPERIMENTS: Mapping[str, Callable[[bool], Experiment]] = {
    "quickstart": quickstart.experiment,
    "isic2017": isic2017.experiment,
    "record": record.experiment,
    "demo": demo.experiment,
    "adepu2023": adepu2023.experiment,
    "khan2022": khan2022.experiment,
    "zunair2020": zunair2020.experiment,
    "inception2020": inception2020.experiment,
    "folders": folders.experiment,
}


def load_experiment(name: str, *, quick: bool = False) -> Experiment:
    """The experiment called `name`; `quick` shrinks it to a trial of the same line.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in EXPERIMENTS:
        raise UnknownNameError("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name](quick)
