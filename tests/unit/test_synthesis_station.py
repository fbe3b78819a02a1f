"""`edgekd data synthesise` on generated lesions: it trains, goes on after a kill, leaves marked images."""

from __future__ import annotations

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest

from edgekd.config import DataConfig, Experiment, SourceConfig, SourceKind
from edgekd.data.dataset import open_dataset
from edgekd.data.table import Split, read_table
from edgekd.errors import ContractError, UnknownNameError, UsageError
from edgekd.plain import file_digest
from edgekd.runs import Run
from training_data import write_dataset

pytestmark = pytest.mark.tf

SETTINGS = [
    "width=0.0625",
    "blocks=1",
    "batch_size=4",
    "images_per_epoch=32",
    "learning_rate=0.002",
    "pool=6",
]
DATA = DataConfig(
    sources=(SourceConfig(name="drawn", kind=SourceKind.SYNTHETIC, count=120, image_px=48),),
    malignant=("mel",),
    input_px=32,
    train_px=40,
    workers=1,
)


def prepared(root, data=DATA):
    from edgekd import pipeline

    run = Run(root)
    with run.locked():
        records = pipeline.make(run, Experiment(name="drawn", data=data), pipeline.Station.DATA)
    return run, records[pipeline.Station.DATA]["metrics"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("run"))[0]


def command(run, out, **options):
    from edgekd.cli.synthesise import synthesise

    synthesise(run.root, **{"out": out, "epochs": 3, "px": 32, "settings": SETTINGS, **options})


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    command(run, out)
    return out


def digests(folder):
    skipped = {"timing.jsonl", ".lock"}
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in skipped)
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def test_the_images_balance_the_classes_and_are_marked(run, made):
    dataset = open_dataset(run.folder("data"))
    rows = read_table(made / "table.csv")
    malignant = int(dataset.train.malignant.sum())
    assert len(rows) + malignant == len(dataset.train) - malignant
    parents = {row.image_id: row for row in dataset.train.rows if not row.malignant}
    for row in rows:
        parent = parents.pop(row.parent)
        assert (row.patient, row.lesion) == (parent.patient, parent.lesion)
        assert (row.diagnosis, row.malignant, row.split) == ("mel", True, Split.TRAIN)
        assert cv2.imread(str(made / row.path)).shape == (32, 32, 3)


def test_the_record_says_how_they_came_about(run, made):
    from edgekd.data.synthesised import read_record

    dataset = open_dataset(run.folder("data"))
    record = read_record(made)
    assert record.generator_sha256 == file_digest(made / "generator.keras")
    assert record.table_sha256 == file_digest(made / "table.csv")
    split = json.loads((run.folder("data") / "split.json").read_text())
    assert record.train_ids_sha256 == split["ids_sha256"]["train"]
    learnt = [row.image_id for row in dataset.train.rows if row.diagnosis != "bkl" or not row.malignant]
    assert record.seen == tuple(sorted(learnt))
    assert (record.run, record.px, record.epochs, record.steps, record.seed) == ("drawn", 32, 3, 24, 1)
    assert record.config["cycle_weight"] == 10
    assert {"tensorflow", "tf-keras"} <= record.tools.keys()


def test_it_learns(made):
    epochs = [json.loads(line) for line in (made / "metrics.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    first, *_, last = (epoch["losses"] for epoch in epochs)
    assert last["cycle"] < first["cycle"]
    assert last["identity"] < first["identity"]
    assert all(np.isfinite(list(epoch["losses"].values())).all() for epoch in epochs)
    # The rate of step 24 of 24: one step is left of the twelve it falls over.
    assert epochs[-1]["learning_rate"] == pytest.approx(0.002 / 12)


def test_every_epoch_leaves_a_grid_and_nothing_else_stays(made):
    names = {path.name for path in made.iterdir()}
    images = {
        "images",
        "samples",
        "table.csv",
        "synthesis.json",
        "generator.keras",
        "generator.json",
        "backward.keras",
    }
    assert names == images | {"metrics.jsonl", "timing.jsonl", ".lock"}
    grids = sorted(path.name for path in (made / "samples").iterdir())
    assert grids == [f"epoch_000{number}.png" for number in (1, 2, 3)]
    sheet = cv2.imread(str(made / "samples" / grids[-1]))
    assert sheet.shape == (6 * 130 + 2, 3 * 130 + 2, 3)


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bytes(run, made, tmp_path, monkeypatch):
    from edgekd.training.synthesis.gan import CycleGan

    step, steps = CycleGan.step, iter(range(11))

    def killed(self, *arguments):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CycleGan, "step", killed)
        command(run, tmp_path)
    assert not (tmp_path / "synthesis.json").exists()
    assert (tmp_path / "checkpoint").is_dir()
    command(run, tmp_path)
    assert digests(tmp_path) == digests(made)


@pytest.mark.slow
def test_minutes_end_it_after_an_epoch_and_the_next_command_goes_on(run, tmp_path, capsys):
    command(run, tmp_path, epochs=2, minutes=1e-9, as_json=True)
    first = capsys.readouterr()
    assert json.loads(first.out) is None
    assert "not whole yet; repeat the command" in first.err
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    command(run, tmp_path, epochs=2, minutes=1e-9, as_json=True)
    second = capsys.readouterr()
    assert json.loads(second.out)["epochs"] == 2
    assert "going on after epoch 1" in second.err


def test_what_is_there_is_kept_and_another_count_needs_no_training(run, made, tmp_path, monkeypatch, capsys):
    from edgekd.training.synthesis.gan import CycleGan

    shutil.copytree(made, tmp_path / "made")
    monkeypatch.setattr(CycleGan, "step", None)
    before = digests(tmp_path / "made")
    command(run, tmp_path / "made", balance=True)
    assert digests(tmp_path / "made") == before
    capsys.readouterr()
    command(run, tmp_path / "made", count=3, as_json=True)
    assert json.loads(capsys.readouterr().out)["images"] == 3
    rows = read_table(tmp_path / "made" / "table.csv")
    assert [row.path for row in sorted(rows, key=lambda row: row.path)] == [
        f"images/00000{number}.png" for number in range(3)
    ]
    same = {name: before[name] for name in ("generator.keras", "images/000000.png", "images/000002.png")}
    assert digests(tmp_path / "made").items() >= same.items()
    with pytest.raises(UsageError, match="holds images of another training"):
        command(run, tmp_path / "made", epochs=4)


def test_they_join_the_run_they_were_made_from(made, tmp_path):
    source = SourceConfig(name="made", kind=SourceKind.SYNTHESISED, root=str(made), share=0.5)
    data = dataclasses.replace(DATA, sources=(*DATA.sources, source))
    run, metrics = prepared(tmp_path, data)
    assert metrics["train_synthetic"] == len(read_table(made / "table.csv"))
    assert metrics["train_malignant"] * 2 == metrics["train_images"]
    dataset = open_dataset(run.folder("data"))
    assert not any(row.parent for part in (dataset.validation, dataset.test) for row in part.rows)
    # A generator trained on such a run sees photographs only.
    from edgekd.training.synthesis.train import find_kinds

    kinds = find_kinds(dataset, "")
    assert not any("+mel" in name for name in kinds.ids())


@pytest.mark.slow
def test_a_training_that_diverges_says_so(run, tmp_path):
    with pytest.raises(ContractError, match="training diverged; lower learning_rate"):
        command(run, tmp_path, settings=[*SETTINGS, "learning_rate=1e30"])
    assert not (tmp_path / "synthesis.json").exists()


def test_contradictions_are_refused(run, tmp_path):
    with pytest.raises(UsageError, match="--balance and --count"):
        command(run, tmp_path, balance=True, count=3)
    with pytest.raises(UnknownNameError, match="unknown malignant diagnosis 'nv'"):
        command(run, tmp_path, settings=["diagnosis=nv"])
    with pytest.raises(UsageError, match="10000 images wanted of"):
        command(run, tmp_path, count=10_000)
    with pytest.raises(UnknownNameError, match="did you mean width"):
        command(run, tmp_path, settings=["widht=2"])


def test_where_only_malignant_is_known_that_is_what_is_made(tmp_path):
    from edgekd.training.synthesis.train import find_kinds

    dataset = write_dataset(tmp_path, classes=("mel", "nv"))
    binary = dataclasses.replace(dataset, classes=("malignant", "benign"), malignant=("malignant",))
    assert find_kinds(binary, "").diagnosis == "malignant"
    kinds = find_kinds(dataset, "mel")
    assert (len(kinds.malignant), len(kinds.benign)) == (24, 24)
