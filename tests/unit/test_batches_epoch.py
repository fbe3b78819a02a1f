"""Draws and batches of an epoch: pure, in order, the same whatever the threads, and nothing left running."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from edgekd.config import AugmentConfig, FitConfig
from edgekd.data.batches import Batches, Draws, draws, epoch_size
from edgekd.data.dataset import Samples
from edgekd.data.store import ImageStore, shard_name, write_manifest, write_shard
from edgekd.data.table import Row, Split, image_key
from edgekd.errors import DataError, UsageError
from edgekd.imaging.augment import augment

PX, STORED = 32, 40
SHARES = {"a": 1.0, "b": 3.0}
COUNTS = {("a", 0): 20, ("a", 1): 5, ("b", 0): 9, ("b", 2): 4}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    folder = tmp_path_factory.mktemp("store")
    rows, labels = [], []
    for (source, label), count in COUNTS.items():
        for number in range(count):
            rows.append(
                Row(
                    image_id=f"{source}{label}_{number}",
                    path="x.png",
                    diagnosis=("nv", "mel", "bkl")[label],
                    malignant=label == 1,
                    split=Split.TRAIN,
                    source=source,
                )
            )
            labels.append(label)
    images = np.random.default_rng(1).integers(0, 256, (len(rows), STORED, STORED, 3), dtype=np.uint8)
    ids = [row.image_id for row in rows]
    write_manifest(
        folder, px=STORED, image_ids=ids, shards=[write_shard(folder / shard_name(0), images, px=STORED)]
    )
    return Samples(
        rows=tuple(rows),
        labels=np.array(labels, np.int32),
        malignant=np.array([row.malignant for row in rows]),
        features=np.arange(2 * len(rows), dtype=np.float32).reshape(len(rows), 2) / 255,
        images=ImageStore(folder),
        split=Split.TRAIN,
    )


def _draws(
    samples: Samples, epoch: int, *, variants: int | None = None, seed: int = 1, **fit: float
) -> Draws:
    config = dataclasses.replace(FitConfig(batch_size=8), **fit)
    return draws(samples, fit=config, shares=SHARES, seed=seed, epoch=epoch, variants=variants)


def _batches(samples: Samples, shown: Draws, **changes: int) -> Batches:
    return Batches(samples, shown, px=PX, batch_size=8, config=AugmentConfig(), seed=5, **changes)


def _running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edgekd-batches")]


def test_an_epoch_is_whole_batches(samples: Samples) -> None:
    assert len(samples) == 38
    assert epoch_size(samples, FitConfig(batch_size=8)) == 32
    assert epoch_size(samples, FitConfig(batch_size=64)) == 64
    assert epoch_size(samples, FitConfig(batch_size=8, images_per_epoch=100)) == 96
    assert len(_draws(samples, 0)) == 32


def test_draws_are_a_pure_function(samples: Samples) -> None:
    one, again = _draws(samples, 3), _draws(samples, 3)
    assert np.array_equal(one.index, again.index)
    assert np.array_equal(one.variant, again.variant)
    assert not np.array_equal(one.index, _draws(samples, 4).index)
    assert not np.array_equal(one.index, _draws(samples, 3, seed=2).index)


def test_draws_over_a_schedule_keep_shares_and_visit_images_equally(samples: Samples) -> None:
    epochs = [_draws(samples, epoch) for epoch in range(20)]
    index = np.concatenate([epoch.index for epoch in epochs])
    counts = np.bincount(index, minlength=len(samples))
    sources = np.array([row.source for row in samples.rows])
    for (source, label), size in COUNTS.items():
        others = [number for (name, _), number in COUNTS.items() if name == source]
        part = SHARES[source] / 4 * np.sqrt(size) / np.sum(np.sqrt(others))
        drawn = counts[(sources == source) & (samples.labels == label)]
        # Sainte-Laguë keeps each of the four groups within 1/2 + 4 · weight / 2 of its quota.
        assert abs(drawn.sum() - part * len(index)) <= 0.5 + 2 * part
        assert drawn.max() - drawn.min() <= 1


def test_a_variant_counts_the_earlier_draws_of_its_image(samples: Samples) -> None:
    seen = np.zeros(len(samples), np.int64)
    for epoch in range(12):
        shown = _draws(samples, epoch)
        for image in np.unique(shown.index):
            times = np.sort(shown.variant[shown.index == image])
            assert np.array_equal(times, seen[image] + np.arange(len(times)))
            seen[image] += len(times)
    assert seen.max() > 8
    late = _draws(samples, 11, variants=3)
    assert np.array_equal(late.variant, _draws(samples, 11).variant % 3)
    assert np.array_equal(late.index, _draws(samples, 11).index)


def test_a_distant_epoch_costs_no_more_than_a_near_one(samples: Samples) -> None:
    shown = _draws(samples, 10**9)
    assert len(shown) == 32
    assert shown.variant.min() > 10**8


def test_a_source_without_a_share_is_refused(samples: Samples) -> None:
    with pytest.raises(UsageError, match="no share for source 'b'"):
        draws(samples, fit=FitConfig(), shares={"a": 1.0}, seed=1, epoch=0, variants=None)


def test_batches_hold_the_augmented_images_of_the_draws_in_order(samples: Samples) -> None:
    shown = _draws(samples, 1)
    batches = list(_batches(samples, shown))
    assert len(batches) == len(_batches(samples, shown)) == 4
    assert np.array_equal(np.concatenate([batch.index for batch in batches]), shown.index)
    assert np.array_equal(np.concatenate([batch.variant for batch in batches]), shown.variant)
    for batch in batches:
        assert np.array_equal(batch.labels, samples.labels[batch.index])
        assert np.array_equal(batch.features, samples.features[batch.index])
        assert (batch.images.dtype, batch.images.shape) == (np.uint8, (8, PX, PX, 3))
        for image, index, variant in zip(batch.images, batch.index, batch.variant, strict=True):
            expected = augment(
                samples.images.image(int(index)),
                px=PX,
                config=AugmentConfig(),
                seed=5,
                image_key=image_key(samples.rows[index].image_id),
                variant=int(variant),
            )
            assert np.array_equal(image, expected)


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (3, 1), (2, 50)])
def test_the_bytes_do_not_depend_on_the_threads(samples: Samples, threads: int, ahead: int) -> None:
    shown = _draws(samples, 0)
    expected = [batch.images for batch in _batches(samples, shown)]
    found = [batch.images for batch in _batches(samples, shown, threads=threads, ahead=ahead)]
    assert all(np.array_equal(one, other) for one, other in zip(expected, found, strict=True))


def test_the_last_batch_holds_what_is_left(samples: Samples) -> None:
    shown = Draws(index=np.arange(11), variant=np.zeros(11, np.int64))
    assert [len(batch.index) for batch in _batches(samples, shown)] == [8, 3]
    nothing = Draws(index=np.arange(0), variant=np.arange(0))
    assert list(_batches(samples, nothing)) == []


def test_batches_can_be_walked_again(samples: Samples) -> None:
    batches = _batches(samples, _draws(samples, 0))
    first, second = [[batch.images for batch in batches] for _ in range(2)]
    assert np.array_equal(np.stack(first), np.stack(second))


def test_threads_end_with_the_iteration(samples: Samples) -> None:
    for _ in _batches(samples, _draws(samples, 0)):
        assert _running()
    assert _running() == []


def test_threads_end_when_the_loop_is_left_early(samples: Samples) -> None:
    for _ in _batches(samples, _draws(samples, 0), ahead=1):
        break
    assert _running() == []


def test_an_error_is_raised_where_its_batch_was_due(samples: Samples) -> None:
    class Broken(ImageStore):
        def image(self, index: int) -> np.ndarray:
            if index == 30:
                raise DataError("image 30 is gone")
            return super().image(index)

    broken = dataclasses.replace(samples, images=Broken(samples.images.folder))
    shown = Draws(index=np.arange(38), variant=np.zeros(38, np.int64))
    received = []
    with pytest.raises(DataError, match="image 30 is gone"):
        for batch in _batches(broken, shown):
            received.append(batch.index[0])
    assert received == [0, 8, 16]
    assert _running() == []
