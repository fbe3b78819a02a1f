"""TFRecord framing: what is written comes back, and every damage is named before anything is allocated."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
from pathlib import Path

import pytest

from edgekd.data.tfrecord import framing
from edgekd.errors import DataError

PARTS = (b"first", b"", b"\x00\xff" * 40)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "shard.tfrec"
    with path.open("wb") as file:
        for part in PARTS:
            framing.write_record(file, part)
    return path


def _head(length: int) -> bytes:
    """The beginning of a record of `length` bytes, its checksum right."""
    packed = struct.pack("<Q", length)
    file = io.BytesIO()
    framing.write_record(file, packed)  # the checksum of these eight bytes stands behind them
    return packed + file.getvalue()[-4:]


def test_records_come_back_with_their_places(shard: Path) -> None:
    found = list(framing.records(shard))
    assert [data for _, data in found] == list(PARTS)
    assert [begin for begin, _ in found] == [0, 16 + 5, 16 + 5 + 16]
    assert [framing.record_at(shard, begin) for begin, _ in found] == list(PARTS)


def test_the_bytes_are_tensorflow_s(shard: Path) -> None:
    # What tf.io.TFRecordWriter of TensorFlow 2.21 writes for b"first".
    assert shard.read_bytes()[:21].hex() == "0500000000000000eab2043e666972737455ff23e5"


def test_every_damaged_byte_is_noticed(shard: Path) -> None:
    whole = shard.read_bytes()
    for place in range(len(whole)):
        shard.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(DataError, match=r"shard\.tfrec, record [012] \(byte \d+\): .*checksum"):
            list(framing.records(shard))


def test_every_cut_inside_a_record_is_noticed(shard: Path) -> None:
    whole = shard.read_bytes()
    ends = {21, 37}
    for length in set(range(len(whole))) - ends:
        shard.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut off: .*copy the file again"):
            list(framing.records(shard))


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, framing.MAX_BYTES + 1])
def test_a_hostile_length_is_refused_by_the_limit(tmp_path: Path, length: int) -> None:
    path = tmp_path / "hostile.tfrec"
    path.write_bytes(_head(length) + b"\0" * 64)
    with pytest.raises(DataError, match=r"record 0 \(byte 0\): a record of [\d,]+ bytes, the limit is"):
        list(framing.records(path))


def test_a_length_beyond_the_end_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hostile.tfrec"
    path.write_bytes(_head(framing.MAX_BYTES) + b"\0" * 64)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"cut off: a record of [\d,]+ bytes, 64 are left"):
        list(framing.records(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_other_files_are_told_apart(tmp_path: Path, shard: Path) -> None:
    packed = tmp_path / "packed.tfrec"
    packed.write_bytes(gzip.compress(shard.read_bytes()))
    with pytest.raises(DataError, match="gzip data, unpack it first"):
        list(framing.records(packed))
    packed.write_bytes(b"image_name,target\nISIC_0000001,0\n")
    with pytest.raises(DataError, match="damaged, or no TFRecord file"):
        list(framing.records(packed))
    packed.write_bytes(b"")
    with pytest.raises(DataError, match="cut off: 0 bytes left"):
        list(framing.records(packed))
    with pytest.raises(DataError, match=r"absent\.tfrec: cannot read the file \(No such file"):
        list(framing.records(tmp_path / "absent.tfrec"))


@pytest.mark.parametrize("begin", [1, 20, 1000])
def test_no_record_begins_elsewhere(shard: Path, begin: int) -> None:
    with pytest.raises(ValueError, match="checksum|cut off"):
        framing.record_at(shard, begin)
