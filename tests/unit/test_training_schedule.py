"""The learning rate, the choice of the epoch, and the checkpoint file."""

from __future__ import annotations

import logging
import math
from itertools import pairwise

import numpy as np
import pytest

from edgekd.config import FitConfig
from edgekd.training.checkpoint import Checkpoint, read_checkpoint, remove_checkpoint, write_checkpoint
from edgekd.training.history import Epoch, finished, is_best, kept, smoothed
from edgekd.training.schedule import learning_rate


def rates(**changes):
    config = FitConfig(**{"epochs": 4, "learning_rate": 0.1, "warmup_epochs": 1.0, **changes})
    return [learning_rate(step, config=config, steps_per_epoch=10) for step in range(config.epochs * 10)]


def test_the_warm_up_is_linear_and_ends_at_the_peak():
    assert rates()[:10] == pytest.approx([0.01 * n for n in range(1, 11)])


def test_the_rest_is_a_cosine_to_zero():
    found = rates()
    assert found[10] == pytest.approx(0.1)
    assert found[25] == pytest.approx(0.05)
    assert found[39] == pytest.approx(0.05 * (1 + math.cos(math.pi * 29 / 30)))
    assert learning_rate(40, config=FitConfig(epochs=4), steps_per_epoch=10) == 0.0
    assert all(a > b for a, b in pairwise(found[10:]))


def test_without_warm_up_it_begins_at_the_peak():
    assert rates(warmup_epochs=0.0)[0] == pytest.approx(0.1)


def test_a_warm_up_longer_than_the_schedule_fills_it():
    found = rates(epochs=1, warmup_epochs=5.0)
    assert found == pytest.approx([0.01 * n for n in range(1, 11)])


def history(*areas):
    """Epochs as the training loop records them, for these validation areas."""
    found: list[Epoch] = []
    for area in areas:
        mean = smoothed(found, area)
        found.append(
            Epoch(
                epoch=len(found) + 1,
                step=len(found) + 1,
                learning_rate=0.1,
                losses={"loss": 1.0},
                validation_loss=1.0,
                validation_auc=area,
                validation_auc_smoothed=mean,
                best=is_best(found, mean),
            )
        )
    return found


def test_the_smoothed_area_is_the_mean_of_three_epochs():
    assert [e.validation_auc_smoothed for e in history(0.6, 0.8, 0.7, 0.9)] == pytest.approx(
        [0.6, 0.7, 0.7, 0.8]
    )


def test_one_lucky_epoch_is_not_kept():
    found = history(0.70, 0.72, 0.90, 0.70, 0.86, 0.87, 0.86)
    assert kept(found).epoch == 7


def test_of_equal_areas_the_later_is_kept():
    assert kept(history(1.0, 1.0, 1.0)).epoch == 3
    assert kept(history(0.9, 0.8, 0.7)).epoch == 1


def test_patience_counts_epochs_without_a_greater_area():
    patient, tireless = FitConfig(epochs=9, patience_epochs=2), FitConfig(epochs=9)
    falling = history(0.9, 0.8, 0.7)
    assert not finished(falling[:2], patient)
    assert finished(falling, patient)
    assert not finished(falling, tireless)
    assert finished(history(0.9, 0.9, 0.9), patient)
    assert not finished([], patient)
    assert finished(history(*([0.5] * 9)), tireless)


def state():
    return {
        "weights": [np.arange(6, dtype=np.float32).reshape(2, 3), np.int64(7) * np.ones((), np.int64)],
        "none": [],
    }


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    record = {"epoch": 1, "losses": {"loss": 0.1 + 0.2}}
    write_checkpoint(tmp_path, Checkpoint(identity="a", history=(record,), arrays=state()))
    found = read_checkpoint(tmp_path, "a")
    assert found is not None
    assert found.history == (record,)
    assert sorted(found.arrays) == ["none", "weights"]
    for expected, array in zip(state()["weights"], found.arrays["weights"], strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def test_no_checkpoint_is_none(tmp_path):
    assert read_checkpoint(tmp_path, "a") is None


def test_another_trainings_checkpoint_is_not_resumed(tmp_path, caplog):
    write_checkpoint(tmp_path, Checkpoint(identity="a", history=(), arrays=state()))
    with caplog.at_level(logging.WARNING, logger="edgekd"):
        assert read_checkpoint(tmp_path, "b") is None
    assert "another training" in caplog.text


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_damaged_checkpoint_begins_anew(tmp_path, caplog, keep):
    write_checkpoint(tmp_path, Checkpoint(identity="a", history=(), arrays=state()))
    path = tmp_path / "checkpoint" / "state.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with caplog.at_level(logging.WARNING, logger="edgekd"):
        assert read_checkpoint(tmp_path, "a") is None
    assert "training begins anew" in caplog.text


def test_a_kill_while_writing_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, Checkpoint(identity="a", history=({"epoch": 1},), arrays=state()))

    def killed(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", killed)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path, Checkpoint(identity="a", history=(), arrays=state()))
    found = read_checkpoint(tmp_path, "a")
    assert found is not None
    assert found.history == ({"epoch": 1},)


def test_a_finished_station_has_no_checkpoint(tmp_path):
    write_checkpoint(tmp_path, Checkpoint(identity="a", history=(), arrays=state()))
    remove_checkpoint(tmp_path)
    assert list(tmp_path.iterdir()) == []
