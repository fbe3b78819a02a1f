"""Station `distill`: a student trained on the labels and on the teacher's stored outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekd import lazy
from edgekd.config import Answers, DistillConfig, DistillMethod, Loss, Strategy, VerifyConfig
from edgekd.config.later import as_before
from edgekd.data.batches import epoch_size
from edgekd.data.dataset import Dataset
from edgekd.errors import UsageError
from edgekd.models.catalogue import build
from edgekd.plain import file_digest
from edgekd.runtimes.base import Runtime
from edgekd.runtimes.keras import KerasRuntime
from edgekd.training import distillation
from edgekd.training.determinism import begin
from edgekd.training.fit import Teacher, Watch, fit
from edgekd.training.folds import answering, members_of
from edgekd.training.learner import Objective
from edgekd.training.losses import SupervisedLoss
from edgekd.training.strategy import Spread, open_strategy
from edgekd.training.teach import finish, labels_loss, labels_only
from edgekd.training.teacher_cache import TeacherCache, Views, ask_teacher
from edgekd.training.teachers import WHOLE_PICTURE, FixedTeacher, OnlineTeacher

tf = lazy.tensorflow()

OpenTeacher = Callable[[Path], Runtime]
"""From a .keras file to the engine that answers for it."""

LONG = 8192
"""How many images a schedule draws before a conversion of its teacher pays."""

Listening = Callable[[Any, Any, Any], Any]
"""From the student's logits, the teacher's logits and the labels to the distillation loss, [b] or scalar."""


def distill(
    *,
    dataset: Dataset,
    teacher: Path | None,
    config: DistillConfig,
    verify: VerifyConfig,
    seed: int,
    out: Path,
    strategy: Strategy = Strategy.SINGLE,
    watch: Watch | None = None,
    converted: OpenTeacher | None = None,
) -> dict[str, float]:
    """The figures of a student that listened to the teacher; the student itself is `out`/model.keras.

    `teacher` is a folder of .keras files over the same classes: the outputs of the station teach, or several
    members, whose logits are averaged; of members trained on folds the one that did not see an image is
    heard. With method `none` it is not read, and the twin so trained starts from the same weights and sees
    the same pixels in the same order. Writes what `teach` writes, and teacher_cache/ unless `config.cache`
    names another folder for it. `watch` is told of every epoch. `converted` opens a teacher on a faster
    engine, at a price that only a long schedule earns back: it is asked for where `LONG` images and more
    are drawn.

    Raises:
        UsageError: the method cannot work with this many classes, or contradicts `config.loss`.
        ModelError: there is no teacher in the folder, or it has other classes.
        ContractError: training diverged.
        DeviceError: the devices or workers of `strategy` are not there.
    """
    _check(config, teacher, len(dataset.classes))
    spread = open_strategy(strategy)
    begin(seed)
    answers = None
    if teacher is not None and config.method != DistillMethod.NONE:
        opened = engine_for(config.fit.epochs * epoch_size(dataset.train, config.fit), converted)
        answers = _ask(teacher, dataset, config, seed, out, opened=opened, spread=spread)
        begin(seed)
    model = build(
        config.model,
        input_px=dataset.input_px,
        n_logits=len(dataset.classes),
        seed=seed,
        n_features=len(dataset.features),
    )
    kept = fit(
        model,
        dataset=dataset,
        config=config.fit,
        objective=_objective(config, dataset, seed),
        seed=seed,
        out=out,
        station="distill",
        settings=as_before("distill", replace(config, cache="")),
        teacher=answers,
        variants=_variants(config),
        spread=spread,
        watch=watch,
    )
    return finish(model, kept, dataset=dataset, verify=verify, out=out, artefact="student")


def engine_for(drawn: int, converted: OpenTeacher | None) -> OpenTeacher:
    """Keras, or `converted` where a schedule draws so many images that a conversion pays."""
    return converted if converted and drawn >= LONG else KerasRuntime


def _check(config: DistillConfig, teacher: Path | None, classes: int) -> None:
    distillation.check_classes(config.method, classes)
    if config.method == DistillMethod.FOCAL_KL and config.loss != Loss.FOCAL:
        raise UsageError(
            f"distill.method=focal_kl brings the binary focal loss, distill.loss is {config.loss}: "
            "set distill.loss=focal"
        )
    if config.method != DistillMethod.NONE and teacher is None:
        raise UsageError(
            f"distill.method={config.method} needs a teacher; give one, or set distill.method=none"
        )


def _variants(config: DistillConfig) -> int | None:
    """How many views of a picture there are; None: no end of them."""
    return config.variants if config.answers is Answers.CACHED else None


def _ask(
    folder: Path,
    dataset: Dataset,
    config: DistillConfig,
    seed: int,
    out: Path,
    *,
    opened: OpenTeacher,
    spread: Spread,
) -> Teacher:
    members, heard = members_of(folder), answering(folder, dataset.train)
    teachers, digests = [opened(path) for path in members], [file_digest(path) for path in members]
    if config.answers is Answers.ONLINE:
        return OnlineTeacher(teachers, digests, Views(dataset=dataset, config=config.fit, seed=seed), heard)
    fixed = config.answers is Answers.FIXED
    cache: TeacherCache = ask_teacher(
        teachers,
        digests=digests,
        dataset=dataset,
        config=replace(config.fit, augment=WHOLE_PICTURE) if fixed else config.fit,
        seed=seed,
        variants=1 if fixed else config.variants,
        out=out,
        store=Path(config.cache) if config.cache else None,
        answering=heard,
        spread=spread,
    )
    return FixedTeacher(cache) if fixed else cache


def _objective(config: DistillConfig, dataset: Dataset, seed: int) -> Objective:
    """The objective of `config`: (1 − w) · supervised + w · distillation, or supervised alone."""
    if config.method == DistillMethod.FOCAL_KL:
        supervised, listening = _focal_kl(config, dataset)
        return mixed(supervised, listening, config.teacher_weight)
    supervised = labels_loss(
        config.loss,
        config.focal_gamma,
        dataset=dataset,
        fit=config.fit,
        seed=seed,
        variants=_variants(config),
    )
    if config.method == DistillMethod.NONE:
        return labels_only(supervised)
    return mixed(supervised, _listening(config), config.teacher_weight)


def mixed(supervised: SupervisedLoss, listening: Listening, weight: float) -> Objective:
    """The objective (1 − `weight`) · supervised + `weight` · distillation, each a mean over the batch."""

    def objective(logits: Any, labels: Any, teacher: Any) -> Mapping[str, Any]:
        told = tf.reduce_mean(supervised(logits, labels))
        heard = tf.reduce_mean(listening(logits, teacher, labels))
        return {"loss": (1.0 - weight) * told + weight * heard, "supervised": told, "distillation": heard}

    return objective


def hinton_listening(temperature: float) -> Listening:
    """Hinton's distillation loss [b] at `temperature`."""
    return lambda student, teacher, _: distillation.hinton(student, teacher, temperature=temperature)


def _listening(config: DistillConfig) -> Listening:
    weights = {"temperature": config.temperature, "alpha": config.alpha, "beta": config.beta}
    methods: Mapping[DistillMethod, Listening] = {
        DistillMethod.HINTON: hinton_listening(config.temperature),
        DistillMethod.LOGIT_STANDARDISED: lambda student, teacher, _: distillation.logit_standardised(
            student, teacher, temperature=config.temperature
        ),
        DistillMethod.DKD: lambda student, teacher, labels: distillation.dkd(
            student, teacher, labels, **weights
        ),
        DistillMethod.DIST: lambda student, teacher, _: distillation.dist(student, teacher, **weights),
    }
    return methods[config.method]


def _focal_kl(config: DistillConfig, dataset: Dataset) -> tuple[SupervisedLoss, Listening]:
    """Adepu et al. 2023 on the malignancy score: the sigmoid focal loss, and the KL of the two sigmoids.

    Any number of classes: scores are logsumexp(malignant) − logsumexp(benign), so only the collapse to
    malignancy is taught, and the diagnoses within either side stay free.
    """
    malignant = np.array([name in dataset.malignant for name in dataset.classes])
    score = partial(distillation.malignancy, malignant=malignant)

    def supervised(logits: Any, labels: Any) -> Any:
        return distillation.binary_focal(
            score(logits),
            tf.gather(tf.constant(malignant), labels),
            alpha=config.focal_alpha,
            gamma=config.focal_gamma,
        )

    def listening(student: Any, teacher: Any, labels: Any) -> Any:
        del labels
        return distillation.bernoulli_kl(score(student), score(teacher), temperature=config.temperature)

    return supervised, listening
