"""The data station: from folders of images to a prepared data set, whole or resumable at any moment."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data import shards
from edgekd.data.dataset import open_dataset
from edgekd.data.prepare import fingerprint, prepare
from edgekd.data.store import read_manifest
from edgekd.data.table import Split
from edgekd.errors import DataError, StorageError
from edgekd.imaging.decode import read_image
from edgekd.imaging.resample import prepare as resample
from edgekd.plain import file_digest, to_plain

INPUT_PX, TRAIN_PX = 32, 40


def _write_images(root: Path, count: int = 40, seed: int = 7) -> Path:
    """Noise pictures, half melanoma, half nevus: no two alike."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        path = root / ("mel" if number % 2 else "nv") / f"picture_{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC))
    return root


def _config(root: Path, **changes: object) -> DataConfig:
    source = SourceConfig(name="pictures", kind=SourceKind.FOLDERS, root=str(root))
    fields = {"sources": (source,), "input_px": INPUT_PX, "train_px": TRAIN_PX, "workers": 1, **changes}
    return DataConfig(**fields)


def _bytes(folder: Path) -> dict[str, str]:
    """Every file below `folder` with the digest of its bytes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_images(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def prepared(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    prepare(config=_config(pictures), seed=1, out=out)
    return out


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_RECORDS", 4)


def test_a_data_set_comes_out(prepared: Path, pictures: Path) -> None:
    dataset = open_dataset(prepared)
    assert dataset.classes == ("mel", "nv")
    assert dataset.malignant == ("mel",)
    assert (dataset.input_px, dataset.train_px) == (INPUT_PX, TRAIN_PX)
    assert dataset.shares == {"pictures": 1.0}
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [part.split for part in parts] == list(Split)
    assert sum(len(part) for part in parts) == 40
    assert {row.image_id for part in parts for row in part.rows} == {
        f"pictures/{'mel' if number % 2 else 'nv'}/picture_{number:03d}" for number in range(40)
    }
    for part, px in zip(parts, (TRAIN_PX, INPUT_PX, INPUT_PX), strict=True):
        assert len(part.images) == len(part.rows) == len(part.labels)
        for index, row in enumerate(part.rows):
            assert row.split is part.split
            assert part.malignant[index] == row.malignant == (row.diagnosis == "mel")
            assert dataset.classes[part.labels[index]] == row.diagnosis
            expected = resample(read_image(pictures / row.path), px)
            assert np.array_equal(part.images.image(index), expected)


def test_the_outputs_are_all_there_and_nothing_else(prepared: Path) -> None:
    names = set(_bytes(prepared))
    assert names == {
        "table.csv",
        "split.json",
        "audit.json",
        "dataset.json",
        *(f"store/{split}/{name}" for split in Split for name in ("00000.u8", "manifest.json")),
    }


def test_a_teacher_of_another_side_has_its_own_pixels(prepared: Path, pictures: Path, tmp_path: Path) -> None:
    prepare(config=_config(pictures, teacher_px=36), seed=1, out=tmp_path)
    dataset = open_dataset(tmp_path)
    closer = dataset.seen_by_teacher()
    assert (dataset.input_px, closer.input_px, closer.train_px) == (INPUT_PX, 36, TRAIN_PX)
    for part in (closer.validation, closer.test):
        for index, row in enumerate(part.rows):
            expected = resample(read_image(pictures / row.path), 36)
            assert np.array_equal(part.images.image(index), expected)
    own = {name: told for name, told in _bytes(tmp_path).items() if "@36" not in name}
    assert own.keys() == _bytes(prepared).keys()
    differing = {name for name, told in _bytes(prepared).items() if own[name] != told}
    assert differing == {"dataset.json"}


def test_a_teacher_of_the_students_side_needs_no_pixels_of_its_own(prepared: Path) -> None:
    dataset = open_dataset(prepared)
    assert dataset.seen_by_teacher() is dataset


def test_the_counts_are_the_metrics(pictures: Path, tmp_path: Path) -> None:
    metrics = prepare(config=_config(pictures), seed=1, out=tmp_path)
    dataset = open_dataset(tmp_path)
    assert metrics["dropped"] == 0
    assert metrics["train_images"] == len(dataset.train)
    assert metrics["test_malignant"] == dataset.test.malignant.sum()


def test_processes_and_shards_do_not_change_the_images(
    prepared: Path, pictures: Path, tmp_path: Path, small_shards: None
) -> None:
    prepare(config=_config(pictures, workers=2), seed=1, out=tmp_path)
    assert len(read_manifest(tmp_path / "store" / "train").shards) > 3
    one, other = open_dataset(prepared), open_dataset(tmp_path)
    assert one.train.rows == other.train.rows
    numbers = range(len(one.train))
    assert np.array_equal(one.train.images.read(numbers), other.train.images.read(numbers))
    same = {"table.csv", "split.json", "audit.json", "dataset.json"}
    assert {name: _bytes(prepared)[name] for name in same} == {name: _bytes(tmp_path)[name] for name in same}


def test_unreadable_images_are_counted_and_named(tmp_path: Path) -> None:
    root = _write_images(tmp_path / "pictures")
    whole = (root / "nv" / "picture_002.png").read_bytes()
    (root / "nv" / "picture_002.png").write_bytes(whole[: len(whole) // 2])
    (root / "mel" / "picture_005.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DataError, match=r"^2 of 40 images cannot be read: ") as caught:
        prepare(config=_config(root), seed=1, out=out)
    assert "picture_002.png" in str(caught.value)
    assert "picture_005.png" in str(caught.value)
    assert not (out / "dataset.json").exists()


def test_a_split_without_both_kinds_is_refused(tmp_path: Path) -> None:
    root = _write_images(tmp_path / "pictures")
    shutil.rmtree(root / "mel")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"none is malignant|never in train"):
        prepare(config=_config(root), seed=1, out=tmp_path / "out")


def test_finished_shards_are_kept_and_damaged_ones_made_again(
    pictures: Path, tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    whole.mkdir()
    out.mkdir()
    prepare(config=_config(pictures), seed=1, out=whole)
    with monkeypatch.context() as patched:
        patched.setattr("edgekd.data.prepare.write_table", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(config=_config(pictures), seed=1, out=out)
    store = out / "store" / "train"
    kept, damaged, foreign = (store / f"0000{number}.u8" for number in range(3))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    note = json.loads((store / "00002.u8.json").read_text())
    (store / "00002.u8.json").write_text(json.dumps({**note, "key": "of another job"}))
    before = {path: path.stat().st_mtime_ns for path in (kept, damaged, foreign)}
    monkeypatch.undo()
    monkeypatch.setattr(shards, "SHARD_RECORDS", 4)
    prepare(config=_config(pictures), seed=1, out=out)
    assert kept.stat().st_mtime_ns == before[kept]
    assert damaged.stat().st_mtime_ns > before[damaged]
    assert foreign.stat().st_mtime_ns > before[foreign]
    assert _bytes(out) == _bytes(whole)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_kill_at_any_moment_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    """SIGKILL while it works, begin again, and again; the end is the same bytes."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    whole.mkdir()
    out.mkdir()
    began = time.monotonic()
    assert _ended(_process(pictures, whole)) == 0
    seconds = time.monotonic() - began
    chance = np.random.default_rng(3)
    killed = 0
    for _ in range(6):
        process = _process(pictures, out)
        process.join(timeout=seconds * chance.random())
        process.kill()
        killed += _ended(process) == -signal.SIGKILL
    assert killed > 0
    assert _ended(_process(pictures, out)) == 0
    assert _bytes(out) == _bytes(whole)


def _process(pictures: Path, out: Path) -> multiprocessing.process.BaseProcess:
    """A process of its own that prepares `pictures` in many small shards, slowed down to be hit by a kill."""
    code = f"""
import time
from pathlib import Path
from edgekd.config import DataConfig
from edgekd.data import shards
from edgekd.data.prepare import prepare
from edgekd.plain import from_plain
shards.SHARD_RECORDS = 2
inspect = shards.inspect_image
shards.inspect_image = lambda *image: (time.sleep(0.005), inspect(*image))[1]
prepare(config=from_plain(DataConfig, {to_plain(_config(pictures))!r}), seed=1, out=Path({str(out)!r}))
"""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "edgekd.data.prepare"])
    process = context.Process(target=exec, args=(code, {}))
    process.start()
    return process


def _ended(process: multiprocessing.process.BaseProcess) -> int | None:
    process.join(timeout=60)
    return process.exitcode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_one_clear_line(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "store" / "train").mkdir(parents=True)
    (tmp_path / "store" / "train" / ".00000.u8.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left on device; make room"):
        prepare(config=_config(pictures), seed=1, out=tmp_path)
    assert not (tmp_path / "dataset.json").exists()


def test_workers_do_not_load_tensorflow() -> None:
    code = "import sys, edgekd.data.prepare; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_sources_share_no_image(tmp_path: Path) -> None:
    first, second = _write_images(tmp_path / "first"), _write_images(tmp_path / "second", count=6, seed=8)
    shutil.copy(first / "nv" / "picture_000.png", second / "nv" / "extra.png")
    sources = tuple(
        SourceConfig(name=root.name, kind=SourceKind.FOLDERS, root=str(root), share=share)
        for root, share in ((first, 1.0), (second, 2.0))
    )
    (tmp_path / "out").mkdir()
    prepare(config=_config(first, sources=sources), seed=1, out=tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.shares == {"first": 1.0, "second": 2.0}
    rows = [row for part in (dataset.train, dataset.validation, dataset.test) for row in part.rows]
    assert len({row.image_id for row in rows}) == len(rows)
    assert sum(row.source == "first" for row in rows) >= 39


def test_the_fingerprint_follows_the_files(pictures: Path, tmp_path: Path) -> None:
    root = shutil.copytree(pictures, tmp_path / "pictures")
    before = fingerprint(_config(root), 1)
    assert before == fingerprint(_config(root), 1)
    os.utime(root / "nv" / "picture_000.png", ns=(1, 1))
    assert fingerprint(_config(root), 1) != before


def test_a_binary_source_makes_all_binary(tmp_path: Path) -> None:
    first, second = _write_images(tmp_path / "first"), _write_images(tmp_path / "second", count=6, seed=8)
    (second / "mel").rename(second / "malignant")
    (second / "nv").rename(second / "benign")
    for number, path in enumerate(sorted(second.glob("*/*.png"))):
        path.rename(path.with_name(f"other_{number}.png"))
    sources = tuple(
        SourceConfig(name=root.name, kind=SourceKind.FOLDERS, root=str(root)) for root in (first, second)
    )
    (tmp_path / "out").mkdir()
    prepare(config=_config(first, sources=sources, drop_leaks=False), seed=1, out=tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.classes == ("benign", "malignant")
    assert dataset.malignant == ("malignant",)
