"""An experiment on another data set than its own: the folder's layout decides."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgekd.config import Experiment, SourceConfig, SourceKind
from edgekd.console import log
from edgekd.data.detect import detect_kind
from edgekd.errors import DataError


def with_layout_of(experiment: Experiment, data_root: Path | None) -> Experiment:
    """`experiment` with its first source of the kind that the folder (or table) `data_root` shows.

    The method stays; name and kind of the source, and so `experiment.json`, say what was used. Nothing
    changes where the folder shows no official layout: then it is for the reader of the experiment's own to
    say what is missing.
    """
    first, *others = experiment.data.sources
    shown = _shown(first, data_root)
    if shown is None or shown is first.kind:
        return experiment
    log.warning("%s is laid out as %s: taken in place of %s", data_root, shown, first.kind)
    source = dataclasses.replace(first, name=shown.value, kind=shown, root="")
    kept = (other for other in others if other.name != source.name)
    return _with_sources(experiment, (source, *kept))


def with_first_source_of(experiment: Experiment, known: Experiment) -> Experiment:
    """`experiment` with the first source an earlier run of it had, where that was of another layout."""
    first, *others = experiment.data.sources
    earlier = known.data.sources[0]
    if known.name != experiment.name or earlier.name == first.name:
        return experiment
    return _with_sources(experiment, (earlier, *(other for other in others if other.name != earlier.name)))


def _shown(first: SourceConfig, data_root: Path | None) -> SourceKind | None:
    if data_root is None or first.kind is SourceKind.SYNTHETIC:
        return None
    try:
        shown = detect_kind(data_root)
    except DataError:
        return None
    # Any folder that holds folders looks like classes.
    return None if shown is SourceKind.FOLDERS else shown


def _with_sources(experiment: Experiment, sources: tuple[SourceConfig, ...]) -> Experiment:
    return dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, sources=sources))
