"""Whatever bytes stand in a shard, reading gives rows and images, or an error of one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import siim_shards as siim
from edgekd.data.tfrecord.example import parse, serialize
from edgekd.data.tfrecord.framing import records, write_record
from edgekd.errors import DataError, ImageError
from edgekd.plain import canonical_json

INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = st.binary(max_size=30) | INT64 | st.floats(width=32, allow_nan=False)
FEATURES = st.dictionaries(st.text(max_size=12), VALUES, max_size=12)
NAMES = (*siim.record(0), "edgekd/row")
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def _rows_or_refused(root: Path) -> None:
    source = siim.source(root)
    try:
        rows = source.rows()
    except DataError as error:
        assert str(root) in str(error)
        assert "\n" not in str(error)
        return
    for row in rows:
        try:
            image = source.image(row)
        except ImageError as error:
            assert "\n" not in str(error)
        else:
            assert image.shape[2] == 3


@given(features=FEATURES)
def test_features_come_back(features: dict[str, bytes | int | float]) -> None:
    assert parse(serialize(features)) == {name: (value,) for name, value in features.items()}


@given(features=FEATURES)
def test_equal_features_are_equal_bytes(features: dict[str, bytes | int | float]) -> None:
    turned = dict(reversed(list(features.items())))
    assert serialize(features) == serialize(turned)


@given(value=st.integers(2**63, 2**70))
def test_a_number_too_large_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="range"):
        serialize({"n": value})


@shared_folder
@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_records_come_back(tmp_path: Path, parts: list[bytes]) -> None:
    with (tmp_path / "x.tfrec").open("wb") as file:
        for part in parts:
            write_record(file, part)
    assert [data for _, data in records(tmp_path / "x.tfrec")] == parts


@shared_folder
@given(data=st.data())
def test_a_shard_cut_changed_and_stuffed(tmp_path: Path, data: st.DataObject) -> None:
    path = siim.write(tmp_path / "x.tfrec", *(siim.record(number) for number in range(2)))
    whole = bytearray(path.read_bytes())
    for place, value in data.draw(
        st.dictionaries(st.integers(0, len(whole) - 1), st.integers(0, 255), max_size=3)
    ).items():
        whole[place] = value
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    stuffing = data.draw(st.binary(max_size=20))
    for damaged in (whole, whole[:first] + stuffing + whole[last:], whole[:last] + stuffing + whole[first:]):
        path.write_bytes(damaged)
        _rows_or_refused(tmp_path)


@shared_folder
@given(data=st.data())
def test_a_message_cut_changed_and_stuffed_under_right_checksums(tmp_path: Path, data: st.DataObject) -> None:
    whole = serialize(siim.record(0))
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    damaged = whole[:first] + data.draw(st.binary(max_size=20)) + whole[last:]
    with (tmp_path / "x.tfrec").open("wb") as file:
        write_record(file, damaged)
    _rows_or_refused(tmp_path)


@shared_folder
@given(changes=st.dictionaries(st.sampled_from(NAMES), VALUES | st.none(), max_size=4))
def test_any_value_of_any_feature(tmp_path: Path, changes: dict[str, bytes | int | float | None]) -> None:
    siim.write(tmp_path / "x.tfrec", siim.record(0, **changes))
    _rows_or_refused(tmp_path)


_CELLS = (
    "image_id",
    "diagnosis",
    "malignant",
    "patient",
    "age",
    "sex",
    "site",
    "split",
    "source",
    "path",
    "x",
)
_JSON = st.none() | st.booleans() | st.integers(-5, 200) | st.floats() | st.text(max_size=5) | st.just([])


@shared_folder
@given(changes=st.dictionaries(st.sampled_from(_CELLS), _JSON, max_size=4))
def test_any_cell_of_a_row(tmp_path: Path, changes: dict[str, object]) -> None:
    row: dict[str, object] = {
        "image_id": "ISIC_0000000",
        "path": "a.jpg",
        "diagnosis": "mel",
        "malignant": True,
        "source": "isic2020",
    }
    try:
        text = canonical_json({**row, **changes})
    except ValueError:  # JSON knows no NaN; Python's reader does
        text = canonical_json(row)[:-1] + ',"age":NaN}'
    siim.write(tmp_path / "x.tfrec", siim.record(0, **{"edgekd/row": text.encode()}))
    _rows_or_refused(tmp_path)
