"""The reader of synthetic images, and the data station with such a source."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekd.assess import rows_of
from edgekd.config import DataConfig, FitConfig, SourceConfig, SourceKind
from edgekd.data.batches import draws
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.data.detect import detect_kind
from edgekd.data.prepare import prepare
from edgekd.data.source import open_source
from edgekd.data.synthesised import RECORD, TABLE
from edgekd.data.table import Split
from edgekd.errors import DataError
from synthesised_data import made_from, write_synthesised

PICTURES = 60


def write_pictures(root: Path, copies: bool = False) -> Path:
    """Noise pictures, a third melanoma; with `copies` a training nevus is in test too."""
    noise = np.random.default_rng(7)
    for number in range(PICTURES):
        coarse = noise.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC)
        kind, split = "nv" if number % 3 else "mel", ("train", "train", "valid", "test")[number % 4]
        path = root / split / kind / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture)
        if number == 1 and copies:
            (root / "test" / "nv").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / "test" / "nv" / "copy.png"), picture)
    return root


def config(pictures: Path, *made: Path, **changes: object) -> DataConfig:
    sources = [SourceConfig(name="pictures", kind=SourceKind.FOLDERS, root=str(pictures))]
    sources += [
        SourceConfig(name=folder.name, kind=SourceKind.SYNTHESISED, root=str(folder), share=0.5)
        for folder in made
    ]
    return DataConfig(sources=tuple(sources), input_px=32, train_px=40, workers=1, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def plain(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("plain")
    assert prepare(config=config(pictures), seed=1, out=out)["train_synthetic"] == 0
    return open_dataset(out)


def ids(dataset: Dataset, split: Split) -> list[str]:
    return [row.image_id for row in getattr(dataset, split).rows]


@pytest.fixture
def made(plain: Dataset, tmp_path: Path) -> Path:
    """Synthetic images of four training photographs, one of test and one of nowhere."""
    trained = ids(plain, Split.TRAIN)
    parents = [*trained[:4], ids(plain, Split.TEST)[0], "pictures/train/nv/gone"]
    (tmp_path / "made").mkdir()
    rows = [made_from(parent, number) for number, parent in enumerate(parents)]
    return write_synthesised(tmp_path / "made", rows, seen=trained)


def source(folder: Path, malignant: tuple[str, ...] = ("mel",)):
    wanted = SourceConfig(name="made", kind=SourceKind.SYNTHESISED, root=str(folder))
    return open_source(wanted, malignant=malignant, seed=0)


def test_the_reader_gives_marked_training_images(made: Path) -> None:
    reader = source(made)
    rows = reader.rows()
    assert [row.image_id for row in rows] == sorted(row.image_id for row in rows)
    assert {(row.split, row.source, row.diagnosis, row.malignant) for row in rows} == {
        (Split.TRAIN, "made", "mel", True)
    }
    assert all(row.parent and row.image_id.startswith(row.parent) for row in rows)
    assert reader.image(rows[0]).shape == (32, 32, 3)
    before = reader.fingerprint()
    (made / RECORD).write_text((made / RECORD).read_text() + "\n")
    assert reader.fingerprint() != before


def test_train_holds_those_whose_parent_is_there(
    pictures: Path, plain: Dataset, made: Path, tmp_path: Path
) -> None:
    metrics = prepare(config=config(pictures, made), seed=1, out=tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    assert metrics["train_synthetic"] == 4
    assert metrics["train_images"] == len(plain.train) + 4
    synthetic = [row for row in dataset.train.rows if row.parent is not None]
    assert {row.parent for row in synthetic} == set(ids(plain, Split.TRAIN)[:4])
    for split in (Split.VALIDATION, Split.TEST):
        assert ids(dataset, split) == ids(plain, split)
    dropped = json.loads((tmp_path / "data" / "split.json").read_text())["dropped"]
    assert [(one["reason"], one["partner_split"]) for one in dropped] == [
        ("synthesised_from", "test"),
        ("synthesised_from", None),
    ]


@pytest.mark.parametrize(
    "fit",
    [FitConfig(), FitConfig(class_power=0.0), FitConfig(positive_share=0.6)],
    ids=("as is", "equal", "share"),
)
def test_no_way_of_drawing_reaches_a_measured_image(
    fit: FitConfig, pictures: Path, made: Path, tmp_path: Path
) -> None:
    prepare(config=config(pictures, made), seed=1, out=tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    measured = {row.image_id for part in (dataset.validation, dataset.test) for row in part.rows}
    for epoch in range(5):
        shown = draws(dataset.train, fit=fit, shares=dataset.shares, seed=3, epoch=epoch, variants=None)
        rows = [dataset.train.rows[number] for number in shown.index]
        assert any(row.parent for row in rows)
        assert not {name for row in rows for name in (row.image_id, row.parent)} & measured
    assert not any(row.parent for part in (dataset.validation, dataset.test) for row in part.rows)


@pytest.mark.parametrize(
    ("split", "where"),
    [(Split.VALIDATION, "validation"), (Split.TEST, "test"), (None, "not in this data set")],
)
def test_a_generator_that_saw_anything_else_is_refused(
    split: Split | None, where: str, pictures: Path, plain: Dataset, tmp_path: Path
) -> None:
    trained = ids(plain, Split.TRAIN)
    extra = ids(plain, split)[0] if split else "pictures/train/nv/gone"
    (tmp_path / "made").mkdir()
    folder = write_synthesised(tmp_path / "made", [made_from(trained[0], 0)], seen=[*trained, extra])
    with pytest.raises(DataError, match=rf"source made: .* on 1 photographs .*{extra} is {where}"):
        prepare(config=config(pictures, folder), seed=1, out=tmp_path / "data")
    assert not (tmp_path / "data" / "dataset.json").exists()


def test_a_generator_that_saw_the_copy_of_a_test_image_is_refused(tmp_path: Path) -> None:
    """Trained where leaks may stay, used where they may not: the generator knows a copy that must go."""
    pictures = write_pictures(tmp_path / "pictures", copies=True)
    prepare(config=config(pictures, drop_leaks=False), seed=1, out=tmp_path / "leaky")
    trained = ids(open_dataset(tmp_path / "leaky"), Split.TRAIN)
    assert "pictures/train/nv/001" in trained
    (tmp_path / "made").mkdir()
    folder = write_synthesised(tmp_path / "made", [made_from(trained[0], 0)], seen=trained)
    with pytest.raises(DataError, match="pictures/train/nv/001 is left out"):
        prepare(config=config(pictures, folder), seed=1, out=tmp_path / "data")
    prepare(config=config(pictures, folder, drop_leaks=False), seed=1, out=tmp_path / "again")


def cut_the_mark(folder: Path) -> None:
    lines = (folder / TABLE).read_text().splitlines()
    (folder / TABLE).write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")


def remove_an_image(folder: Path) -> None:
    next((folder / "images").iterdir()).unlink()


def spoil_the_record(folder: Path) -> None:
    (folder / RECORD).write_text("{}")


def another_schema(folder: Path) -> None:
    (folder / RECORD).write_text((folder / RECORD).read_text().replace("synthesis/1", "synthesis/9"))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (cut_the_mark, "not the table that synthesis.json speaks of"),
        (remove_an_image, "1 images are gone: images/"),
        (spoil_the_record, r"synthesis\.json: .*missing schema"),
        (another_schema, "schema is 'edgekd.synthesis/9'"),
        (lambda folder: (folder / RECORD).unlink(), r"expected synthesis\.json"),
    ],
)
def test_a_damaged_folder_is_refused(harm, message: str, made: Path) -> None:
    harm(made)
    with pytest.raises(DataError, match=message):
        source(made).rows()


def test_an_unmarked_image_is_refused(tmp_path: Path) -> None:
    row = dataclasses.replace(made_from("a", 0), parent=None)
    write_synthesised(tmp_path, [row], seen=["a"])
    with pytest.raises(DataError, match="has no parent"):
        source(tmp_path).rows()


def test_they_are_found_as_what_they_are(made: Path) -> None:
    assert detect_kind(made) is SourceKind.SYNTHESISED


def test_no_other_reader_takes_them_for_photographs(made: Path) -> None:
    table = SourceConfig(name="table", kind=SourceKind.CSV, root=str(made / TABLE))
    with pytest.raises(DataError, match="line 2: an image made from .* of kind synthesised"):
        open_source(table, malignant=("mel",), seed=0).rows()
    folder = SourceConfig(name="folder", kind=SourceKind.FOLDERS, root=str(made))
    with pytest.raises(DataError, match="expected class folders"):
        open_source(folder, malignant=("mel",), seed=0).rows()


@pytest.mark.parametrize("split", ["all", "train", "test"])
def test_no_model_is_measured_on_them(split: str, made: Path) -> None:
    with pytest.raises(DataError, match="source made holds synthetic images"):
        rows_of(source(made), split)
