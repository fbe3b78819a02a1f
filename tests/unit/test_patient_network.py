"""The network on patient data alone: it learns, leaves what every station leaves, sees training rows only."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from edgekd.config import VerifyConfig
from edgekd.data.dataset import Dataset
from edgekd.data.table import Split
from edgekd.errors import UsageError
from edgekd.metrics.evaluation import read_evaluation
from edgekd.metrics.predictions import read_predictions
from patient_data import poisoned, rewrite, write_patients

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_patients(tmp_path_factory.mktemp("patients") / "data")


@pytest.fixture(scope="module")
def trained(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    out = tmp_path_factory.mktemp("network")
    return out, train(dataset, out)


def train(dataset: Dataset, out: Path) -> dict[str, float]:
    from edgekd.training.patient_network import PatientNetworkConfig, patient_network

    config = PatientNetworkConfig(units=(8,), epochs=12, batch_size=16, learning_rate=0.01, smote_share=1.0)
    return patient_network(dataset=dataset, config=config, verify=VerifyConfig(), seed=3, out=out)


def test_it_learns_and_leaves_what_every_station_leaves(dataset, trained) -> None:
    from edgekd.runtimes.keras import load_keras

    out, metrics = trained
    evaluation = read_evaluation(out / "evaluation.json")
    assert metrics["test_auc"] == evaluation.auc.value > 0.8  # 1.0 is out of reach: ages overlap
    assert (evaluation.split, evaluation.operating_point.fitted_on) == ("test", "validation")
    predictions = read_predictions(out / "predictions.csv", dataset.malignant)
    logits = load_keras(out / "model.keras").predict_on_batch(dataset.test.features)
    assert np.allclose(predictions.logits, logits, atol=1e-5)
    assert predictions.image_ids == tuple(row.image_id for row in dataset.test.rows)


def test_the_record_holds_the_columns_and_the_rows_of_smote(dataset, trained) -> None:
    record = json.loads((trained[0] / "patient.json").read_text(encoding="utf-8"))
    assert tuple(column["name"] for column in record["patient"]["columns"]) == dataset.features
    assert record["training_rows"] == {"mel": 20, "nv": 20, "bkl": 20}
    assert record["rows_with_smote"] == record["training_rows"]  # as many of each: nothing to make up


def test_no_row_of_validation_or_test_enters_what_is_trained_on(dataset, tmp_path) -> None:
    from edgekd.training.patient_network import PatientNetworkConfig, training_rows

    fewer = [row for n, row in enumerate(dataset.train.rows) if row.diagnosis != "mel" or n < 20] + [
        *dataset.validation.rows,
        *dataset.test.rows,
    ]
    data = write_patients(tmp_path / "data").folder
    clean = rewrite(data, fewer)
    before = training_rows(clean, PatientNetworkConfig(), seed=1)
    spoilt = rewrite(data, poisoned(tuple(fewer), (Split.VALIDATION, Split.TEST)))
    after = training_rows(spoilt, PatientNetworkConfig(), seed=1)
    assert len(before[0]) > len(clean.train)  # SMOTE did make rows up
    assert clean.patient == spoilt.patient
    assert not np.array_equal(clean.test.features, spoilt.test.features)
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_synthetic_images_are_not_trained_on(dataset, tmp_path) -> None:
    from edgekd.training.patient_network import PatientNetworkConfig, training_rows

    parents = [row.image_id for row in dataset.train.rows]
    made_up = [dataclasses.replace(row, parent=parents[0]) for row in dataset.train.rows[1:31]]
    rows = [dataset.train.rows[0], *made_up, *dataset.train.rows[31:]]
    spoilt = rewrite(
        write_patients(tmp_path / "data").folder, [*rows, *dataset.validation.rows, *dataset.test.rows]
    )
    features, labels = training_rows(spoilt, PatientNetworkConfig(smote_share=0.0), seed=1)
    kept = np.r_[0, 31:60]
    assert np.array_equal(features, spoilt.train.features[kept])
    assert np.array_equal(labels, spoilt.train.labels[kept])


def test_test_rows_change_no_weight_and_the_same_seed_gives_the_same_bytes(
    dataset, trained, tmp_path
) -> None:
    data = write_patients(tmp_path / "data").folder
    spoilt = rewrite(
        data, poisoned((*dataset.train.rows, *dataset.validation.rows, *dataset.test.rows), (Split.TEST,))
    )
    (tmp_path / "out").mkdir()
    train(spoilt, tmp_path / "out")
    for name in ("model.keras", "validation_predictions.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (trained[0] / name).read_bytes()
    name = "predictions.csv"
    assert (tmp_path / "out" / name).read_bytes() != (trained[0] / name).read_bytes()


def test_class_weights_make_every_class_count_alike() -> None:
    from edgekd.training.patient_network import class_weights

    labels = np.repeat([0, 2], [30, 10]).astype(np.int32)
    weights = class_weights(labels, 3)
    assert weights == {0: 40 / 60, 1: 0.0, 2: 40 / 20}
    assert math.isclose(sum(weights[label] for label in labels.tolist()), len(labels))


def test_data_without_patients_are_refused(dataset, tmp_path) -> None:
    with pytest.raises(UsageError, match="--set data.patient=age,sex,site"):
        train(dataclasses.replace(dataset, patient=None), tmp_path)


@pytest.mark.parametrize("wrong", [{"units": ()}, {"units": (0,)}, {"dropout": 1.0}, {"smote_share": 1.1}])
def test_settings_that_cannot_be_meant_are_refused(wrong) -> None:
    from edgekd.training.patient_network import PatientNetworkConfig

    with pytest.raises(UsageError, match="patient network"):
        PatientNetworkConfig(**wrong)
