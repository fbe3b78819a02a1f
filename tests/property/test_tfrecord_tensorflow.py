"""TensorFlow reads what edgekd writes, and edgekd what TensorFlow writes: every byte, value and pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny_dataset
from edgekd import lazy
from edgekd.data.dataset import open_dataset
from edgekd.data.tfrecord.example import parse, serialize
from edgekd.data.tfrecord.framing import records, write_record
from edgekd.data.tfrecord.write import write_tfrecords

pytestmark = pytest.mark.tf

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(width=32, allow_nan=False)
VALUES = st.binary(max_size=30) | INT64 | FLOAT
LISTS = (
    st.lists(st.binary(max_size=9), max_size=4) | st.lists(INT64, max_size=4) | st.lists(FLOAT, max_size=4)
)


@pytest.fixture(scope="module")
def tf() -> Any:
    return lazy.tensorflow()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset.prepare(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def export(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    write_tfrecords(data, out, workers=1)
    return out


def _values(feature: Any) -> tuple[Any, ...]:
    kind = feature.WhichOneof("kind")
    return tuple(getattr(feature, kind).value) if kind else ()


def _message(tf: Any, lists: dict[str, list[Any]]) -> Any:
    example = tf.train.Example()
    for name, values in lists.items():
        feature = example.features.feature[name]
        kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}[type((values or [0])[0])]
        getattr(feature, kind).value.extend(values)
    return example


@given(features=st.dictionaries(st.text(max_size=12), VALUES, max_size=12))
def test_tensorflow_parses_ours(tf: Any, features: dict[str, bytes | int | float]) -> None:
    example = tf.train.Example.FromString(serialize(features))
    found = {name: _values(feature) for name, feature in example.features.feature.items()}
    assert found == {name: (value,) for name, value in features.items()}


@given(lists=st.dictionaries(st.text(max_size=12), LISTS, max_size=8))
def test_we_parse_tensorflow_s(tf: Any, lists: dict[str, list[Any]]) -> None:
    data = _message(tf, lists).SerializeToString()
    assert parse(data) == {name: tuple(values) for name, values in lists.items()}


def test_of_a_name_said_twice_both_take_the_last(tf: Any) -> None:
    data = serialize({"n": b"first"}) + serialize({"n": b"second"})
    assert _values(tf.train.Example.FromString(data).features.feature["n"]) == (b"second",)
    assert parse(data) == {"n": (b"second",)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_the_files_are_equal_byte_for_byte(tf: Any, tmp_path: Path, parts: list[bytes]) -> None:
    ours, theirs = tmp_path / "ours.tfrec", tmp_path / "theirs.tfrec"
    with ours.open("wb") as file, tf.io.TFRecordWriter(str(theirs)) as writer:
        for part in parts:
            write_record(file, part)
            writer.write(part)
    assert ours.read_bytes() == theirs.read_bytes()
    assert [data for _, data in records(theirs)] == parts


def test_tf_data_gives_the_pixels_and_labels(tf: Any, data: Path, export: Path) -> None:
    """With the features and the decoder the published SIIM-ISIC notebooks use."""
    numbers = ("patient_id", "sex", "age_approx", "anatom_site_general_challenge", "diagnosis", "target")
    layout = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "image_name": tf.io.FixedLenFeature([], tf.string),
        **{name: tf.io.FixedLenFeature([], tf.int64) for name in (*numbers, "width", "height")},
    }
    dataset = open_dataset(data)
    for samples in (dataset.train, dataset.validation, dataset.test):
        files = sorted(str(path) for path in export.glob(f"{samples.split}*.tfrec"))
        place = {row.image_id: number for number, row in enumerate(samples.rows)}
        seen = set()
        for record in tf.data.TFRecordDataset(files):
            one = tf.io.parse_single_example(record, layout)
            number = place[one["image_name"].numpy().decode()]
            pixels = samples.images.image(number)
            assert np.array_equal(tf.io.decode_jpeg(one["image"], channels=3).numpy(), pixels)
            assert np.array_equal(tf.io.decode_image(one["image"]).numpy(), pixels)
            assert int(one["target"]) == samples.malignant[number]
            assert int(one["diagnosis"]) == samples.labels[number]
            assert int(one["age_approx"]) == samples.rows[number].age
            seen.add(number)
        assert seen == set(range(len(samples)))


def test_a_shard_tensorflow_wrote_is_a_source(tf: Any, tmp_path: Path) -> None:
    import siim_shards as siim

    with tf.io.TFRecordWriter(str(tmp_path / "train00-6.tfrec")) as writer:
        for number in range(6):
            lists = {name: [value] for name, value in siim.record(number).items()}
            writer.write(_message(tf, lists).SerializeToString())
    source = siim.source(tmp_path)
    rows = source.rows()
    assert [row.malignant for row in rows] == [True, False, False, True, False, False]
    for number, row in enumerate(rows):
        assert np.array_equal(source.image(row), siim.picture(number))
