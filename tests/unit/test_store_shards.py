"""The prepared store: what is written comes back, and damage is named."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekd.data import store
from edgekd.errors import DataError, StorageError
from edgekd.plain import file_digest

PX = 8
IDS = [f"image{number}" for number in range(7)]
IMAGES = np.random.default_rng(1).integers(0, 256, (7, PX, PX, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven images in shards of 3, 3 and 1."""
    shards = [
        store.write_shard(tmp_path / store.shard_name(number), IMAGES[3 * number : 3 * number + 3], px=PX)
        for number in range(3)
    ]
    store.write_manifest(tmp_path, px=PX, image_ids=IDS, shards=shards)
    return tmp_path


def test_images_come_back(folder: Path) -> None:
    images = store.ImageStore(folder)
    assert (len(images), images.px) == (7, PX)
    for number in range(7):
        assert np.array_equal(images.image(number), IMAGES[number])
    assert np.array_equal(images.read([6, 0, 3, 3]), IMAGES[[6, 0, 3, 3]])
    assert images.read([]).shape == (0, PX, PX, 3)


def test_read_into_a_given_array(folder: Path) -> None:
    out = np.zeros((2, PX, PX, 3), np.uint8)
    assert store.ImageStore(folder).read(np.array([2, 4]), out) is out
    assert np.array_equal(out, IMAGES[[2, 4]])


def test_chosen_images_in_the_chosen_order(folder: Path) -> None:
    images = store.ImageStore(folder, ["image5", "image1"])
    assert len(images) == 2
    assert np.array_equal(images.read([0, 1]), IMAGES[[5, 1]])
    with pytest.raises(IndexError):
        images.image(2)


def test_an_unknown_image_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no prepared image 'other' \(1 missing\)"):
        store.ImageStore(folder, ["image1", "other"])


def test_many_threads_read_the_same(folder: Path) -> None:
    images = store.ImageStore(folder)
    order = np.random.default_rng(2).integers(0, 7, 400)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(images.image, order.tolist()))
    assert np.array_equal(np.stack(found), IMAGES[order])


def test_no_file_stays_open(folder: Path) -> None:
    files = Path("/proc/self/fd")
    if not files.is_dir():
        pytest.skip("no /proc/self/fd on this system")
    before = set(files.iterdir())
    store.ImageStore(folder).read(range(7))
    assert set(files.iterdir()) == before


def test_a_shard_records_its_bytes(folder: Path) -> None:
    manifest = store.read_manifest(folder)
    assert manifest.image_ids == tuple(IDS)
    assert [shard.records for shard in manifest.shards] == [3, 3, 1]
    for shard in manifest.shards:
        assert shard.sha256 == file_digest(folder / shard.file)


def test_a_cut_shard_is_named_when_opened(folder: Path) -> None:
    os.truncate(folder / "00001.u8", 100)
    with pytest.raises(DataError, match=r"00001\.u8 has 100 bytes, expected 576; prepare the data again"):
        store.ImageStore(folder)


def test_a_missing_shard_is_named_when_opened(folder: Path) -> None:
    (folder / "00002.u8").unlink()
    with pytest.raises(DataError, match=r"00002\.u8 is missing"):
        store.ImageStore(folder)


def test_a_shard_cut_or_removed_later_is_named_when_read(folder: Path) -> None:
    images = store.ImageStore(folder)
    os.truncate(folder / "00001.u8", 2 * PX * PX * 3 + 5)
    assert np.array_equal(images.image(4), IMAGES[4])
    with pytest.raises(DataError, match="record 5 has 5 of 192 bytes"):
        images.image(5)
    (folder / "00000.u8").unlink()
    with pytest.raises(DataError, match=r"00000\.u8 is missing"):
        images.image(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("{}", "missing schema"),
        (
            '{"schema": "edgekd.store/0", "px": 8, "image_ids": [], "shards": []}',
            "schema is 'edgekd.store/0'",
        ),
        (
            '{"schema": "edgekd.store/1", "px": 8, "image_ids": ["a"], "shards": []}',
            "0 records for 1 image ids",
        ),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        store.ImageStore(tmp_path)


def test_no_store_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no manifest\.json"):
        store.ImageStore(tmp_path)


@pytest.mark.parametrize("image", [np.zeros((PX, PX, 4), np.uint8), np.zeros((PX, PX, 3), np.float32)])
def test_another_shape_or_type_is_refused_and_leaves_nothing(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(8, 8, 3\)"):
        store.write_shard(tmp_path / "x.u8", [IMAGES[0], image], px=PX)
    assert list(tmp_path.iterdir()) == []


def test_an_error_between_images_leaves_the_old_shard(folder: Path) -> None:
    def images() -> Iterator[np.ndarray]:
        yield IMAGES[6]
        raise KeyError("broken")

    before = (folder / "00000.u8").read_bytes()
    with pytest.raises(KeyError):
        store.write_shard(folder / "00000.u8", images(), px=PX)
    assert (folder / "00000.u8").read_bytes() == before
    assert not list(folder.glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / ".x.u8.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left on device; make room"):
        store.write_shard(tmp_path / "x.u8", IMAGES, px=PX)
    assert list(tmp_path.iterdir()) == []


def test_reading_does_not_load_tensorflow_or_opencv() -> None:
    code = "import sys, edgekd.data.store; sys.exit(bool({'tensorflow', 'cv2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
