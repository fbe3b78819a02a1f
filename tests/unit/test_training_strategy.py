"""Strategies in one process: what is refused, whose rows are whose, and that one replica is no different."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import tolerances
from edgekd.config import FitConfig, ModelConfig, Optimizer, Strategy, TeachConfig, VerifyConfig
from edgekd.data.batches import Batch
from edgekd.errors import DeviceError, UsageError
from training_data import write_dataset

pytestmark = pytest.mark.tf

MODEL = ModelConfig(name="dsnet", width=0.1, weights="none", dropout=0.0)  # masks are a replica's own


class Replicas:
    """As many replicas as asked for, which nobody runs."""

    def __init__(self, count):
        self.num_replicas_in_sync = count


def spread(replicas, worker=0, workers=1):
    from edgekd.training.strategy import Spread

    return Spread(strategy=Replicas(replicas), worker=worker, workers=workers)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(UsageError, match="batch_size 8 cannot be divided evenly over 3 replicas"):
        spread(3).rows(8)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_workers_parts_are_the_batches_and_nothing_twice(dataset, workers):
    from edgekd.training.fit import epoch_batches

    config = FitConfig(batch_size=8, epochs=1)
    whole = list(epoch_batches(dataset, config, seed=1, epoch=3))
    parts = [
        list(epoch_batches(dataset, config, seed=1, epoch=3, spread=spread(workers, number, workers)))
        for number in range(workers)
    ]
    for batch, *own in zip(whole, *parts, strict=True):
        assert {len(part.labels) for part in own} == {8 // workers}
        for name in ("images", "labels", "features", "index", "variant"):
            joined = np.concatenate([getattr(part, name) for part in own])
            np.testing.assert_array_equal(joined, getattr(batch, name))


def test_the_workers_ask_the_teacher_for_their_own_parts_alone(dataset):
    from edgekd.training.teacher_cache import schedule_pairs

    config = FitConfig(batch_size=8, epochs=3)
    whole = {tuple(pair) for pair in schedule_pairs(dataset, config, seed=1, variants=2).tolist()}
    parts = [
        schedule_pairs(dataset, config, seed=1, variants=2, spread=spread(2, number, 2)) for number in (0, 1)
    ]
    assert set(map(tuple, np.concatenate(parts).tolist())) == whole
    assert max(map(len, parts)) < len(whole)


def test_a_training_that_cannot_be_divided_is_refused_before_it_begins(dataset, tmp_path):
    from edgekd.training.fit import fit

    with pytest.raises(UsageError, match="over 5 replicas"):
        fit(
            None,
            dataset=dataset,
            config=FitConfig(batch_size=8),
            objective=None,
            seed=1,
            out=tmp_path,
            station="teach",
            settings="",
            spread=spread(5),
        )
    assert list(tmp_path.iterdir()) == []


def test_without_a_tpu_the_line_says_so(monkeypatch):
    from edgekd.training.strategy import open_strategy

    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(DeviceError, match=r"no TPU is to be found \(.+\): name one in TPU_NAME") as caught:
        open_strategy(Strategy.TPU)
    assert "\n" not in str(caught.value)


def test_workers_without_a_cluster_are_refused(monkeypatch):
    from edgekd.training.strategy import open_strategy

    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UsageError, match="TF_CONFIG, which is not set"):
        open_strategy(Strategy.MULTIWORKER)


@pytest.mark.parametrize("optimizer", [Optimizer.ADADELTA, Optimizer.RADAM_LOOKAHEAD])
def test_one_mirrored_replica_learns_what_a_single_one_does(dataset, tmp_path, caplog, optimizer):
    from edgekd.runtimes.keras import load_keras
    from edgekd.training.teach import teach

    rate = 1.0 if optimizer is Optimizer.ADADELTA else 1e-3
    fit = FitConfig(epochs=1, batch_size=8, optimizer=optimizer, learning_rate=rate, average_decay=0.5)
    weights = {}
    for strategy in (Strategy.SINGLE, Strategy.MIRRORED):
        out = tmp_path / strategy
        out.mkdir()
        with caplog.at_level(logging.INFO, logger="edgekd"):
            teach(
                dataset=dataset,
                config=TeachConfig(model=MODEL, fit=fit),
                verify=VerifyConfig(target=0.8),
                seed=3,
                out=out,
                strategy=strategy,
            )
        weights[strategy] = load_keras(out / "model.keras").get_weights()
    assert "1 replica(s) of 8 images a batch" in caplog.text
    for one, other in zip(weights[Strategy.SINGLE], weights[Strategy.MIRRORED], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerances.SPREAD_WEIGHTS)


def learned(strategy, features):
    """The weights after two steps of a network that takes a patient vector of two numbers."""
    import tensorflow as tf

    from edgekd.models.catalogue import build
    from edgekd.training.determinism import begin
    from edgekd.training.learner import Learner
    from edgekd.training.strategy import open_strategy

    spread = open_strategy(strategy)
    begin(1)
    model = build(MODEL, input_px=32, n_logits=2, seed=1, n_features=2)
    learner = Learner(
        model,
        config=FitConfig(batch_size=4),
        objective=lambda logits, labels, _: {"loss": tf.reduce_mean(logits[:, 0] - logits[:, 1])},
        px=32,
        steps_per_epoch=2,
        spread=spread,
    )
    images = np.random.default_rng(2).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    numbers = np.arange(4)
    batch = Batch(
        images=images, labels=numbers.astype(np.int32), features=features, index=numbers, variant=numbers
    )
    for number in range(2):
        learner.step(batch, np.zeros((4, 0), np.float32), number)
    with learner.judged():
        return [weight.numpy() for weight in model.weights]


def test_patient_vectors_reach_the_network_with_and_without_a_strategy():
    features = np.random.default_rng(3).uniform(size=(4, 2)).astype(np.float32)
    single, mirrored = (learned(strategy, features) for strategy in (Strategy.SINGLE, Strategy.MIRRORED))
    for one, other in zip(single, mirrored, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerances.SPREAD_WEIGHTS)
    others = learned(Strategy.SINGLE, 1 - features)
    assert any(np.abs(one - other).max() > 1e-4 for one, other in zip(single, others, strict=True))
