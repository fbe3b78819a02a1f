"""Do synthetic malignant images look malignant to a network that never saw one, and do they help a student?

    python bench/synthesis.py DATA_ROOT OUT [--weights DIR] [--px 64] [--width 0.25] [--epochs 30]
                              [--minutes M] [--seeds 0 1 2] [--student-epochs 8]

DATA_ROOT is ISIC 2017 in its official layout. Everything lies below OUT and is kept: a repeated command goes
on where the last one ended; with --minutes it ends after the epoch of the CycleGAN that is then running.

    OUT/photographs/        a run: data, and a classifier trained on training photographs alone
    OUT/synthetic/          what `edgekd data synthesise` makes of it, a grid of samples for every epoch
    OUT/both/               the same data with the synthetic images
    OUT/students/ARM-SEED/  students that differ in the seed and in what they are trained on:
                            photographs   every training photograph equally often
                            oversampled   the same photographs, half of the draws malignant
                            synthetic     photographs and synthetic images, all equally often
    OUT/grid.png            benign validation photographs | turned malignant | turned benign (the control)
    OUT/result.json         the record: score before and after translation, and the students on the test split

A generator that only spoils pictures moves every score towards the middle: a rise of benign ones proves
nothing. `direction` does: photographs through the one generator, minus the same through its twin.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import console, pipeline
from edgekd.config import (
    IMAGENET,
    NO_WEIGHTS,
    DataConfig,
    DistillConfig,
    DistillMethod,
    Experiment,
    FitConfig,
    ModelConfig,
    SourceConfig,
    SourceKind,
    TeachConfig,
)
from edgekd.data.dataset import Dataset, Samples, open_dataset
from edgekd.data.synthesised import SynthesisRecord
from edgekd.errors import EdgekdError
from edgekd.locate import locate_weights
from edgekd.metrics.evaluation import EvaluationRecord, read_evaluation
from edgekd.metrics.intervals import Estimate, cluster_bootstrap
from edgekd.metrics.paired import auc_difference, compare_calls
from edgekd.metrics.predictions import Predictions, malignancy_score, read_predictions
from edgekd.pipeline import Station
from edgekd.plain import write_json
from edgekd.runs import Run, tool_versions
from edgekd.runtimes.keras import KerasRuntime
from edgekd.runtimes.predict import BATCH
from edgekd.training.synthesis.config import SynthesisConfig
from edgekd_bench.device import describe_device
from edgekd_bench.markdown import estimate

SCHEMA = "edgekd.synthesis_bench/1"

_ARMS = ("photographs", "oversampled", "synthetic")
_MALIGNANT = ("mel",)
_TOOLS = ("edgekd", "tensorflow", "tf-keras", "numpy", "opencv-python-headless")
_MARGIN = 0.05
_SHOWN = 8

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Student:
    """One trained student, judged on the test split at its own threshold."""

    arm: str
    seed: int
    evaluation: EvaluationRecord
    predictions: Predictions

    def calls(self) -> NDArray[np.bool_]:
        """Which test images it calls malignant, bool [n]."""
        return self.predictions.score >= self.evaluation.operating_point.threshold


def main(arguments: Sequence[str]) -> int:
    """Train, translate, judge and record; the exit code."""
    options = _options(arguments)
    console.configure(quiet=False, verbose=False)
    try:
        photographs = _made(options.out / "photographs", _experiment(options), Station.TEACH)
        dataset = open_dataset(photographs.folder(Station.DATA))
        made = _synthesise(dataset, options)
        if made is None:
            console.log.warning("the CycleGAN is not whole yet: repeat the command to go on")
            return 0
        effect = _effect(photographs, dataset, options)
        students = [_student(options, made, arm, seed) for seed in options.seeds for arm in _ARMS]
        write_json(options.out / "result.json", _record(options, made, effect, students))
    except EdgekdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    _show(effect, students)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data_root", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, help="folder of ImageNet backbones; without it: random ones")
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--width", type=float, default=0.25, help="of the CycleGAN")
    parser.add_argument("--epochs", type=int, default=30, help="of the CycleGAN")
    parser.add_argument("--images-per-epoch", type=int, default=0, help="0: as many as there are benign ones")
    parser.add_argument("--batch-size", type=int, default=4, help="of the CycleGAN")
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="of the students")
    parser.add_argument("--student-epochs", type=int, default=8)
    parser.add_argument("--student-images", type=int, default=2000, help="drawn in an epoch")
    return parser.parse_args(arguments)


def _experiment(
    options: argparse.Namespace, *, made: SynthesisRecord | None = None, positive_share: float = 0.0
) -> Experiment:
    """Classifier and student are one network under one schedule; `made` adds the synthetic images.

    Shares are numbers of images, so that every image is drawn equally often.
    """
    sources = [SourceConfig(name="isic2017", kind=SourceKind.ISIC2017, root=str(options.data_root.resolve()))]
    if made is not None:
        sources[0] = dataclasses.replace(sources[0], share=float(made.benign + made.malignant))
        root = str((options.out / "synthetic").resolve())
        made_source = SourceConfig(name="made", kind=SourceKind.SYNTHESISED, root=root)
        sources.append(dataclasses.replace(made_source, share=float(made.images)))
    fit = FitConfig(
        epochs=options.student_epochs,
        images_per_epoch=options.student_images,
        class_power=1.0,
        positive_share=positive_share,
        average_decay=0.99,
    )
    model = ModelConfig(width=0.35, weights=IMAGENET if options.weights else NO_WEIGHTS)
    px = options.px
    experiment = Experiment(
        name="synthesis",
        data=DataConfig(sources=tuple(sources), malignant=_MALIGNANT, input_px=px, train_px=px + px // 8),
        teach=TeachConfig(model=model, fit=fit),
        distill=DistillConfig(model=model, fit=fit, method=DistillMethod.NONE),
    )
    return locate_weights(experiment, options.weights)


def _made(root: Path, experiment: Experiment, station: Station) -> Run:
    run = Run(root)
    with run.locked():
        pipeline.make(run, experiment, station)
    return run


def _synthesise(dataset: Dataset, options: argparse.Namespace) -> SynthesisRecord | None:
    from edgekd.training.synthesis.station import synthesise

    config = SynthesisConfig(
        px=options.px,
        width=options.width,
        epochs=options.epochs,
        images_per_epoch=options.images_per_epoch,
        batch_size=options.batch_size,
    )
    with Run(options.out / "synthetic").locked():
        return synthesise(
            dataset=dataset,
            run="synthesis",
            config=config,
            seed=1,
            out=options.out / "synthetic",
            minutes=options.minutes,
        )


def _effect(run: Run, dataset: Dataset, options: argparse.Namespace) -> dict[str, Any]:
    """What translation does to the score of a classifier that saw training photographs alone.

    On the validation split, which neither the classifier's weights nor the CycleGAN have seen.
    """
    from edgekd.models.cyclegan import load_generator
    from edgekd.training.synthesis.gan import translate
    from edgekd.training.synthesis.pictures import grid, write_png
    from edgekd.training.synthesis.station import BACKWARD, GENERATOR

    classifier = KerasRuntime(run.folder(Station.TEACH) / "model.keras")
    samples, folder = dataset.validation, options.out / "synthetic"
    images = samples.images.read(np.arange(len(samples)))
    malignant, benign = (translate(load_generator(folder / name), images) for name in (GENERATOR, BACKWARD))
    shown = np.flatnonzero(~samples.malignant)[:_SHOWN]
    write_png(options.out / "grid.png", grid([images[shown], malignant[shown], benign[shown]]))
    record = read_evaluation(run.folder(Station.TEACH) / "evaluation.json")
    before, after, control = (_scores(classifier, part, dataset) for part in (images, malignant, benign))
    judge = partial(_rise, samples, threshold=record.operating_point.threshold)
    return {
        "unit": "log odds of malignancy",
        "split": "validation",
        "classifier_test_auc": record.auc,
        "classifier_threshold": record.operating_point.threshold,
        "benign_turned_malignant": judge(~samples.malignant, before, after),
        "benign_turned_benign": judge(~samples.malignant, before, control),
        "direction": judge(~samples.malignant, control, after),
        "malignant_turned_malignant": judge(samples.malignant, before, after),
        "malignant_turned_benign": judge(samples.malignant, before, control),
    }


def _scores(classifier: KerasRuntime, images: NDArray[np.uint8], dataset: Dataset) -> Floats:
    parts = [classifier.logits(images[first : first + BATCH]) for first in range(0, len(images), BATCH)]
    return malignancy_score(np.concatenate(parts), dataset.classes, dataset.malignant)


def _rise(
    samples: Samples, of: NDArray[np.bool_], before: Floats, after: Floats, *, threshold: float
) -> dict[str, Any]:
    """The mean rise of the score over the images `of`, resampled by patient or lesion."""
    rise = (after - before)[of]
    rows = [row for row, chosen in zip(samples.rows, of, strict=True) if chosen]
    return {
        "n": int(of.sum()),
        "mean_before": float(before[of].mean()),
        "mean_after": float(after[of].mean()),
        "mean_rise": cluster_bootstrap(
            lambda weights: float(np.average(rise, weights=weights)),
            [row.patient or row.lesion for row in rows],
        ),
        "share_that_rose": float(np.mean(rise > 0)),
        "called_malignant_before": float(np.mean(before[of] >= threshold)),
        "called_malignant_after": float(np.mean(after[of] >= threshold)),
    }


def _student(options: argparse.Namespace, made: SynthesisRecord, arm: str, seed: int) -> Student:
    both = made if arm == "synthetic" else None
    experiment = _experiment(options, made=both, positive_share=0.5 if arm == "oversampled" else 0.0)
    data = _made(options.out / ("both" if both else "photographs"), experiment, Station.DATA)
    run = Run(options.out / "students" / f"{arm}-{seed}")
    if not run.folder(Station.DATA).is_dir():
        shutil.copytree(data.folder(Station.DATA), run.folder(Station.DATA), copy_function=os.link)
    distill = dataclasses.replace(experiment.distill, seed=seed)
    _made(run.root, dataclasses.replace(experiment, distill=distill), Station.DISTILL)
    folder = run.folder(Station.DISTILL)
    return Student(
        arm=arm,
        seed=seed,
        evaluation=read_evaluation(folder / "evaluation.json"),
        predictions=read_predictions(folder / "predictions.csv", _MALIGNANT),
    )


def _record(
    options: argparse.Namespace,
    made: SynthesisRecord,
    effect: Mapping[str, Any],
    students: Sequence[Student],
) -> dict[str, Any]:
    kept = {name: value for name, value in vars(options).items() if not isinstance(value, Path)}
    generator = {
        name: getattr(made, name) for name in ("px", "epochs", "steps", "seed", "images", "diagnosis")
    }
    return {
        "schema": SCHEMA,
        "data": {"name": "isic2017", "benign": made.benign, "malignant": made.malignant},
        "device": describe_device(),
        "tools": tool_versions(_TOOLS),
        "options": kept,
        "generator": {**generator, "sha256": made.generator_sha256, "config": made.config},
        "effect": effect,
        "students": [_told(student) for student in students],
        "differences": [_compared(students, arm) for arm in _ARMS if arm != "synthetic" and students],
    }


def _told(student: Student) -> dict[str, Any]:
    found = student.evaluation
    figures = {name: getattr(found, name) for name in ("split", "n", "n_positive", "auc", "sensitivity")}
    return {"arm": student.arm, "seed": student.seed, **figures, "specificity": found.specificity}


def _compared(students: Sequence[Student], reference: str) -> dict[str, Any]:
    """Synthetic minus `reference`, seed by seed on the same test images, and over the seeds."""
    by_seed: dict[int, dict[str, Student]] = {}
    for student in students:
        by_seed.setdefault(student.seed, {})[student.arm] = student
    rows = [_pair(seed, arms[reference], arms["synthetic"]) for seed, arms in sorted(by_seed.items())]
    summary = {
        name: _over_seeds([row[name] for row in rows]) for name in ("auc", "sensitivity", "specificity")
    }
    return {"candidate": "synthetic", "reference": reference, "seeds": rows, **summary}


def _pair(seed: int, reference: Student, candidate: Student) -> dict[str, Any]:
    labels = reference.predictions.labels
    calls = compare_calls(labels, reference.calls(), candidate.calls(), margin=_MARGIN)
    return {
        "seed": seed,
        "auc": auc_difference(labels, reference.predictions.score, candidate.predictions.score),
        "sensitivity": calls.sensitivity,
        "specificity": calls.specificity,
        "sensitivity_mcnemar_p": calls.sensitivity_mcnemar_p,
    }


def _over_seeds(found: Sequence[Estimate]) -> dict[str, float | None]:
    values = [one.value for one in found if one.value is not None]
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values) if values else None, "standard_deviation": spread}


def _show(effect: Mapping[str, Any], students: Sequence[Student]) -> None:
    shown = partial(estimate, none="undefined")
    rows = [
        (name, str(found["n"]), f"{found['mean_before']:.2f}", shown(found["mean_rise"]))
        for name, found in effect.items()
        if isinstance(found, dict)
    ]
    console.emit_table(
        "score of the classifier", ("validation photographs", "n", "before", "mean rise"), rows
    )
    figures = [
        (one.arm, str(one.seed), *map(shown, (one.evaluation.auc, one.evaluation.sensitivity)))
        for one in students
    ]
    if figures:
        console.emit_table("students on the test split", ("arm", "seed", "AUC", "sensitivity"), figures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
