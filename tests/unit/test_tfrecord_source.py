"""Shards of the SIIM-ISIC layout as a source: labels, splits, what is not told, and what is refused."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import siim_shards as siim
from edgekd.data.table import Row, Split
from edgekd.data.tfrecord.example import Value
from edgekd.errors import DataError, ImageError
from edgekd.plain import canonical_json, to_plain, write_json

CODES = {
    "sex": ["male", "female"],
    "anatom_site_general_challenge": [
        "head/neck",
        "upper extremity",
        "lower extremity",
        "torso",
        "palms/soles",
        "oral/genital",
    ],
    "diagnosis": ["unknown", "nevus", "melanoma"],
}


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, logger="edgekd"):
        yield caplog


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two labelled shards and one without labels, as they are published."""
    siim.write(tmp_path / "train00-4.tfrec", *(siim.record(number) for number in range(4)))
    siim.write(tmp_path / "train01-2.tfrec", *(siim.record(number) for number in (4, 5)))
    unlabelled = {"target": None, "diagnosis": None}
    siim.write(tmp_path / "test00-2.tfrec", *(siim.record(number, **unlabelled) for number in (6, 7)))
    return tmp_path


def _one(root: Path, **changes: Value | None) -> Row:
    """The row of the record 1 with `changes`, alone in a shard."""
    siim.write(root / "data.tfrecord", siim.record(1, **changes))
    return siim.source(root).rows()[0]


def test_labels_and_splits(shards: Path, heard: pytest.LogCaptureFixture) -> None:
    rows = siim.source(shards).rows()
    assert [row.image_id for row in rows] == [f"ISIC_{number:07d}" for number in range(6)]
    assert [row.malignant for row in rows] == [True, False, False, True, False, False]
    assert {row.split for row in rows} == {Split.TRAIN}
    assert [row.patient for row in rows[:3]] == ["siim/0", "siim/0", "siim/1"]
    assert [row.age for row in rows[:3]] == [30.0, 35.0, 40.0]
    assert "2 of 8 records have no label, left out" in heard.text


def test_numbers_without_codes_stay_unknown(shards: Path, heard: pytest.LogCaptureFixture) -> None:
    rows = siim.source(shards).rows()
    assert {(row.sex, row.site) for row in rows} == {(None, None)}
    assert {row.diagnosis for row in rows} == {"benign", "malignant"}
    assert "no codes.json says what the numbers of 8 records mean" in heard.text


def test_numbers_with_codes_are_words(shards: Path, heard: pytest.LogCaptureFixture) -> None:
    write_json(shards / "codes.json", CODES)
    rows = siim.source(shards).rows()
    assert [row.sex for row in rows[:3]] == ["male", "female", "male"]
    assert [row.site for row in rows[:3]] == ["head/neck", "upper extremity", "lower extremity"]
    assert [row.diagnosis for row in rows[:3]] == ["mel", "nv", "nv"]
    assert "codes.json" not in heard.text


def test_images_come_back(shards: Path) -> None:
    source = siim.source(shards)
    for number, row in enumerate(source.rows()):
        assert np.array_equal(source.image(row), siim.picture(number))


def test_another_process_reads_without_the_rows(shards: Path) -> None:
    source = siim.source(shards)
    row = source.rows()[5]
    data = pickle.dumps(source)
    assert len(data) < 1000
    assert np.array_equal(pickle.loads(data).image(row), siim.picture(5))


def test_folders_divide(tmp_path: Path) -> None:
    for number, name in enumerate(("train", "val", "test")):
        siim.write(tmp_path / name / "part.tfrecord", siim.record(number))
    assert [row.split for row in siim.source(tmp_path).rows()] == list(Split)


@pytest.mark.parametrize("name", ["data-00000-of-00010.tfrecord", "trained.tfrec", "melanoma.tfrecords"])
def test_other_names_divide_nothing(tmp_path: Path, name: str) -> None:
    siim.write(tmp_path / name, siim.record(1))
    assert siim.source(tmp_path).rows()[0].split is None


def test_only_image_name_and_label_are_needed(tmp_path: Path) -> None:
    wanted = ("image", "image_name", "target")
    siim.write(tmp_path / "x.tfrec", {name: siim.record(3)[name] for name in wanted})
    row = siim.source(tmp_path).rows()[0]
    assert (row.diagnosis, row.malignant) == ("malignant", True)
    assert (row.patient, row.lesion, row.age, row.sex, row.site) == (None,) * 5


def test_words_are_read_as_words(tmp_path: Path) -> None:
    row = _one(
        tmp_path,
        diagnosis=b"nevus",
        sex=b"Female",
        anatom_site_general_challenge=b"Torso",
        patient_id=b"IP_1",
    )
    assert (row.diagnosis, row.sex, row.site, row.patient) == ("nv", "female", "torso", "IP_1")


def test_a_word_is_label_enough(tmp_path: Path) -> None:
    assert _one(tmp_path, diagnosis=b"melanoma", target=None).malignant


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        ({"age_approx": -1}, "age"),
        ({"age_approx": float("nan")}, "age"),
        ({"patient_id": -1}, "patient"),
        ({"sex": -1}, "sex"),
        ({"sex": b"unknown"}, "sex"),
    ],
)
def test_unknown_is_unknown(tmp_path: Path, changes: dict[str, Value], unknown: str) -> None:
    assert getattr(_one(tmp_path, **changes), unknown) is None


def test_an_age_may_have_a_fraction_and_be_zero(tmp_path: Path) -> None:
    assert _one(tmp_path, age_approx=45.5).age == 45.5
    assert _one(tmp_path, age_approx=0).age == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": None}, "no feature 'image' with the bytes"),
        ({"image": 5}, "no feature 'image' with the bytes"),
        ({"image_name": None}, "no feature 'image_name'"),
        ({"image_name": b"\xff\xfe"}, "feature 'image_name' is not UTF-8"),
        ({"target": 2}, "target is '2', expected 0 or 1"),
        ({"target": -1}, "target is '-1', expected 0 or 1"),
        ({"age_approx": 400}, "age is '400', expected years from 0 to 120"),
        (
            {"diagnosis": b"melanoma"},
            "diagnosis 'mel' is malignant by data.malignant, but target says benign",
        ),
        ({"diagnosis": b"melanom", "target": None}, "unknown diagnosis 'melanom': did you mean melanoma"),
        ({"sex": b"both"}, "sex is 'both', expected male"),
        ({"edgekd/row": b"{}"}, "'edgekd/row' is no table row: Row: missing image_id"),
        ({"edgekd/row": b"[" * 9999}, "'edgekd/row' is no table row"),
        ({"image_name": b"n" * 70_000}, "'image_name' has 70,000 bytes, expected a word"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, changes: dict[str, Value], message: str) -> None:
    with pytest.raises(DataError, match=r"data\.tfrecord, record 0 \(byte 0\): ") as caught:
        _one(tmp_path, **changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "cells", [{"age": 400}, {"sex": "both"}, {"diagnosis": "wart"}, {"image_id": "other"}]
)
def test_a_row_of_ours_is_looked_at_like_any(tmp_path: Path, cells: dict[str, object]) -> None:
    row = Row(image_id="ISIC_0000001", path="1.jpg", diagnosis="nv", malignant=False, source="mine")
    assert _one(tmp_path, **{"edgekd/row": canonical_json(row).encode()}).diagnosis == "nv"
    wrong = canonical_json({**to_plain(row), **cells}).encode()
    with pytest.raises(DataError, match=r"data\.tfrecord, record 0 \(byte 0\): .*(400|both|wart|other)"):
        _one(tmp_path, **{"edgekd/row": wrong})


def test_a_synthetic_image_keeps_its_parent_and_is_never_measured_on(tmp_path: Path) -> None:
    row = Row(
        image_id="ISIC_0000001", path="1.png", diagnosis="nv", malignant=False, source="mine", parent="ISIC_2"
    )
    record = siim.record(1, **{"edgekd/row": canonical_json(row).encode()})
    siim.write(tmp_path / "train.tfrec", record)
    assert siim.source(tmp_path).rows()[0].parent == "ISIC_2"
    (tmp_path / "train.tfrec").rename(tmp_path / "test.tfrec")
    with pytest.raises(DataError, match=r"test\.tfrec, record 0 \(byte 0\): .*made from ISIC_2"):
        siim.source(tmp_path).rows()


def test_a_number_without_a_name_is_refused(shards: Path) -> None:
    write_json(shards / "codes.json", {**CODES, "sex": ["male"]})
    with pytest.raises(DataError, match=r"record 1 \(byte \d+\): sex is 1, codes\.json has 1 names for it"):
        siim.source(shards).rows()


def test_names_that_come_twice_are_both_named(shards: Path) -> None:
    siim.write(shards / "train02-1.tfrec", siim.record(3))
    with pytest.raises(DataError, match=r"train02-1\.tfrec@0: .*'ISIC_0000003'.*train00-4\.tfrec@\d+"):
        siim.source(shards).rows()


def test_a_shard_with_fewer_records_than_its_name_says(shards: Path) -> None:
    siim.write(shards / "train01-2.tfrec", siim.record(4))
    with pytest.raises(DataError, match=r"train01-2\.tfrec: 1 records, its name says 2: copy the file again"):
        siim.source(shards).rows()


def test_a_shard_without_examples(tmp_path: Path) -> None:
    from edgekd.data.tfrecord.framing import write_record

    with (tmp_path / "x.tfrec").open("wb") as file:
        write_record(file, b"\xff\xff\xff")
    with pytest.raises(DataError, match=r"x\.tfrec, record 0 \(byte 0\): it holds no tf\.train\.Example"):
        siim.source(tmp_path).rows()


def test_half_a_split_is_refused(shards: Path) -> None:
    siim.write(shards / "more.tfrec", siim.record(9))
    with pytest.raises(DataError, match=r"the names of more\.tfrec tell no split, those of others do"):
        siim.source(shards).rows()


def test_no_labels_at_all(tmp_path: Path) -> None:
    siim.write(tmp_path / "test00-1.tfrec", siim.record(1, target=None, diagnosis=None))
    with pytest.raises(DataError, match="none of 1 records has a target or a diagnosis that is known"):
        siim.source(tmp_path).rows()


def test_a_folder_without_shards(tmp_path: Path) -> None:
    (tmp_path / ".train00000-1.tfrec.part").write_bytes(b"")
    with pytest.raises(DataError, match=r"no \*\.tfrec or \*\.tfrecord files in"):
        siim.source(tmp_path).fingerprint()
    with pytest.raises(DataError, match="source siim: no folder"):
        siim.source(tmp_path / "absent").rows()


def test_a_file_changed_since_is_noticed(shards: Path) -> None:
    source = siim.source(shards)
    row = source.rows()[0]
    siim.write(shards / "train00-4.tfrec", *(siim.record(number) for number in (9, 1, 2, 3)))
    with pytest.raises(ImageError, match=r"train00-4\.tfrec@0: the record is no longer that of ISIC_0000000"):
        source.image(row)
    (shards / "train00-4.tfrec").unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        source.image(row)
    assert len(source.rows()) == 2


def test_a_damaged_picture_is_an_image_error(tmp_path: Path) -> None:
    row = _one(tmp_path, image=siim.png(1)[:-20])
    with pytest.raises(ImageError, match=r"data\.tfrecord@0: "):
        siim.source(tmp_path).image(row)


def test_the_fingerprint_reads_no_contents(shards: Path) -> None:
    before = siim.source(shards).fingerprint()
    path = shards / "train00-4.tfrec"
    stat = path.stat()
    path.write_bytes(bytes(stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert siim.source(shards).fingerprint() == before
    os.utime(path, ns=(1, 1))
    assert siim.source(shards).fingerprint() != before


def test_the_fingerprint_knows_the_codes(shards: Path) -> None:
    before = siim.source(shards).fingerprint()
    write_json(shards / "codes.json", CODES)
    assert siim.source(shards).fingerprint() != before
