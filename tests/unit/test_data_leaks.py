"""Near-identical pictures, the links between images, and the audit."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data import signature as module
from edgekd.data.audit import (
    AuditRecord,
    ImageFacts,
    audit,
    audit_tables,
    gather_facts,
    inspect_image,
    links_of,
)
from edgekd.data.leaks import Link, Reason, leak_drops
from edgekd.data.signature import near_pairs, signature, turn
from edgekd.data.source import open_source
from edgekd.data.split import assign_splits, split_record
from edgekd.data.table import Row, Split
from edgekd.errors import ImageError
from edgekd.plain import from_plain, to_plain
from skin_pictures import picture

Image = NDArray[np.uint8]


def jpeg(image: Image) -> Image:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)


COPIES = {
    "resized": lambda image: cv2.resize(image, (301, 211), interpolation=cv2.INTER_CUBIC),
    "jpeg": jpeg,
    "darker": lambda image: (image * 0.7 + 12).astype(np.uint8),
    "redder": lambda image: np.clip(image * np.array([1.2, 0.9, 0.8]), 0, 255).astype(np.uint8),
    "gamma": lambda image: (255 * (image / 255) ** 1.5).astype(np.uint8),
    "mirrored": lambda image: image[:, ::-1],
    "turned": lambda image: np.rot90(image, 3),
    "turned and mirrored": lambda image: np.rot90(image)[::-1],
    "cropped": lambda image: image[6:-4, 9:-2],
}
PICTURES = [picture(seed) for seed in range(40)]


@pytest.mark.parametrize("name", COPIES)
def test_a_changed_copy_is_found_and_nothing_else(name: str) -> None:
    images = [*PICTURES, COPIES[name](PICTURES[7]), COPIES[name](PICTURES[23])]
    ids = [f"{number:02d}" for number in range(len(images))]
    found = near_pairs(np.stack([signature(image) for image in images]), ids)
    assert {(pair.first, pair.second) for pair in found} == {("07", "40"), ("23", "41")}


def test_the_search_in_cells_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    signatures = np.stack([signature(image) for image in (*PICTURES, *(jpeg(image) for image in PICTURES))])
    ids = [f"{number:02d}" for number in range(len(signatures))]
    every = near_pairs(signatures, ids)
    assert len(every) == len(PICTURES)
    monkeypatch.setattr(module, "_ONE_CELL", 10)
    assert near_pairs(signatures, ids) == every


def test_order_does_not_matter() -> None:
    signatures = np.stack([signature(image) for image in (*PICTURES[:9], jpeg(PICTURES[3]), PICTURES[4])])
    ids = [f"{number:02d}" for number in range(len(signatures))]
    mixed = np.random.default_rng(1).permutation(len(ids))
    assert near_pairs(signatures[mixed], [ids[n] for n in mixed]) == near_pairs(signatures, ids)


def test_many_copies_are_all_connected() -> None:
    rng = np.random.default_rng(3)
    copies = [
        np.clip(PICTURES[0] + rng.normal(0, 6, PICTURES[0].shape), 0, 255).astype(np.uint8) for _ in range(30)
    ]
    facts = [inspect_image(image, f"{n:02d}") for n, image in enumerate(copies)]
    rows = [row(f"{n:02d}", Split.TEST if n == 29 else Split.TRAIN) for n in range(30)]
    assert len(leak_drops(rows, links_of(facts))) == 29


def test_spectrum_turns_with_the_image() -> None:
    thumbnails = np.stack([signature(image) for image in PICTURES[:3]])
    spectra = module._spectra(thumbnails, 0)
    for orientation in range(8):
        turned = np.stack([turn(one, orientation) for one in thumbnails])
        # A sum of 1,024 float32 products of unit length: 1,024 · 2⁻²⁴.
        upright = module._features(module._spectra(turned, 0), 0)
        np.testing.assert_allclose(upright, module._features(spectra, orientation), atol=1e-4)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_images_are_no_pair(value: int) -> None:
    rng = np.random.default_rng(0)
    flat = np.full((2, 32, 32), value, np.uint8)
    flat[1, rng.integers(32), rng.integers(32)] ^= 1
    assert near_pairs(flat, ("a", "b")) == ()


def test_no_image_and_one_image_are_no_pair() -> None:
    assert near_pairs(np.zeros((0, 32, 32), np.uint8), ()) == ()
    assert near_pairs(np.zeros((1, 32, 32), np.uint8), ("a",)) == ()
    assert links_of(()) == ()


def row(image_id: str, split: Split | None, **more: object) -> Row:
    about = {"path": f"{image_id}.jpg", "diagnosis": "nv", "malignant": False, "source": "s", **more}
    return Row(image_id=image_id, split=split, **about)  # type: ignore[arg-type]


def near(first: str, second: str) -> Link:
    return Link(first=first, second=second, reason=Reason.NEAR_IDENTICAL, distance=0.125)


def test_the_lower_side_of_a_leak_goes() -> None:
    rows = [row("a", Split.TRAIN), row("b", Split.TEST), row("c", Split.VALIDATION), row("d", None)]
    (dropped,) = leak_drops(rows[:2], [near("a", "b")])
    assert (dropped.image_id, dropped.partner, dropped.distance) == ("a", "b", 0.125)
    assert [one.image_id for one in leak_drops(rows, [near("b", "c"), near("a", "c")])] == ["a", "c"]
    assert leak_drops(rows, [near("a", "d"), near("b", "d")])[0].image_id == "a"
    assert leak_drops(rows, []) == ()


def test_a_chain_of_reasons_is_a_leak() -> None:
    rows = [row("a", Split.TRAIN, lesion="l"), row("b", Split.TRAIN, lesion="l"), row("c", Split.TEST)]
    first, second = leak_drops(rows, [near("b", "c")])
    assert (first.image_id, first.reason, first.partner) == ("a", Reason.CONNECTED, "c")
    assert (second.image_id, second.reason, second.partner) == ("b", Reason.NEAR_IDENTICAL, "c")


@pytest.mark.parametrize(
    ("name", "reason"), [("lesion", Reason.SAME_LESION), ("patient", Reason.SAME_PATIENT)]
)
def test_a_patient_or_lesion_in_two_splits_is_a_leak(name: str, reason: Reason) -> None:
    rows = [row("a", Split.TRAIN, **{name: "1"}), row("b", Split.VALIDATION, **{name: "1"})]
    (dropped,) = leak_drops(rows, [])
    assert (dropped.image_id, dropped.reason, dropped.distance) == ("a", reason, None)


def test_facts_of_an_image() -> None:
    facts = inspect_image(PICTURES[0][:, :100], "x")
    assert (facts.width, facts.height, facts.image_id) == (100, 160, "x")
    assert facts.thumbnail().shape == (32, 32)
    assert from_plain(ImageFacts, json.loads(json.dumps(to_plain(facts)))) == facts
    assert (
        inspect_image(PICTURES[0].reshape(80, 320, 3), "x").sha256 != inspect_image(PICTURES[0], "x").sha256
    )


def test_the_audit_tells_everything() -> None:
    images = [PICTURES[0], PICTURES[0], jpeg(PICTURES[0]), PICTURES[1], np.full((300, 900, 3), 4, np.uint8)]
    facts = [inspect_image(image, f"{n}") for n, image in enumerate(images)]
    facts.append(ImageFacts(image_id="5", error="damaged"))
    splits = (Split.TRAIN, Split.TEST, Split.TRAIN, Split.TRAIN, None, None)
    rows = [row(f"{n}", split, age=20.0 * n, sex="female") for n, split in enumerate(splits)]
    rows[2] = row("2", Split.TRAIN, diagnosis="mel", malignant=True)
    rows.append(row("0", Split.TEST, source="t"))
    facts.append(facts[0])
    record = audit(rows, facts)
    assert [one.reason for one in record.unreadable] == ["damaged"]
    assert "nearly black" in record.suspicious[4].reason
    assert "long: 900 × 300 pixels" in record.suspicious[4].reason
    assert record.suspicious[0].reason == "small: 160 × 160 pixels, it will be enlarged"
    assert record.suspicious[-1].reason == "its id is also in s"
    assert record.identical == (("0", "1"),)
    assert [(one.first, one.second, one.dropped) for one in record.leaks if one.distance is None] == [
        ("0", "1", "0")
    ]
    assert {(one.first_diagnosis, one.second_diagnosis) for one in record.contradictions} == {("nv", "mel")}
    assert record.counts["train"] == {"mel": 1, "nv": 2}
    assert record.counts["undivided"] == {"mel": 0, "nv": 2}
    assert record.sources["s"].ages == {"0-29": 2, "50-69": 1, "70+": 2, "unknown": 1}
    assert record.sources["s"].missing["sex"] == round(1 / 6, 4)
    assert from_plain(AuditRecord, json.loads(json.dumps(to_plain(record)))) == record
    for title, columns, lines in audit_tables(record):
        assert title
        assert all(len(line) == len(columns) for line in lines)


class Half:
    """A source every other image of which is damaged."""

    name = "half"

    def rows(self) -> tuple[Row, ...]:
        return tuple(row(str(n), None) for n in range(40))

    def image(self, wanted: Row) -> Image:
        if int(wanted.image_id) % 2:
            raise ImageError(wanted.path, "damaged")
        return PICTURES[int(wanted.image_id)]

    def fingerprint(self) -> str:
        return ""


def test_facts_come_in_order_with_what_is_unreadable() -> None:
    source = Half()
    facts = gather_facts(source, source.rows(), workers=1)
    assert [one.image_id for one in facts] == [one.image_id for one in source.rows()]
    assert [one.error for one in facts] == ["", "damaged"] * 20


KNOWN = {
    "ISIC_0012271": "ISIC_0016018",
    "ISIC_0012175": "ISIC_0015982",
    "ISIC_0013163": "ISIC_0013109",
    "ISIC_0012887": "ISIC_0012989",
    "ISIC_0012970": "ISIC_0012127",
    "ISIC_0012221": "ISIC_0016002",
}
"""The published leaks of ISIC 2017: left out (train or validation) and its twin."""


@pytest.mark.real
@pytest.mark.slow
def test_the_known_leaks_of_isic2017_are_dropped(shared: Path) -> None:
    config = SourceConfig(name="isic", kind=SourceKind.ISIC2017, root=str(shared / "data" / "isic2017"))
    source = open_source(config, malignant=("mel",), seed=1)
    rows = assign_splits(source.rows(), DataConfig(sources=(config,)), 1).rows
    links = links_of(gather_facts(source, rows, workers=2))
    dropped = {one.image_id: one for one in leak_drops(rows, links)}
    assert {name: dropped[name].partner for name in KNOWN} == KNOWN
    assert {one.split for one in dropped.values()} == {Split.TRAIN, Split.VALIDATION}
    # Slides scanned twice (colours, crops and turns differ), all looked at, besides the known ones.
    assert 28 <= len(dropped) <= 34
    kept = [one for one in rows if one.image_id not in dropped]
    record = split_record(kept, tuple(dropped.values()), links, 1)
    assert record.disjointness.statement.startswith("train, validation and test share nothing")
