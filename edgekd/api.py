"""The line from Python: Keras objects in and out, the same run folder and the same stations underneath.

Models are `tf_keras` models taking raw 0..255 RGB and giving one raw logit per class of the data. One that
was trained elsewhere takes the place of the station's own output in the run folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd import lazy, pipeline
from edgekd.config import DataConfig, Experiment, Precision, SourceConfig
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.data.detect import detect_kind
from edgekd.errors import UsageError
from edgekd.experiments import EXPERIMENTS, load_experiment
from edgekd.experiments.layout import with_layout_of
from edgekd.locate import locate_data, locate_weights
from edgekd.models.weights import weights_sha256
from edgekd.pipeline import Station
from edgekd.plain import read_json
from edgekd.runs import Run, Step
from edgekd.settings import apply_settings
from edgekd_converters.artefacts import artefact_file


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """Prepared images, the run folder they lie in, and what the later stations are asked to do."""

    run: Run
    experiment: Experiment

    @property
    def dataset(self) -> Dataset:
        """Classes and samples."""
        return open_dataset(self.run.folder(Station.DATA))


def load(
    source: str | Path,
    *,
    out: str | Path,
    data_root: str | Path | None = None,
    weights: str | Path | None = None,
    settings: Sequence[str] = (),
    quick: bool = False,
) -> Data:
    """Prepared images in the run folder `out`.

    `source` is the name of an experiment (`data_root` is then the folder of its data set) or a folder of
    labelled images. `settings` are those of `--set`, e.g. `["teach.fit.epochs=3"]`; `weights` a folder of
    ImageNet backbones; `quick` shrinks an experiment as `--quick` does.

    Raises:
        UsageError, MissingError: as `edgekd run`.
    """
    experiment = _experiment(source, quick=quick)
    root = Path(data_root) if data_root else None
    experiment = locate_data(with_layout_of(apply_settings(experiment, settings), root), root)
    experiment = locate_weights(experiment, Path(weights) if weights else None)
    data = Data(run=Run(Path(out)), experiment=experiment)
    with data.run.locked():
        pipeline.make(data.run, experiment, Station.DATA)
    return data


def _experiment(source: str | Path, *, quick: bool) -> Experiment:
    if str(source) in EXPERIMENTS:
        return load_experiment(str(source), quick=quick)
    root = Path(source)
    kind = detect_kind(root)
    name = root.resolve().stem
    return Experiment(
        name=name, data=DataConfig(sources=(SourceConfig(name=name, kind=kind, root=str(root.resolve())),))
    )


def teach(data: Data) -> Any:
    """The teacher, a `tf_keras.Model`, trained on the labels of `data`.

    Raises:
        UsageError: teach.folds asks for several, which `distill` trains by itself.
    """
    if data.experiment.teach.folds:
        raise UsageError(
            f"teach.folds={data.experiment.teach.folds} gives as many teachers and none to hand back: call "
            "distill(data), which trains and hears them"
        )
    return _make(data, Station.TEACH)


def distill(data: Data, teacher: Any = None) -> Any:
    """The student, a `tf_keras.Model`, that listened to `teacher` (with method `none`: to nobody)."""
    if teacher is not None:
        _adopt(data, Station.TEACH, teacher)
    return _make(data, Station.DISTILL)


def qat(data: Data, student: Any) -> Any:
    """The quantization-aware student, a `tf_keras.Model`."""
    _adopt(data, Station.DISTILL, student)
    return _make(data, Station.QAT)


def export(data: Data, student: Any, quantized: Any = None) -> dict[str, Path]:
    """The files (Core ML: folders) by precision; without `quantized` there is no int8 one."""
    _adopt(data, Station.DISTILL, student)
    if quantized is None:
        chosen = tuple(p for p in data.experiment.export.precisions if p is not Precision.INT8)
        config = dataclasses.replace(data.experiment.export, precisions=chosen)
        data = dataclasses.replace(data, experiment=dataclasses.replace(data.experiment, export=config))
    _do(data, Station.EXPORT)
    folder = data.run.folder(Station.EXPORT)
    return {p.value: artefact_file(folder, p) for p in data.experiment.export.precisions}


def verify(data: Data, files: Mapping[str, Path]) -> dict[str, Any]:
    """The verdict record of each exported file, by precision (schema edgekd.verdict/1)."""
    _do(data, Station.VERIFY)
    folder = data.run.folder(Station.VERIFY)
    return {name: read_json(folder / name / "verdict.json") for name in files}


def bench(data: Data, files: Mapping[str, Path]) -> dict[str, list[Any]]:
    """The benchmark records of each exported file, by precision (schema edgekd.bench/1)."""
    _do(data, Station.BENCH)
    folder = data.run.folder(Station.BENCH)
    return {name: [read_json(path) for path in sorted(folder.glob(f"{name}@*.json"))] for name in files}


def _make(data: Data, station: Station) -> Any:
    _do(data, station)
    return _load(data.run.folder(station), station)


def _do(data: Data, station: Station) -> None:
    with data.run.locked():
        pipeline.write_experiment(data.run, data.experiment)
        data.run.do(pipeline.step(data.run, data.experiment, station))


def _load(folder: Path, station: Station) -> Any:
    if station is Station.QAT:
        from edgekd.models.quantize import load_quantized

        return load_quantized(folder / "model.h5")
    return lazy.keras().models.load_model(folder / "model.keras", compile=False)


def _adopt(data: Data, station: Station, model: Any) -> None:
    """Put `model` into the folder of `station`, unless it is what lies there."""
    folder = data.run.folder(station)
    if data.run.record(station) and weights_sha256(_load(folder, station)) == weights_sha256(model):
        return

    def make(out: Path) -> Mapping[str, float]:
        from edgekd.training.determinism import save_model
        from edgekd.training.evaluate import evaluate_station

        save_model(model, out / "model.keras")
        return evaluate_station(
            model, dataset=data.dataset, verify=data.experiment.verify, out=out, artefact=station
        )

    with data.run.locked():
        data.run.do(
            Step(
                name=station,
                make=make,
                config={"given": weights_sha256(model)},
                needs=(Station.DATA,),
                tools=("tensorflow", "tf-keras"),
            )
        )
