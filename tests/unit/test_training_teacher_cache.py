"""The teacher's stored answers, with a teacher that needs no TensorFlow."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from edgekd.config import AugmentConfig, FitConfig
from edgekd.data.batches import Batches, draws
from edgekd.errors import ModelError
from edgekd.plain import file_digest
from edgekd.training import teacher_cache
from edgekd.training.teacher_cache import ask_teacher, schedule_pairs
from training_data import PX, write_dataset

CONFIG = FitConfig(epochs=3, batch_size=8)
VARIANTS = 2


class Means:
    """A teacher whose logits are the channel means of the pixels; it counts the images it was shown."""

    engine = SimpleNamespace()
    input_px, n_logits = PX, 3

    def __init__(self, offset=0.0, die_after=None):
        self.offset, self.shown, self.die_after = offset, 0, die_after

    def logits(self, images):
        if self.die_after is not None and self.shown >= self.die_after:
            raise KeyboardInterrupt
        self.shown += len(images)
        return images.mean(axis=(1, 2), dtype=np.float64).astype(np.float32) + np.float32(self.offset)

    def close(self):
        pass


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(teacher_cache, "SHARD_PAIRS", 16)


def ask(dataset, out, *teachers, digests=("t",), seed=5, config=CONFIG):
    return ask_teacher(
        teachers or [Means()],
        digests=digests,
        dataset=dataset,
        config=config,
        seed=seed,
        variants=VARIANTS,
        out=out,
    )


def schedule(dataset, seed=5):
    """Every batch the student will see."""
    for epoch in range(CONFIG.epochs):
        shown = draws(
            dataset.train, fit=CONFIG, shares=dataset.shares, seed=seed, epoch=epoch, variants=VARIANTS
        )
        yield from Batches(
            dataset.train, shown, px=PX, batch_size=CONFIG.batch_size, config=CONFIG.augment, seed=seed
        )


def contents(folder):
    return {path.name: file_digest(path) for path in sorted((folder / "teacher_cache").iterdir())}


def test_the_answers_are_those_for_the_students_own_pixels(dataset, tmp_path):
    cache = ask(dataset, tmp_path)
    for batch in schedule(dataset):
        np.testing.assert_array_equal(cache.logits(batch), Means().logits(batch.images))


def test_every_distinct_pair_is_asked_once(dataset, tmp_path):
    teacher = Means()
    cache = ask(dataset, tmp_path, teacher)
    pairs = {pair for batch in schedule(dataset) for pair in zip(batch.index, batch.variant, strict=True)}
    drawn = sum(len(batch.labels) for batch in schedule(dataset))
    assert teacher.shown == len(cache) == len(pairs) < drawn
    found = schedule_pairs(dataset, CONFIG, seed=5, variants=VARIANTS)
    assert [tuple(pair) for pair in found] == sorted(pairs)


def test_a_killed_pass_goes_on_behind_its_last_whole_shard(dataset, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        ask(dataset, tmp_path / "killed", Means(die_after=40))
    teacher = Means()
    cache = ask(dataset, tmp_path / "killed", teacher)
    assert teacher.shown == len(cache) - 32
    ask(dataset, tmp_path / "whole")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    asleep = Means(die_after=0)
    assert len(ask(dataset, tmp_path / "killed", asleep)) == len(cache)


@pytest.mark.parametrize(
    "change",
    [
        {"digests": ("another teacher",)},
        {"seed": 6},
        {"config": FitConfig(epochs=3, batch_size=8, augment=AugmentConfig(flips=False))},
        {"config": FitConfig(epochs=1, batch_size=8)},
    ],
)
def test_another_plan_is_asked_anew(dataset, tmp_path, change):
    ask(dataset, tmp_path)
    teacher = Means()
    cache = ask(dataset, tmp_path, teacher, **change)
    assert teacher.shown == len(cache)


def test_the_manifest_holds_the_digest_of_every_shard(dataset, tmp_path):
    ask(dataset, tmp_path)
    folder = tmp_path / "teacher_cache"
    stored = json.loads((folder / "manifest.json").read_text())["shards"]
    assert stored == {path.name: file_digest(path) for path in sorted(folder.glob("[0-9]*.npy"))}


def test_several_teachers_answer_with_their_mean(dataset, tmp_path):
    cache = ask(dataset, tmp_path, Means(0.0), Means(3.0), digests=("a", "b"))
    batch = next(schedule(dataset))
    np.testing.assert_allclose(cache.logits(batch), Means(1.5).logits(batch.images), rtol=1e-6)


def test_an_image_outside_the_schedule_is_an_error(dataset, tmp_path):
    cache = ask(dataset, tmp_path)
    batch = SimpleNamespace(index=np.array([0]), variant=np.array([VARIANTS]))
    with pytest.raises(ModelError, match="image 0, variant 2 is not stored"):
        cache.logits(batch)


def test_a_teacher_of_other_classes_is_refused(dataset, tmp_path):
    teacher = Means()
    teacher.n_logits = 2
    with pytest.raises(ModelError, match=r"2 logits at 32 px, expected 3 \(mel, nv, bkl\)"):
        ask(dataset, tmp_path, teacher)


def test_a_diverged_teacher_is_refused(dataset, tmp_path):
    with pytest.raises(ModelError, match="not finite"):
        ask(dataset, tmp_path, Means(np.nan))
