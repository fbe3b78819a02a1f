"""What each station of the line does with a run: its inputs found, its work called, its metrics handed on.

A station imports what it needs when it is called: `edgekd --help` loads none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.config import DistillMethod, Experiment, Precision
from edgekd.runs import Run

if TYPE_CHECKING:
    from edgekd.training.fit import Watch


def data(run: Run, experiment: Experiment, out: Path) -> Mapping[str, float]:
    """Prepare the data of `experiment` below `out`."""
    from edgekd.data.prepare import prepare

    del run
    return prepare(config=experiment.data, seed=experiment.seed, out=out)


def teach(run: Run, experiment: Experiment, out: Path) -> Mapping[str, float]:
    """Train the teacher below `out`."""
    from edgekd.data.dataset import open_dataset
    from edgekd.training import teach as station

    return station.teach(
        dataset=open_dataset(run.folder("data")).seen_by_teacher(),
        config=experiment.teach,
        verify=experiment.verify,
        seed=experiment.seed,
        out=out,
        strategy=experiment.strategy,
    )


def distill(
    run: Run, experiment: Experiment, out: Path, *, watch: Watch | None = None
) -> Mapping[str, float]:
    """Train the student below `out`; `watch` is told of every epoch.

    Raises:
        ContractError: training diverged.
        UsageError, ModelError: the student, its teacher or their weights cannot be had.
    """
    from edgekd.data.dataset import open_dataset
    from edgekd.data.parallel import available_cores
    from edgekd.training import distill as station
    from edgekd_converters.teacher import on_litert

    return station.distill(
        dataset=open_dataset(run.folder("data")),
        teacher=run.folder("teach") if experiment.distill.method is not DistillMethod.NONE else None,
        config=experiment.distill,
        verify=experiment.verify,
        seed=experiment.seed + experiment.distill.seed,
        out=out,
        strategy=experiment.strategy,
        watch=watch,
        converted=partial(on_litert, threads=available_cores()),
    )


def qat(run: Run, experiment: Experiment, out: Path) -> Mapping[str, float]:
    """Train the quantization-aware copy of the student below `out`."""
    from edgekd.data.dataset import open_dataset
    from edgekd.training import qat as station

    return station.qat(
        dataset=open_dataset(run.folder("data")),
        student=run.folder("distill"),
        config=experiment.qat,
        verify=experiment.verify,
        seed=experiment.seed,
        out=out,
        strategy=experiment.strategy,
    )


def _quantized(run: Run, experiment: Experiment) -> Path | None:
    return run.folder("qat") if Precision.INT8 in experiment.export.precisions else None


def export(run: Run, experiment: Experiment, out: Path) -> Mapping[str, float]:
    """Write the files of the student below `out`."""
    from edgekd_converters import export as station

    return station.export(
        dataset_folder=run.folder("data"),
        student=run.folder("distill"),
        qat=_quantized(run, experiment),
        config=experiment.export,
        verify=experiment.verify,
        seed=experiment.seed,
        out=out,
        name=experiment.name,
    )


def verify(run: Run, experiment: Experiment, out: Path) -> Mapping[str, float]:
    """Judge every file of `run` below `out`."""
    from edgekd_converters import verify as station

    return station.verify(
        dataset_folder=run.folder("data"),
        student=run.folder("distill"),
        qat=_quantized(run, experiment),
        exported=run.folder("export"),
        config=experiment.verify,
        out=out,
    )


def bench(run: Run, experiment: Experiment, out: Path) -> Mapping[str, float]:
    """Measure every file of `run` below `out`."""
    from edgekd_bench import station

    return station.bench(
        dataset_folder=run.folder("data"),
        exported=run.folder("export"),
        verified=run.folder("verify"),
        config=experiment.bench,
        out=out,
    )


def report(run: Run, experiment: Experiment, out: Path) -> Mapping[str, float]:
    """Write the pages of `run` below `out`."""
    from edgekd.report import station

    return station.report(run=run.root, config=experiment.report, out=out)
