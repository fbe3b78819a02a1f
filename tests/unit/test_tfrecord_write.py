"""A prepared data set as shards: complete, the same bytes every time, resumable, and a source again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import siim_shards as siim
import tiny_dataset
from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.data.prepare import prepare
from edgekd.data.reading import read_records
from edgekd.data.table import Split
from edgekd.data.tfrecord import write
from edgekd.data.tfrecord.example import parse
from edgekd.data.tfrecord.framing import records
from edgekd.data.tfrecord.layout import SITE, codes_of
from edgekd.data.tfrecord.manifest import read_manifest
from edgekd.data.tfrecord.write import write_tfrecords
from edgekd.errors import DataError, UsageError
from edgekd.imaging.decode import decode
from edgekd.plain import file_digest, to_plain

MALIGNANT = ("mel",)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset.prepare(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def export(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """180 images in nine shards."""
    out = tmp_path_factory.mktemp("export")
    _write(data, out)
    return out


def _write(data: Path, out: Path, workers: int = 1) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "SHARD_RECORDS", 25)
        write_tfrecords(data, out, workers=workers)


def _bytes(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in sorted(folder.iterdir())}


def _parts(dataset: Dataset) -> dict[str, object]:
    return {
        row.image_id: row for part in (dataset.train, dataset.validation, dataset.test) for row in part.rows
    }


def test_every_image_is_in_one_record_with_its_labels(data: Path, export: Path) -> None:
    dataset = open_dataset(data)
    seen = Counter[str]()
    for samples in (dataset.train, dataset.validation, dataset.test):
        place = {row.image_id: number for number, row in enumerate(samples.rows)}
        for path in sorted(export.glob(f"{samples.split}*.tfrec")):
            for _, record in records(path):
                features = parse(record)
                number = place[features["image_name"][0].decode()]
                row = samples.rows[number]
                assert np.array_equal(decode(features["image"][0], ""), samples.images.image(number))
                assert features["target"] == (int(row.malignant),)
                assert features["diagnosis"] == (samples.labels[number],)
                assert features["age_approx"] == (row.age,)
                assert features["sex"] == (("male", "female").index(row.sex),)
                assert features["patient_id"] == features["anatom_site_general_challenge"] == (-1,)
                assert (features["width"], features["height"]) == ((32,), (32,))
                assert json.loads(features["edgekd/row"][0]) == to_plain(row)
                seen[row.image_id] += 1
    assert seen == dict.fromkeys(_parts(dataset), 1)


def test_the_manifest_says_what_is_there(export: Path) -> None:
    manifest = read_manifest(export)
    assert manifest is not None
    files = {shard.file: shard for shard in manifest.shards}
    assert set(files) | {"manifest.json", "codes.json"} == set(_bytes(export))
    assert set(files) >= {"train00000-25.tfrec", "train00002-10.tfrec", "test00001-25.tfrec"}
    assert manifest.counts == {split: {"mel": 20, "nv": 20, "bkl": 20} for split in Split}
    for name, shard in files.items():
        assert shard.sha256 == file_digest(export / name)
        assert shard.size_bytes == (export / name).stat().st_size
        assert shard.records == sum(shard.diagnoses.values())
        # 25 drawn from 20, 20 and 20 by a hash: a shard of one class would be no fair sample.
        assert len(shard.diagnoses) == 3
    assert json.loads((export / "codes.json").read_text())["diagnosis"] == ["mel", "nv", "bkl"]


def test_processes_do_not_change_the_bytes(data: Path, export: Path, tmp_path: Path) -> None:
    _write(data, tmp_path, workers=2)
    assert _bytes(tmp_path) == _bytes(export)


def test_what_a_kill_left_is_finished(data: Path, export: Path, tmp_path: Path) -> None:
    manifest = read_manifest(export)
    assert manifest is not None
    for path in export.glob("*.tfrec"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / ".unfinished").write_text(manifest.key)
    os.utime(tmp_path / "train00000-25.tfrec", ns=(1, 1))
    os.truncate(tmp_path / "train00001-25.tfrec", 1000)
    (tmp_path / "test00000-25.tfrec").unlink()
    (tmp_path / ".test00000-25.tfrec.part").write_bytes(b"half")
    with pytest.raises(DataError, match="the export was interrupted; repeat edgekd data tfrecord"):
        siim.source(tmp_path).rows()
    _write(data, tmp_path)
    assert _bytes(tmp_path) == _bytes(export)
    assert (tmp_path / "train00000-25.tfrec").stat().st_mtime_ns == 1


def test_a_damaged_shard_of_a_finished_export_is_made_again(data: Path, export: Path, tmp_path: Path) -> None:
    _write(data, tmp_path)
    with (tmp_path / "train00000-25.tfrec").open("r+b") as file:
        file.seek(500)
        file.write(b"damage")
    _write(data, tmp_path)
    assert _bytes(tmp_path) == _bytes(export)


_STUCK = """
import itertools, sys, time
from pathlib import Path
from edgekd.data.tfrecord import write
write.SHARD_RECORDS = 25
encode, calls = write._encode, itertools.count()
def stuck(*arguments):
    if next(calls) == 40:
        print("in the second shard", flush=True)
        time.sleep(100)
    return encode(*arguments)
write._encode = stuck
write.write_tfrecords(Path(sys.argv[1]), Path(sys.argv[2]), workers=1)
"""


def test_a_real_kill(data: Path, export: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _STUCK, str(data), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    left = _bytes(tmp_path)
    assert set(left) == {".unfinished", "codes.json", "train00000-25.tfrec", ".train00001-25.tfrec.part"}
    kept = (tmp_path / "train00000-25.tfrec").stat().st_mtime_ns
    _write(data, tmp_path)
    assert _bytes(tmp_path) == _bytes(export)
    assert (tmp_path / "train00000-25.tfrec").stat().st_mtime_ns == kept


def test_nothing_is_overwritten(data: Path, export: Path, tmp_path: Path) -> None:
    before = _bytes(export)
    with pytest.raises(UsageError, match="holds other files already: choose another --out"):
        write_tfrecords(data, export, jpeg=90, workers=1)
    assert _bytes(export) == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files already"):
        write_tfrecords(data, tmp_path, workers=1)
    assert list(_bytes(tmp_path)) == ["notes.txt"]


def test_jpeg_on_request(data: Path, export: Path, tmp_path: Path) -> None:
    manifest = write_tfrecords(data, tmp_path, jpeg=95, workers=1)
    assert (manifest.image, manifest.jpeg_quality) == ("jpeg", 95)
    image = parse(next(records(tmp_path / "train00000-60.tfrec"))[1])["image"][0]
    assert image.startswith(b"\xff\xd8\xff")
    assert decode(image, "").shape == (32, 32, 3)


def test_the_export_is_a_source_with_the_same_rows(data: Path, export: Path) -> None:
    source = siim.source(export, MALIGNANT)
    known = _parts(open_dataset(data))
    rows = source.rows()
    assert [row.image_id for row in rows] == sorted(known)
    for row in rows:
        assert to_plain(row) == {**to_plain(known[row.image_id]), "source": "siim", "path": row.path}


def test_the_export_prepared_again_is_the_same_data_set(data: Path, export: Path, tmp_path: Path) -> None:
    sources = (SourceConfig(name="again", kind=SourceKind.TFRECORD, root=str(export)),)
    px = tiny_dataset.PX
    config = DataConfig(sources=sources, malignant=MALIGNANT, input_px=px, train_px=px, workers=1)
    prepare(config=config, seed=1, out=tmp_path)
    one, other = open_dataset(data), open_dataset(tmp_path)
    assert one.classes == other.classes
    for name in ("train", "validation", "test"):
        first, second = getattr(one, name), getattr(other, name)
        places = {row.image_id: number for number, row in enumerate(first.rows)}
        order = [places[row.image_id] for row in second.rows]
        assert sorted(order) == list(range(len(first)))
        assert np.array_equal(first.images.read(order), second.images.read(range(len(second))))
        assert np.array_equal(first.labels[order], second.labels)


def test_another_choice_of_malignant_is_noticed(export: Path) -> None:
    with pytest.raises(DataError, match=r"diagnosis 'bkl' is malignant by data\.malignant, but target says"):
        siim.source(export, ("mel", "bkl")).rows()


def test_a_missing_shard_is_noticed(data: Path, tmp_path: Path) -> None:
    _write(data, tmp_path)
    (tmp_path / "train00001-25.tfrec").unlink()
    with pytest.raises(DataError, match=r"1 shards of its manifest are missing: train00001-25\.tfrec"):
        siim.source(tmp_path).fingerprint()


def test_a_damaged_manifest_is_noticed(data: Path, tmp_path: Path) -> None:
    _write(data, tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema": "edgekd.tfrecord/1"}')
    with pytest.raises(DataError, match=r"manifest\.json cannot be read: Manifest: missing key"):
        siim.source(tmp_path).rows()


@pytest.mark.real
def test_sex_and_site_are_numbered_in_the_order_of_the_2020_tables(shared: Path) -> None:
    tables = [shared / "data" / "isic_tables" / f"ISIC_2020_{part}.csv" for part in ("train", "test")]
    records = [record.cells for table in tables for record in read_records(table)]
    codes = codes_of([], ())
    for feature, names in (("sex", codes.sex[:2]), (SITE, codes.anatom_site_general_challenge)):
        assert names == tuple(dict.fromkeys(cells[feature] for cells in records if cells[feature]))


def test_neither_reading_nor_writing_loads_tensorflow() -> None:
    code = (
        "import sys, edgekd.data.tfrecord.source, edgekd.data.tfrecord.write as w; "
        "w.serialize({'a': 1}); sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
