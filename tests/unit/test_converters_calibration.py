"""The calibration images: chosen by seed, rare classes among them, nothing of validation or test."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.data.dataset import open_dataset
from edgekd.errors import DataError
from edgekd.plain import write_json
from edgekd_converters.calibration import (
    CalibrationRecord,
    _quotas,
    check_disjoint,
    choose_calibration,
    read_calibration,
)
from tiny_dataset import prepare


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return open_dataset(prepare(tmp_path_factory.mktemp("run") / "data"))


def test_the_seed_chooses(dataset):
    first, again, other = (choose_calibration(dataset, count=8, seed=seed) for seed in (1, 1, 2))
    assert first.record == again.record and np.array_equal(first.images, again.images)
    assert first.record.image_ids != other.record.image_ids and first.record.sha256 != other.record.sha256


def test_every_class_is_among_them_and_the_pixels_are_the_networks_input(dataset):
    found = choose_calibration(dataset, count=8, seed=1)
    assert set(found.record.counts) == {row.diagnosis for row in dataset.train.rows}
    assert found.images.shape == (8, dataset.input_px, dataset.input_px, 3)
    by_id = {row.image_id: row for row in dataset.train.rows}
    chosen = [by_id[image_id] for image_id in found.record.image_ids]
    assert Counter(row.diagnosis for row in chosen) == found.record.counts
    assert sum(row.malignant for row in chosen) == found.record.n_malignant


def test_more_than_there_are_means_all(dataset):
    assert choose_calibration(dataset, count=10_000, seed=1).record.n == len(dataset.train)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_an_image_of_another_split_is_refused(dataset, split):
    record = choose_calibration(dataset, count=8, seed=1).record
    leaked = getattr(dataset, split).rows[0].image_id
    damaged = dataclasses.replace(record, image_ids=(*record.image_ids, leaked))
    with pytest.raises(DataError, match=rf"1 {split} image\(s\).*{leaked}"):
        check_disjoint(damaged, dataset)


def test_an_unknown_image_is_refused(dataset):
    record = dataclasses.replace(choose_calibration(dataset, count=8, seed=1).record, image_ids=("nobody",))
    with pytest.raises(DataError, match="nobody is no training image"):
        check_disjoint(record, dataset)


def test_the_record_is_read_back(dataset, tmp_path):
    record: CalibrationRecord = choose_calibration(dataset, count=8, seed=1).record
    write_json(tmp_path / "calibration.json", record)
    assert read_calibration(tmp_path / "calibration.json") == record
    with pytest.raises(DataError, match="absent"):
        read_calibration(tmp_path / "absent.json")


@given(st.lists(st.integers(1, 500), min_size=1, max_size=9), st.integers(0, 400))
def test_quotas_fill_up_and_favour_the_rare(sizes, count):
    found = _quotas(np.array(sizes), count)
    assert (found >= 1).all() and (found <= sizes).all()
    assert found.sum() == max(len(sizes), min(count, sum(sizes)))
    order = np.lexsort((found, sizes))
    assert (np.diff(found[order]) >= 0).all()  # a larger class never gets less
    shares = found[order] / np.array(sizes)[order]
    assert (
        np.diff(shares) <= 1 / np.array(sizes)[order][:-1] + 1e-9
    ).all()  # and never a larger share of itself
