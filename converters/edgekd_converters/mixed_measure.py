"""The mixed-precision search at work, in a process of its own.

Run as `python -m edgekd_converters.mixed_measure REQUEST.json`, by `edgekd_converters.mixed`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from edgekd.config import VerifyConfig
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.errors import ContractError
from edgekd.metrics.binary import Floats
from edgekd.metrics.operating_point import call, confusion, fit_threshold
from edgekd.metrics.predictions import Predictions, malignancy_score
from edgekd.metrics.ranking import roc_auc_score, sensitivity_at_specificity
from edgekd.runtimes.litert import LitertRuntime
from edgekd.runtimes.predict import run
from edgekd_converters.layers_graft import graft
from edgekd_converters.layers_graph import layer_names, read_graph
from edgekd_converters.layers_process import serve
from edgekd_converters.mixed_search import Kept, fewest

RANKING_IMAGES = 16
BAND = 0.05
_WARM_UP, _ROUNDS = 5, 51


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is searched, where its files lie, and where the chosen file goes."""

    dataset_folder: str
    float_file: str
    quantized_file: str
    output: str
    max_sensitivity_drop: float
    verify: VerifyConfig


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one layer does to the answer when it alone is 8-bit: mean |score − float score|, in log odds."""

    layer: str
    score_error: float


@dataclass(frozen=True, kw_only=True)
class MixedStep:
    """One candidate of the search.

    `kept` names the layers in float, in running order. `latency_ratio` is its fastest run by
    that of the all-8-bit file, 51 of each in turn in one process, one thread (the fastest, for the search
    runs wherever it is started, beside other work; `bench` measures properly); null until measured.
    `sensitivity` and the drops (reference − candidate) are as `MixedSearch` says; `mean_score_error` is the
    mean |score − float score| in log odds. `satisfied`: both drops are within the limit.
    """

    kept: tuple[str, ...]
    size_bytes: int
    latency_ratio: float | None
    sensitivity: float
    sensitivity_drop: float
    band_sensitivity_drop: float
    auc: float
    mean_score_error: float
    satisfied: bool


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What the process answers; `chosen` is the number of the chosen step."""

    engine: str
    n_images: int
    n_positive: int
    specificity: float
    reference_sensitivity: float
    reference_auc: float
    effects: tuple[Effect, ...]
    steps: tuple[MixedStep, ...]
    chosen: int
    output_dtype: str


class _Search:
    """Files made and judged on demand, each once."""

    def __init__(self, asked: Request, folder: Path) -> None:
        self._asked, self._folder = asked, folder
        self._exact, self._quantized = (
            read_graph(Path(asked.float_file)),
            read_graph(Path(asked.quantized_file)),
        )
        self._dataset: Dataset = open_dataset(Path(asked.dataset_folder))
        self.names = layer_names(self._quantized, self._exact)
        self._files: dict[Kept, Path] = {}
        self.steps: dict[Kept, MixedStep] = {}
        self.engine, self.reference = self._predict(self._exact.path)

    @cached_property
    def specificity(self) -> float:
        """What the float network's own operating point has on validation; everything is compared there."""
        labels, score = self.reference.labels, self.reference.score
        point = fit_threshold(labels, score, self._asked.verify.rule, self._asked.verify.target)
        found = confusion(labels, call(score, point.threshold))
        if not found.true_negative:
            raise ContractError(
                f"{self._exact.path}: at its operating point ({self._asked.verify.rule} "
                f"{self._asked.verify.target:g}) the float network calls every validation image malignant: "
                "there is nothing to hold"
            )
        return found.true_negative / (found.true_negative + found.false_positive)

    @cached_property
    def reference_sensitivities(self) -> Floats:
        """The float network's sensitivity at that specificity, then at those around it."""
        return self._sensitivities(self.reference)

    def effects(self) -> list[float]:
        """What each layer does to the answer when it alone is 8-bit."""
        everything = frozenset(range(len(self.names)))
        expected = self.reference.score[:RANKING_IMAGES]
        return [
            float(np.abs(self._scores(everything - {place}) - expected).mean())
            for place in range(len(self.names))
        ]

    def step(self, kept: Kept) -> MixedStep:
        """The candidate with these layers in float, judged on validation."""
        if kept not in self.steps:
            path = self.file(kept)
            _, found = self._predict(path)
            drops = self.reference_sensitivities - (sensitivities := self._sensitivities(found))
            drop, band_drop = float(drops[0]), float(drops[1:].mean())
            self.steps[kept] = MixedStep(
                kept=tuple(self.names[place] for place in sorted(kept)),
                size_bytes=path.stat().st_size,
                latency_ratio=None,
                sensitivity=float(sensitivities[0]),
                sensitivity_drop=drop,
                band_sensitivity_drop=band_drop,
                auc=roc_auc_score(found.labels, found.score),
                mean_score_error=float(np.abs(found.score - self.reference.score).mean()),
                satisfied=max(drop, band_drop) <= self._asked.max_sensitivity_drop + 1e-12,
            )
        return self.steps[kept]

    def file(self, kept: Kept) -> Path:
        """The file of a candidate."""
        if kept not in self._files:
            self._files[kept] = self._folder / f"{len(self._files)}.tflite"
            self._files[kept].write_bytes(graft(self._exact, self._quantized, kept))
        return self._files[kept]

    def latency_ratio(self, kept: Kept) -> float:
        """A candidate's fastest run by the all-8-bit file's, the two run in turn."""
        if not kept:
            return 1.0
        image = self._dataset.validation.images.image(0)
        pair = [LitertRuntime(self.file(one)) for one in (frozenset[int](), kept)]
        for runtime in pair:
            runtime.feed(image)
            for _ in range(_WARM_UP):
                runtime.invoke()
        rounds = [[_seconds(runtime) for runtime in pair] for _ in range(_ROUNDS)]
        whole, candidate = (min(times) for times in zip(*rounds, strict=True))
        return float(candidate / whole)

    def _predict(self, path: Path) -> tuple[str, Predictions]:
        runtime, dataset = LitertRuntime(path), self._dataset
        try:
            found = run(runtime, dataset.validation, classes=dataset.classes, malignant=dataset.malignant)
            return runtime.engine.describe(), found
        finally:
            runtime.close()

    def _scores(self, kept: Kept) -> Floats:
        dataset, runtime = self._dataset, LitertRuntime(self.file(kept))
        head = np.arange(min(RANKING_IMAGES, len(dataset.validation)))
        logits = runtime.logits(dataset.validation.images.read(head))
        runtime.close()
        return malignancy_score(logits, dataset.classes, dataset.malignant)

    def _sensitivities(self, found: Predictions) -> Floats:
        """Sensitivities of `found`, its threshold fitted each time to be as specific as the reference is.

        The first at the reference's own specificity, the others at 11 within `BAND` of it, [12].
        """
        around = np.linspace(self.specificity - BAND, self.specificity + BAND, 11)
        targets = np.clip([self.specificity, *around], 1e-9, 1)
        return np.array([sensitivity_at_specificity(found.labels, found.score, target) for target in targets])


def _seconds(runtime: LitertRuntime) -> float:
    began = time.perf_counter()
    runtime.invoke()
    return time.perf_counter() - began


def search(asked: Request) -> Searched:
    """Search, write the chosen file, and tell every step.

    Raises:
        ContractError: even with every layer in float the limit is not met.
        ModelError: a file cannot be read or run, or the two do not hold the same network.
        DataError: validation lacks a class.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        at_work = _Search(asked, Path(folder))
        effects = at_work.effects()
        order = sorted(range(len(effects)), key=lambda place: (-effects[place], place))
        kept = fewest(
            order,
            lambda kept: at_work.step(kept).satisfied,
            lambda kept: at_work.step(kept).mean_score_error,
        )
        if kept is None:
            best = at_work.step(frozenset(order))
            raise ContractError(
                f"{asked.quantized_file}: with every layer in float sensitivity still drops by "
                f"{best.sensitivity_drop:.3f}, the limit is {asked.max_sensitivity_drop:g}"
            )
        Path(asked.output).write_bytes(at_work.file(kept).read_bytes())
        tried = list(at_work.steps)
        return Searched(
            engine=at_work.engine,
            n_images=len(at_work.reference.labels),
            n_positive=int(at_work.reference.labels.sum()),
            specificity=at_work.specificity,
            reference_sensitivity=float(at_work.reference_sensitivities[0]),
            reference_auc=roc_auc_score(at_work.reference.labels, at_work.reference.score),
            effects=tuple(Effect(layer=at_work.names[place], score_error=effects[place]) for place in order),
            steps=tuple(
                replace(at_work.steps[one], latency_ratio=at_work.latency_ratio(one)) for one in tried
            ),
            chosen=tried.index(kept),
            output_dtype="float32" if len(effects) - 1 in kept else "uint8",
        )


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Request, search)
