"""A dense network on patient data alone: what age, sex and site say before anybody looks at the lesion.

After the second network of the SIIM-ISIC 2020 entry of InceptionResNetV2 and tabular data: one-hot, min-max,
missing is 0, SMOTE, dense layers with dropout, class weights. What was wrong there and is not here: the
over-sampled rows are the ones that are trained on, ranges are those of training rows alone, epoch and
threshold are chosen on validation, and the test split is looked at once.

    <out>/model.keras                      patient vector float32 [n, f] to logits [n, k]
    <out>/patient.json                     columns, settings and class counts (edgekd.patient-network/1)
    <out>/evaluation.json predictions.csv validation_predictions.csv   as every station writes them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.config import VerifyConfig
from edgekd.console import progress
from edgekd.data.dataset import Dataset, Samples
from edgekd.errors import UsageError
from edgekd.metrics.predictions import Predictions, malignancy_score
from edgekd.metrics.ranking import roc_auc_score
from edgekd.models.describe import count_parameters
from edgekd.patient_input import PatientInput
from edgekd.plain import digest, write_json
from edgekd.runtimes.evaluate import Answers
from edgekd.runtimes.keras import keras_engine
from edgekd.training.determinism import begin, reseed_dropout, save_model
from edgekd.training.evaluate import evaluate_answers
from edgekd.training.patient_oversampling import oversample

keras = lazy.keras()

SCHEMA = "edgekd.patient-network/1"
MODEL, RECORD = "model.keras", "patient.json"


@dataclass(frozen=True, kw_only=True)
class PatientNetworkConfig:
    """The network and its training.

    SMOTE brings every class to `smote_share` of the largest one's count (0: no SMOTE); class weights
    n / (k · n_c) over the rows then trained on make up for the rest. Adam; stops after `patience_epochs`
    without a better validation AUC.
    """

    units: tuple[int, ...] = (64, 32)
    dropout: float = 0.3
    epochs: int = 100
    patience_epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 1e-3
    smote_share: float = 0.5
    smote_neighbours: int = 5

    def __post_init__(self) -> None:
        whole = (*self.units, self.epochs, self.patience_epochs, self.batch_size, self.smote_neighbours)
        if min(whole) < 1 or not self.units:
            raise UsageError("patient network: units, epochs, patience, batch and neighbours are 1 or more")
        if not (0 <= self.dropout < 1 and 0 <= self.smote_share <= 1 and self.learning_rate > 0):
            raise UsageError(
                f"patient network: dropout {self.dropout:g}, SMOTE share {self.smote_share:g}, learning rate "
                f"{self.learning_rate:g}; expected [0, 1), [0, 1] and more than 0"
            )


@dataclass(frozen=True, kw_only=True)
class PatientRecord:
    """How the network came about: its input, its settings, and rows by class before and after SMOTE."""

    schema: str = SCHEMA
    patient: PatientInput
    config: PatientNetworkConfig
    kept_epoch: int
    validation_auc: float
    training_rows: Mapping[str, int]
    rows_with_smote: Mapping[str, int]


def patient_network(
    *, dataset: Dataset, config: PatientNetworkConfig, verify: VerifyConfig, seed: int, out: Path
) -> dict[str, float]:
    """The figures of a dense network trained on the patient data of `dataset`, written below `out` too.

    Raises:
        UsageError: the data set was prepared without patient data.
        MissingExtraError: imbalanced-learn is not installed.
        DataError: the validation split lacks a class.
    """
    if dataset.patient is None:
        raise UsageError(
            "the data set holds no patient data: prepare it with --set data.patient=age,sex,site (edgekd "
            "data prepare RUN)"
        )
    begin(seed)
    features, labels = training_rows(dataset, config, seed=seed)
    model = _build(len(dataset.features), len(dataset.classes), config, seed)
    kept, auc = _fit(model, features, labels, dataset=dataset, config=config, seed=seed)
    save_model(model, out / MODEL)
    record = PatientRecord(
        patient=dataset.patient,
        config=config,
        kept_epoch=kept,
        validation_auc=auc,
        training_rows=_counts(dataset.train.labels, dataset.classes),
        rows_with_smote=_counts(labels, dataset.classes),
    )
    write_json(out / RECORD, record)
    validation, test = (_predictions(model, part, dataset) for part in (dataset.validation, dataset.test))
    answers = Answers(validation=validation, test=test, engine=keras_engine())
    metrics = evaluate_answers(answers, dataset=dataset, verify=verify, out=out, artefact="patient")
    parameters = float(count_parameters(model))
    return {"validation_auc": auc, "kept_epoch": float(kept), "parameters": parameters, **metrics}


def training_rows(
    dataset: Dataset, config: PatientNetworkConfig, *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """What is trained on: the patient vectors [n, f] and classes [n] of training photographs, and SMOTE's."""
    photographs = np.array([row.parent is None for row in dataset.train.rows])
    features, labels = dataset.train.features[photographs], dataset.train.labels[photographs]
    if dataset.patient is None or config.smote_share == 0:
        return features, labels
    return oversample(
        features,
        labels,
        dataset.patient.columns,
        share=config.smote_share,
        neighbours=config.smote_neighbours,
        seed=seed,
    )


def class_weights(labels: NDArray[np.int32], classes: int) -> dict[int, float]:
    """n / (k · n_c) for each class c of the k that `labels` hold (King & Zeng 2001); 0 for the others."""
    sizes = np.bincount(labels, minlength=classes)
    held = int(np.count_nonzero(sizes))
    return {c: len(labels) / (held * int(size)) if size else 0.0 for c, size in enumerate(sizes)}


def _build(features: int, classes: int, config: PatientNetworkConfig, seed: int) -> Any:
    patient = x = keras.Input((features,), name="patient")
    for number, width in enumerate(config.units, start=1):
        x = keras.layers.Dense(width, kernel_initializer=_drawn(seed, number), name=f"dense{number}")(x)
        x = keras.layers.ReLU(name=f"relu{number}")(x)
        x = keras.layers.Dropout(config.dropout, name=f"dropout{number}")(x)
    logits = keras.layers.Dense(classes, kernel_initializer=_drawn(seed, 0), name="logits")(x)
    model = keras.Model(patient, logits, name="patient_to_logits")
    model.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate, jit_compile=False),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def _drawn(seed: int, layer: int) -> Any:
    return keras.initializers.GlorotUniform(seed=int(digest([seed, layer])[:7], 16))


def _fit(
    model: Any,
    features: NDArray[np.float32],
    labels: NDArray[np.int32],
    *,
    dataset: Dataset,
    config: PatientNetworkConfig,
    seed: int,
) -> tuple[int, float]:
    """The epoch (from 1) with the best validation AUC, whose weights `model` then holds, and that AUC."""
    weights = class_weights(labels, len(dataset.classes))
    kept, best, held = 0, -1.0, model.get_weights()
    with progress("patient", config.epochs, "epochs") as advance:
        for epoch in range(1, config.epochs + 1):
            random = np.random.Generator(np.random.PCG64(int(digest([seed, epoch])[:15], 16)))
            order = random.permutation(len(labels))
            reseed_dropout(model, seed=seed, epoch=epoch)
            model.fit(
                features[order],
                labels[order],
                batch_size=config.batch_size,
                class_weight=weights,
                shuffle=False,
                verbose=0,
            )
            auc = _auc(model, dataset)
            advance(1, f"validation AUC {auc:.3f}")
            if auc > best:
                kept, best, held = epoch, auc, model.get_weights()
            elif epoch - kept >= config.patience_epochs:
                break
    model.set_weights(held)
    return kept, best


def _auc(model: Any, dataset: Dataset) -> float:
    logits = model.predict_on_batch(dataset.validation.features)
    score = malignancy_score(logits, dataset.classes, dataset.malignant)
    return roc_auc_score(dataset.validation.malignant, score)


def _predictions(model: Any, samples: Samples, dataset: Dataset) -> Predictions:
    return Predictions(
        image_ids=tuple(samples.ids()),
        labels=samples.malignant,
        logits=np.asarray(model.predict_on_batch(samples.features), np.float32),
        names=dataset.classes,
        malignant=dataset.malignant,
    )


def _counts(labels: NDArray[np.int32], classes: tuple[str, ...]) -> dict[str, int]:
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
