"""Making a bundle: whole or not at all, kept when nothing changed, and never in place of something else."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import bundle_data
import pooled_line
import tiny_mlpackage
from bundle_data import CARD, contents, write_model
from edgekd.bundle import make
from edgekd.bundle.check import check, open_bundle
from edgekd.bundle.golden import example_patient
from edgekd.bundle.make import Wishes, write_bundle
from edgekd.bundle.manifest import Platform, Verdict
from edgekd.bundle.pictures import odd_shapes, of_folder, of_run
from edgekd.bundle.source import choose_precision, contents_of_model, contents_of_run
from edgekd.bundle.texts import licence_text
from edgekd.card import ModelCard, read_card
from edgekd.config import DataConfig, Experiment, Precision, SourceConfig, SourceKind, VerifyConfig
from edgekd.errors import ContractError, DataError, ModelError, StorageError, UsageError
from edgekd.imaging.opencv import cv2
from edgekd.patient_input import PatientColumn, PatientInput
from edgekd_converters.export import write_exported
from edgekd_converters.metadata import read_card as read_embedded
from edgekd_converters.metadata import strip_card
from edgekd_converters.verify import verify
from tiny_dataset import PX, prepare

EXPERIMENT = Experiment(
    name="pooled",
    data=DataConfig(
        sources=(SourceConfig(name="synthetic", kind=SourceKind.SYNTHETIC, count=60, image_px=64),),
        input_px=PX,
    ),
    verify=pooled_line.CONFIG,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose files were really verified: int8 passed, fp16 is too far from its twin."""
    root = tmp_path_factory.mktemp("run")
    prepare(root / "data")
    pooled_line.exported(root / "export", Precision.INT8)
    pooled_line.exported(root / "export", Precision.FP16)
    for station in ("distill", "qat"):
        pooled_line.trained(root / station, root / "data")
    verify(
        dataset_folder=root / "data",
        student=root / "distill",
        qat=root / "qat",
        exported=root / "export",
        config=pooled_line.CONFIG,
        out=root / "verify",
    )
    return root


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_file_of_a_run_is_shipped_with_its_completed_card(run: Path, tmp_path: Path) -> None:
    found = contents_of_run(run, EXPERIMENT, Precision.INT8)
    manifest, made = write_bundle(tmp_path / "b", Platform.ANDROID, found, Wishes())
    assert made
    assert (manifest.verdict, manifest.precision) == ("passed", "int8")
    card = read_card(tmp_path / "b" / "card.json")
    verified = read_card(run / "verify" / "int8" / "card.json")
    assert card.operating_point == verified.operating_point
    assert card.operating_point is not None
    verdict = json.loads((run / "verify" / "int8" / "verdict.json").read_text())
    assert card.provenance["artefact_sha256"] == verdict["artefact_sha256"]
    shipped, exported = tmp_path / "b" / "model.tflite", run / "export" / "int8" / "model.tflite"
    assert read_embedded(shipped) == card
    assert strip_card(shipped.read_bytes()) == strip_card(exported.read_bytes())
    assert check(tmp_path / "b").passed


def test_a_file_that_did_not_pass_is_refused_unless_it_is_said_so(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="--unverified"):
        contents_of_run(run, EXPERIMENT, Precision.FP16)
    found = contents_of_run(run, EXPERIMENT, Precision.FP16, unverified=True)
    assert found.verdict is Verdict.FAILED
    write_bundle(tmp_path / "b", Platform.ANDROID, found, Wishes())
    assert json.loads((tmp_path / "b" / "manifest.json").read_text())["verdict"] == "failed"
    assert "**failed**" in (tmp_path / "b" / "README.md").read_text()


def test_a_file_that_is_not_the_one_that_was_verified(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    model = copy / "export" / "int8" / "model.tflite"
    write_exported(model, dataclasses.replace(read_card(model.with_name("card.json")), limits=("other",)))
    with pytest.raises(ContractError, match="not the one that was verified"):
        contents_of_run(copy, EXPERIMENT, Precision.INT8)
    assert contents_of_run(copy, EXPERIMENT, Precision.INT8, unverified=True).verdict is Verdict.NONE
    shutil.rmtree(copy / "verify")
    with pytest.raises(ContractError, match="not verified"):
        contents_of_run(copy, EXPERIMENT, Precision.INT8)
    with pytest.raises(ModelError, match=r"card\.json"):
        contents_of_run(copy, EXPERIMENT, Precision.INT8, unverified=True)


def test_somebodys_model_wants_to_be_called_unverified(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    with pytest.raises(ContractError, match="--unverified"):
        contents_of_model(model, None, unverified=False)
    assert contents_of_model(model, None, unverified=True).verdict is Verdict.NONE
    (tmp_path / "card.json").unlink()
    assert contents_of_model(model, None, unverified=True).card == CARD  # the one inside
    with pytest.raises(ModelError, match="no such model file"):
        contents_of_model(tmp_path / "nothing.tflite", None, unverified=True)


def test_somebodys_bytes_are_passed_on_as_they_are() -> None:
    assert (bundle_data.made() / "model.tflite").read_bytes() == contents().model.read_bytes()


def test_a_second_time_keeps_it_and_a_change_makes_it_anew(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle_data.made(), tmp_path / "b"))
    before = stamps(folder)
    assert write_bundle(folder, Platform.ANDROID, contents(), Wishes())[1] is False  # the same bytes again
    assert stamps(folder) == before
    (folder / "LICENSE").write_text("altered")
    assert write_bundle(folder, Platform.ANDROID, contents(), Wishes())[1] is True
    open_bundle(folder)


def test_a_failure_half_way_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(bundle_data.made(), tmp_path / "b"))
    (folder / "LICENSE").write_text("old")
    before = stamps(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr(make, "write_manifest", full)
    with pytest.raises(StorageError, match="No space left"):
        write_bundle(folder, Platform.ANDROID, contents(), Wishes())
    assert stamps(tmp_path) == before
    assert not list(tmp_path.glob(".*"))


def test_what_a_kill_between_the_renames_left_is_mended(tmp_path: Path) -> None:
    folder, work, old = tmp_path / "b", tmp_path / ".b.tmp", tmp_path / ".b.old"
    work.mkdir()
    (work / "half").write_text("x")
    shutil.copytree(bundle_data.made(), old)
    assert write_bundle(folder, Platform.ANDROID, contents(), Wishes())[1] is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]
    open_bundle(folder)


def test_nothing_else_is_ever_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(b"dear")
    for wishes in (Wishes(), Wishes(force=True)):
        with pytest.raises(UsageError, match="is no bundle"):
            write_bundle(folder, Platform.ANDROID, contents(), wishes)
    assert (folder / "photo.jpg").read_bytes() == b"dear"
    with pytest.raises(UsageError, match="is no bundle"):
        write_bundle(folder / "photo.jpg", Platform.ANDROID, contents(), Wishes(force=True))


def test_files_added_to_a_bundle_are_not_lost_silently(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle_data.made(), tmp_path / "b"))
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds more than its bundle"):
        write_bundle(folder, Platform.ANDROID, contents(), Wishes())
    write_bundle(folder, Platform.ANDROID, contents(), Wishes(force=True))
    assert not (folder / "notes.txt").exists()


def test_the_card_named_takes_the_place_of_the_one_inside(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", dataclasses.replace(CARD, operating_point=None))
    (tmp_path / "whole.json").write_text(CARD.to_json())
    found = contents_of_model(model, tmp_path / "whole.json", unverified=True)
    write_bundle(tmp_path / "b", Platform.ANDROID, found, Wishes())
    result = check(tmp_path / "b")
    assert result.passed, result.problems
    assert read_embedded(tmp_path / "b" / "model.tflite") == read_card(tmp_path / "b" / "card.json")


def test_a_card_without_an_operating_point_is_refused(tmp_path: Path) -> None:
    card = dataclasses.replace(CARD, operating_point=None)
    found = contents_of_model(write_model(tmp_path / "m", card), None, unverified=True)
    with pytest.raises(ContractError, match="no operating point"):
        write_bundle(tmp_path / "b", Platform.ANDROID, found, Wishes())
    assert not (tmp_path / "b").exists()


def test_a_card_of_another_model_is_refused(tmp_path: Path) -> None:
    card = dataclasses.replace(CARD, labels=("mel", "nv"))
    found = contents_of_model(write_model(tmp_path / "m", card), None, unverified=True)
    with pytest.raises(ContractError, match="3 logits for 2 labels"):
        write_bundle(tmp_path / "b", Platform.ANDROID, found, Wishes())


def test_a_package_goes_to_ios_with_its_swift_file_and_says_it_was_not_run(tmp_path: Path) -> None:
    model = tiny_mlpackage.scaled(tmp_path / "model.mlpackage")
    card = dataclasses.replace(CARD, precision="coreml-fp16", input_px=4)
    (tmp_path / "card.json").write_text(card.to_json())
    found = contents_of_model(model, None, unverified=True)
    write_bundle(tmp_path / "b", Platform.IOS, found, Wishes())
    result = check(tmp_path / "b")
    assert result.passed, result.problems
    assert result.golden is not None
    guide = (tmp_path / "b" / "README.md").read_text()
    assert "not run here" in guide
    swift = (tmp_path / "b" / "EdgekdBundle.swift").read_text()
    assert "NOT RUN" in swift
    assert "{{" not in guide + swift
    (tmp_path / "b" / "model.mlpackage" / "Manifest.json").write_text("{}")
    with pytest.raises(ContractError, match=r"model\.mlpackage/Manifest\.json was altered"):
        open_bundle(tmp_path / "b")
    with pytest.raises(ModelError, match=r"android takes a \.tflite"):
        write_bundle(tmp_path / "c", Platform.ANDROID, found, Wishes())


def test_which_file_goes_where() -> None:
    every = tuple(Precision)
    assert choose_precision(Platform.ANDROID, "", every) is Precision.INT8
    assert choose_precision(Platform.ANDROID, "", (Precision.FP32, Precision.COREML_FP16)) is Precision.FP32
    assert choose_precision(Platform.IOS, "", every) is Precision.COREML_FP16
    assert choose_precision(Platform.IOS, "", (Precision.INT8,)) is Precision.COREML_FP16  # made then
    assert choose_precision(Platform.WEB, "fp16", every) is Precision.FP16
    with pytest.raises(UsageError, match=r"ios takes a model\.mlpackage"):
        choose_precision(Platform.IOS, "int8", every)


def test_pictures_of_the_test_split_are_shown_only_where_the_licence_allows(
    run: Path, tmp_path: Path
) -> None:
    shown = of_run(run / "data", EXPERIMENT.data, seed=1)
    assert len(shown) == 8 + len(odd_shapes())
    closed = DataConfig(
        sources=(SourceConfig(name="synthetic", kind=SourceKind.HAM10000, root=str(tmp_path)),), input_px=PX
    )
    assert {picture.origin for picture in of_run(run / "data", closed, seed=1)[:8]} == {"drawn by edgekd"}


def test_golden_pictures_of_ones_own(tmp_path: Path) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (900, 1200, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "large.png"), photo)
    found = of_folder(tmp_path)
    assert found[0].origin == "large.png"
    assert found[0].pixels.shape == (384, 512, 3)
    for folder in (tmp_path / "nowhere", tmp_path / "large.png"):
        with pytest.raises(DataError):
            of_folder(folder)


def test_the_licence_names_model_data_and_code(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("Ask Dr. Example.")
    text = licence_text(CARD, ("isic2017 (isic2017)", "mine (folders)"), tmp_path / "terms.txt")
    assert "Ask Dr. Example." in text
    assert "isic2017 (isic2017): CC0 1.0" in text
    assert "mine (folders): terms not known" in text
    assert "Apache License" in text
    with pytest.raises(ModelError, match="licence text"):
        licence_text(CARD, (), tmp_path / "none.txt")


def test_the_patient_of_a_golden_set_fills_every_field() -> None:
    columns = (
        PatientColumn(name="age", field="age", low=5, high=90),
        PatientColumn(name="sex_f", field="sex", category="female"),
        PatientColumn(name="sex_m", field="sex", category="male"),
    )
    card: ModelCard = dataclasses.replace(CARD, patient=PatientInput(columns=columns))
    assert example_patient(card) == (128, 255, 0)
    assert example_patient(CARD) is None


def test_the_margin_is_that_of_the_run(run: Path) -> None:
    stricter = dataclasses.replace(EXPERIMENT, verify=VerifyConfig(margin=0.01))
    with pytest.raises(ContractError, match="margin"):
        contents_of_run(run, stricter, Precision.INT8)
