"""The teacher's stored answers, with a teacher that needs no TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgekd.config import AugmentConfig, FitConfig
from edgekd.data.batches import Batches, Draws, draws
from edgekd.data.dataset import open_dataset
from edgekd.errors import ModelError
from edgekd.imaging.augment import augment
from edgekd.plain import file_digest
from edgekd.training import teacher_cache
from edgekd.training.teacher_cache import ask_teacher, schedule_pairs
from training_data import PX, write_dataset

CONFIG = FitConfig(epochs=3, batch_size=8)
VARIANTS = 2


class Means:
    """A teacher whose logits are the channel means of the pixels; it counts the pictures it was shown.

    Those that fill up a batch are the same ones again, and do not count.
    """

    engine = SimpleNamespace(name="means", version="1")
    n_logits = 3

    def __init__(self, offset=0.0, die_after=None, px=PX):
        self.offset, self.shown, self.die_after, self.input_px = offset, 0, die_after, px
        self.sizes = set()

    def logits(self, images):
        if self.die_after is not None and self.shown >= self.die_after:
            raise KeyboardInterrupt
        assert images.shape[1:] == (self.input_px, self.input_px, 3)
        self.sizes.add(len(images))
        self.shown += len(np.unique(images.reshape(len(images), -1), axis=0))
        return images.mean(axis=(1, 2), dtype=np.float64).astype(np.float32) + np.float32(self.offset)

    def close(self):
        pass


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(teacher_cache, "SHARD_PAIRS", 16)


def ask(dataset, out, *teachers, digests=("t",), seed=5, config=CONFIG, variants=VARIANTS, **where):
    return ask_teacher(
        teachers or [Means()],
        digests=digests,
        dataset=dataset,
        config=config,
        seed=seed,
        variants=variants,
        out=out,
        **where,
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
    root = folder / "teacher_cache"
    return {p.relative_to(root): file_digest(p) for p in sorted(root.rglob("*")) if p.is_file()}


def shards(folder):
    return sorted(folder.rglob("*.logits"))


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
    assert teacher.sizes == {32}
    found = schedule_pairs(dataset, CONFIG, seed=5, variants=VARIANTS)
    assert [tuple(pair) for pair in found] == sorted(pairs)


def test_a_killed_pass_goes_on_behind_its_last_whole_shard(dataset, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        ask(dataset, tmp_path / "killed", Means(die_after=32))
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
    ],
)
def test_another_plan_is_asked_anew(dataset, tmp_path, change):
    first = ask(dataset, tmp_path)
    teacher = Means()
    cache = ask(dataset, tmp_path, teacher, **change)
    assert teacher.shown == len(cache)
    assert cache.identity != first.identity


def test_other_pixels_are_asked_anew(dataset, tmp_path):
    ask(dataset, tmp_path)
    other = write_dataset(tmp_path / "other")
    manifest = tmp_path / "other" / "store" / "train" / "manifest.json"
    record = json.loads(manifest.read_text())
    record["shards"][0]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(record))
    teacher = Means()
    assert teacher.shown < len(ask(other, tmp_path, teacher)) == teacher.shown


def test_a_schedule_within_an_earlier_one_asks_nothing(dataset, tmp_path):
    ask(dataset, tmp_path)
    asleep = Means(die_after=0)
    for config in (FitConfig(epochs=1, batch_size=8), FitConfig(epochs=2, batch_size=16)):
        ask(dataset, tmp_path, asleep, config=config)
    assert asleep.shown == 0


def test_more_variants_cost_what_is_missing(dataset, tmp_path):
    before = ask(dataset, tmp_path, variants=1)
    teacher = Means()
    after = ask(dataset, tmp_path, teacher, variants=2)
    assert teacher.shown == len(after) - len(before) > 0
    assert after.identity == before.identity
    ask(dataset, tmp_path / "at once", variants=2)
    assert contents(tmp_path) == contents(tmp_path / "at once")


def test_one_more_member_costs_itself_alone(dataset, tmp_path):
    ask(dataset, tmp_path, Means(1.0), digests=("a",))
    known, new = Means(die_after=0), Means(4.0)
    cache = ask(dataset, tmp_path, known, new, digests=("a", "b"))
    assert new.shown == len(cache)
    batch = next(schedule(dataset))
    np.testing.assert_allclose(cache.logits(batch), Means(2.5).logits(batch.images), rtol=1e-6)


def test_another_engine_is_asked_anew(dataset, tmp_path):
    ask(dataset, tmp_path, Means())
    other = Means()
    other.engine = SimpleNamespace(name="means", version="2")
    cache = ask(dataset, tmp_path, other)
    assert other.shown == len(cache) > 0
    again = Means()
    ask(dataset, tmp_path, again)
    assert again.shown == 0


def test_runs_share_a_folder_and_leave_nothing_in_their_own(dataset, tmp_path):
    first = ask(dataset, tmp_path / "run", store=tmp_path / "shared")
    second = ask(dataset, tmp_path / "other run", Means(die_after=0), store=tmp_path / "shared")
    assert {path.name for path in tmp_path.iterdir()} == {"shared"}
    batch = next(schedule(dataset))
    np.testing.assert_array_equal(first.logits(batch), second.logits(batch))
    assert first.identity == second.identity


@pytest.mark.parametrize("change", [lambda data: data[:-5], lambda data: bytes(len(data))])
def test_a_torn_shard_is_noticed_and_made_again(dataset, tmp_path, change):
    ask(dataset, tmp_path)
    whole = contents(tmp_path)
    torn = shards(tmp_path)[1]
    torn.write_bytes(change(torn.read_bytes()))
    teacher = Means()
    ask(dataset, tmp_path, teacher)
    assert teacher.shown == 16
    assert contents(tmp_path) == whole


def test_a_lost_manifest_makes_everything_again(dataset, tmp_path):
    ask(dataset, tmp_path)
    whole = contents(tmp_path)
    next((tmp_path / "teacher_cache").rglob("manifest.json")).write_text("{")
    teacher = Means()
    assert len(ask(dataset, tmp_path, teacher)) == teacher.shown
    assert contents(tmp_path) == whole


def ask_alone(folder, shared):
    """What a process of its own does: how many pictures it had to ask for."""
    teacher_cache.SHARD_PAIRS = 16
    teacher = Means()
    ask(open_dataset(Path(folder)), Path(shared), teacher, store=Path(shared))
    return teacher.shown


def test_processes_at_once_ask_every_pair_once(dataset, tmp_path):
    here = Path(__file__).resolve().parent
    lines = (
        f"import sys; sys.path[:0] = {[str(here), str(here.parent)]!r}",
        "import test_training_teacher_cache as own",
        f"print(own.ask_alone({str(dataset.folder)!r}, {str(tmp_path)!r}))",
    )
    both = [
        subprocess.Popen([sys.executable, "-c", "\n".join(lines)], stdout=subprocess.PIPE) for _ in range(2)
    ]
    shown = [int(process.communicate(timeout=120)[0]) for process in both]
    cache = ask(dataset, tmp_path, Means(die_after=0), store=tmp_path)
    assert sum(shown) == len(cache)
    for batch in schedule(dataset):
        np.testing.assert_array_equal(cache.logits(batch), Means().logits(batch.images))


def test_the_manifest_holds_the_digest_of_every_shard(dataset, tmp_path):
    ask(dataset, tmp_path)
    (folder,) = (tmp_path / "teacher_cache").iterdir()
    stored = json.loads((folder / "manifest.json").read_text())["shards"]
    assert stored == {path.name: file_digest(path) for path in shards(folder)}
    assert len(stored) == 6


def test_each_member_answers_for_the_images_it_may(dataset, tmp_path):
    """Two folds: odd images are answered by one, even ones by the other, every third by both."""
    number = np.arange(len(dataset.train))
    answering = np.stack([number % 2 == 1, (number % 2 == 0) | (number % 3 == 0)])
    folds = Means(0.0), Means(3.0)
    cache = ask(dataset, tmp_path, *folds, digests=("a", "b"), answering=answering)
    assert [fold.shown for fold in folds] == [int(VARIANTS * own.sum()) for own in answering]
    batch = next(schedule(dataset))
    odd, third = batch.index % 2 == 1, batch.index % 3 == 0
    offset = np.where(odd & third, 1.5, np.where(odd, 0.0, 3.0))[:, None]
    expected = Means().logits(batch.images) + offset
    np.testing.assert_allclose(cache.logits(batch), expected, rtol=1e-6)
    assert cache.identity != ask(dataset, tmp_path, *folds, digests=("a", "b")).identity


def test_an_image_nobody_answers_for_is_refused(dataset, tmp_path):
    nobody = np.ones((1, len(dataset.train)), bool)
    nobody[0, 7] = False
    with pytest.raises(ModelError, match=r"no teacher answers for 1 training image\(s\), 'train_007' first"):
        ask(dataset, tmp_path, answering=nobody)
    with pytest.raises(ModelError, match=r"expected \[1, 48\]"):
        ask(dataset, tmp_path, answering=nobody[:, :4])


@pytest.mark.parametrize("moved", [{}, {"rotation_degrees": 40.0, "zoom": 0.1, "shift": 0.05}])
def test_a_view_at_another_side_is_the_same_crop_turn_and_colour(moved):
    """On a picture whose red is x and green is y, so that the pixels say where they were taken."""
    side = np.linspace(40, 160, 160)
    picture = (
        np.stack([*np.meshgrid(side, side), np.full((160, 160), 90.0)], axis=-1).round().astype(np.uint8)
    )
    config = AugmentConfig(**moved)
    corners = []
    for variant in range(40):
        small, large = (
            augment(picture, px=px, config=config, seed=1, image_key=9, variant=variant).astype(float)
            for px in (64, 128)
        )
        inner = slice(4, -4) if moved else slice(None)  # beyond its edges a picture is reflected
        halved = large.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
        assert np.abs(halved - small)[inner, inner].max() < 3.5
        corners.append(small[8, 8])
    assert np.ptp(corners, axis=0)[:2].min() > 60


def test_each_side_is_shown_the_students_views_at_that_side(dataset, tmp_path, monkeypatch):
    seen = {}

    def look(self, images):
        seen.setdefault(self.input_px, []).append(images[:16])
        return np.zeros((len(images), 3), np.float32)

    monkeypatch.setattr(Means, "logits", look)
    ask(dataset, tmp_path, Means(px=2 * PX), Means(), digests=("large", "small"))
    pairs = schedule_pairs(dataset, CONFIG, seed=5, variants=VARIANTS)
    pairs = pairs[np.argsort(pairs[:, 1], kind="stable")]
    for px, shown in seen.items():
        draw = Draws(index=pairs[:, 0], variant=pairs[:, 1])
        own = Batches(dataset.train, draw, px=px, batch_size=8, config=CONFIG.augment, seed=5)
        np.testing.assert_array_equal(np.concatenate(shown), np.concatenate([b.images for b in own]))


def test_members_of_two_sides_are_averaged(dataset, tmp_path):
    cache = ask(dataset, tmp_path, Means(), Means(5.0, px=PX + 16), digests=("a", "b"))
    alone = [
        ask(dataset, tmp_path, member, digests=(told,))
        for member, told in ((Means(die_after=0), "a"), (Means(die_after=0, px=PX + 16), "b"))
    ]
    batch = next(schedule(dataset))
    mean = np.mean([member.logits(batch) for member in alone], axis=0)
    np.testing.assert_allclose(cache.logits(batch), mean, rtol=1e-6)


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
