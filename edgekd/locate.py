"""Where an experiment's data sets and weights lie on this machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgekd.config import IMAGENET, NO_WEIGHTS, Experiment, ModelConfig, SourceConfig, SourceKind
from edgekd.console import log
from edgekd.errors import DataError, ModelError, UsageError


def locate_data(experiment: Experiment, data_root: Path | None) -> Experiment:
    """`experiment` with the root of every source filled in.

    `data_root` is the folder (or table) of the first source; the others are looked for beside it under
    their own name. A source that has a root keeps it; an optional one that is not found is left out.

    Raises:
        UsageError: a source has no root and none was given.
        DataError: a folder does not exist.
    """
    sources = []
    for number, source in enumerate(experiment.data.sources):
        located = _locate(source, data_root, first=number == 0)
        if located is not None:
            sources.append(located)
    data = dataclasses.replace(experiment.data, sources=tuple(sources))
    return dataclasses.replace(experiment, data=data)


def _locate(source: SourceConfig, data_root: Path | None, *, first: bool) -> SourceConfig | None:
    if source.kind is SourceKind.SYNTHETIC:
        return source
    if data_root is not None and (first or not source.root):
        root = data_root if first else data_root.parent / source.name
    elif source.root:
        root = Path(source.root)
    elif source.optional:
        return None
    else:
        raise UsageError(
            f"source {source.name} has no folder: give it with --data-root DIR "
            f"(or --set data.sources.{source.name}.root=DIR)"
        )
    if root.exists():
        return dataclasses.replace(source, root=str(root.resolve()))
    if source.optional:
        log.warning("source %s is not at %s: going on without it", source.name, root)
        return None
    raise DataError(f"{root}: no such folder, expected the data set {source.name} ({source.kind}) there")


def locate_weights(experiment: Experiment, folder: Path | None) -> Experiment:
    """`experiment` with "imagenet" replaced by the matching backbone files of `folder`, where one is given.

    Raises:
        ModelError: a file does not exist.
    """
    teach = dataclasses.replace(experiment.teach, model=_weights(experiment.teach.model, folder))
    distill = dataclasses.replace(experiment.distill, model=_weights(experiment.distill.model, folder))
    return dataclasses.replace(experiment, teach=teach, distill=distill)


def _weights(model: ModelConfig, folder: Path | None) -> ModelConfig:
    if model.weights == NO_WEIGHTS or (model.weights == IMAGENET and folder is None):
        return model
    if model.weights == IMAGENET and folder is not None:
        return dataclasses.replace(model, weights=str(_backbone(model, folder).resolve()))
    path = Path(model.weights)
    if not path.is_file():
        raise ModelError(
            f"{path}: no such weights file; expected a file, {IMAGENET!r} or {NO_WEIGHTS!r} as weights"
        )
    return dataclasses.replace(model, weights=str(path.resolve()))


def _backbone(model: ModelConfig, folder: Path) -> Path:
    width = model.sliced_from or model.width
    pattern = f"{model.name}_{width}_*_imagenet_no_top.weights.h5"
    found = sorted(folder.glob(pattern))
    if not found:
        raise ModelError(f"{folder}: no file {pattern} for {model.name} of width {width}")
    return found[0]
