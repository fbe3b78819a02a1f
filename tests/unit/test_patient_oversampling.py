"""SMOTE on patient vectors: what is there stays, made-up persons are persons."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.patient_input import PatientColumn
from edgekd.training.patient_oversampling import oversample

AGE = PatientColumn(name="age", field="age", low=0.0, high=90.0)
SITES = tuple(PatientColumn(name=f"site_{name}", field="site", category=name) for name in "abc")
LABELS = np.repeat([0, 1, 2], [40, 9, 3]).astype(np.int32)


def vectors(columns: tuple[PatientColumn, ...]) -> np.ndarray:
    """An age and one site each; class c lives around its own age, mostly at site c."""
    random = np.random.Generator(np.random.PCG64(3))
    ages = np.clip(0.3 * LABELS + random.normal(0.2, 0.05, len(LABELS)), 0, 1)
    places = np.where(random.random(len(LABELS)) < 0.8, LABELS, random.integers(0, 3, len(LABELS)))
    known = {"age": ages[:, np.newaxis], "site": np.eye(3)[places]}
    fields = dict.fromkeys(column.field for column in columns)
    return np.concatenate([known[field] for field in fields], axis=1).astype(np.float32)


@pytest.mark.parametrize("columns", [(AGE, *SITES), (AGE,), SITES], ids=["both", "numbers", "words"])
def test_rare_classes_grow_to_their_share_behind_the_rows_there_are(columns) -> None:
    features = vectors(columns)
    found, labels = oversample(features, LABELS, columns, share=0.5, neighbours=5, seed=1)
    assert np.array_equal(found[: len(LABELS)], features)
    assert np.array_equal(labels[: len(LABELS)], LABELS)
    assert np.bincount(labels).tolist() == [40, 20, 20]
    assert found.dtype == np.float32 and labels.dtype == np.int32


def test_a_made_up_person_is_at_one_place_and_between_two_of_its_class() -> None:
    features = vectors((AGE, *SITES))
    found, labels = oversample(features, LABELS, (AGE, *SITES), share=1.0, neighbours=5, seed=1)
    made, own = found[len(LABELS) :], labels[len(LABELS) :]
    assert set(np.unique(made[:, 1:]).tolist()) <= {0.0, 1.0}
    assert made[:, 1:].sum(axis=1).max() <= 1
    for label in (1, 2):
        ages, real = made[own == label, 0], features[label == LABELS, 0]
        assert real.min() <= ages.min() and ages.max() <= real.max()
        assert len(np.unique(ages)) > len(real)  # made up, not drawn again


def test_the_seed_decides_and_nothing_else() -> None:
    features = vectors((AGE, *SITES))
    first, again, other = (
        oversample(features, LABELS, (AGE, *SITES), share=1.0, neighbours=5, seed=seed)[0]
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_needs_nothing_or_has_no_neighbour_is_left_alone() -> None:
    features = vectors((AGE, *SITES))
    same, labels = oversample(features, LABELS, (AGE, *SITES), share=0.05, neighbours=5, seed=1)
    assert same is features and labels is LABELS
    single = np.where(np.arange(len(LABELS)) < 51, np.minimum(LABELS, 1), 2).astype(np.int32)
    _, labels = oversample(features, single, (AGE, *SITES), share=1.0, neighbours=5, seed=1)
    assert np.bincount(labels).tolist() == [40, 40, 1]
