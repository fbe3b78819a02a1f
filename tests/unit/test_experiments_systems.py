"""The five published systems: their method in the configuration, their trials, and other data sets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgekd.config import (
    DistillMethod,
    Experiment,
    HairRemoval,
    Loss,
    Optimizer,
    PatientField,
    SourceKind,
)
from edgekd.experiments import EXPERIMENTS, load_experiment
from edgekd.experiments.layout import with_first_source_of, with_layout_of
from edgekd.locate import locate_data
from edgekd.models.catalogue import STUDENTS

SYSTEMS = ("adepu2023", "khan2022", "zunair2020", "inception2020", "folders")
HEADINGS = ("Paper", "Data set", "Method", "Corrected", "Command", "Time", "Expect", "Reported")


def head(name: str) -> str:
    import importlib

    return importlib.import_module(f"edgekd.experiments.{name}").__doc__ or ""


def test_all_five_are_experiments() -> None:
    assert set(SYSTEMS) < set(EXPERIMENTS)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_head_says_everything(name: str) -> None:
    lines = head(name).splitlines()
    assert [line[:10].strip() for line in lines[1:] if line[:1].isalpha()] == list(HEADINGS)
    assert f"edgekd run {name} --data-root" in head(name)


@pytest.mark.parametrize(
    ("name", "teacher", "student"),
    [
        ("adepu2023", "efficientnet_b5", "mobilenet_v2"),
        ("khan2022", "resnet50", "dsnet"),
        ("zunair2020", "vgg16", "mobilenet_v2"),
        ("inception2020", "inception_resnet_v2", "mobilenet_v2"),
        ("folders", "densenet161", "mobilenet_v2"),
    ],
)
def test_the_published_network_teaches_one_a_phone_can_run(name: str, teacher: str, student: str) -> None:
    full = load_experiment(name)
    assert full.teach.model.name == teacher
    assert full.distill.model.name == student in STUDENTS


def test_the_published_settings_are_those() -> None:
    adepu, khan, zunair, inception, folders = (load_experiment(name) for name in SYSTEMS)
    assert adepu.data.hair is HairRemoval.ADEPU2023
    assert (adepu.data.input_px, adepu.distill.teacher_weight) == (256, 0.6)
    assert adepu.distill.method is DistillMethod.FOCAL_KL
    for station in (adepu.teach, adepu.distill):
        assert (station.loss, station.focal_alpha, station.focal_gamma) == (Loss.FOCAL, 0.9, 2.0)
        assert station.fit.optimizer is Optimizer.RADAM_LOOKAHEAD
        assert station.fit.augment.cutout_count == 10
        assert station.fit.augment.cutout_fraction * adepu.data.input_px == 12
    assert (khan.distill.temperature, khan.distill.teacher_weight) == (10.0, 0.9)
    assert khan.distill.model.width == 1 and khan.data.input_px == 224
    assert (zunair.teach.loss, zunair.teach.focal_gamma) == (Loss.FOCAL, 2.0)
    assert zunair.teach.fit.optimizer is Optimizer.ADADELTA
    assert inception.data.patient == (PatientField.AGE, PatientField.SEX, PatientField.SITE)
    assert (inception.teach.loss, inception.teach.fit.positive_share) == (Loss.CLASS_WEIGHTED, 0.2)
    assert folders.teach.model.frozen and folders.teach.fit.epochs == 5


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_trial_keeps_the_method(name: str) -> None:
    full, quick = load_experiment(name), load_experiment(name, quick=True)
    assert quick.name == f"{name}-quick" and "generated lesions" in quick.report.title
    assert [source.kind for source in quick.data.sources] == [SourceKind.SYNTHETIC]
    assert (quick.data.hair, quick.data.patient) == (full.data.hair, full.data.patient)
    assert quick.teach.model.frozen == full.teach.model.frozen
    sized = {"model", "fit", "variants"}
    for station in ("teach", "distill"):
        wanted, found = getattr(full, station), getattr(quick, station)
        for field in dataclasses.fields(wanted):
            if field.name not in sized:
                assert getattr(found, field.name) == getattr(wanted, field.name), field.name
        for part in ("optimizer", "augment", "class_power", "positive_share", "label_smoothing"):
            assert getattr(found.fit, part) == getattr(wanted.fit, part), part


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_trial_says_which_network_stands_in(name: str) -> None:
    full, quick = load_experiment(name), load_experiment(name, quick=True)
    for station in ("teach", "distill"):
        if getattr(full, station).model.name != getattr(quick, station).model.name:
            assert "in place of" in quick.report.title
    assert "stand" in head(name) or "in place of" not in quick.report.title


def laid_out(root: Path, mark: str) -> Path:
    (root / "images").mkdir(parents=True)
    (root / mark).write_text("", encoding="utf-8")
    return root


@pytest.mark.parametrize("name", SYSTEMS)
def test_another_data_set_is_recognised_and_its_method_kept(name: str, tmp_path: Path) -> None:
    full = load_experiment(name)
    root = laid_out(tmp_path / "anything", "HAM10000_metadata.csv")
    changed = with_layout_of(full, root)
    first, *others = changed.data.sources
    assert (first.name, first.kind) == ("ham10000", SourceKind.HAM10000)
    assert others == list(full.data.sources[1:])
    same = dataclasses.replace(changed, data=full.data)
    assert same == full
    assert locate_data(changed, root).data.sources[0].root == str(root.resolve())


def test_a_folder_of_its_own_layout_or_of_none_changes_nothing(tmp_path: Path) -> None:
    full = load_experiment("zunair2020")
    own = laid_out(tmp_path / "own", "ISBI2016_ISIC_Part3_Test_GroundTruth.csv")
    for root in (own, tmp_path, tmp_path / "absent", None):
        assert with_layout_of(full, root) is full


def test_a_source_is_not_named_twice(tmp_path: Path) -> None:
    root = laid_out(tmp_path / "x", "HAM10000_metadata.csv")
    changed = with_layout_of(load_experiment("isic2017"), root)
    assert [source.name for source in changed.data.sources] == ["ham10000"]


def test_generated_lesions_have_no_layout(tmp_path: Path) -> None:
    quick = load_experiment("khan2022", quick=True)
    assert with_layout_of(quick, laid_out(tmp_path / "x", "HAM10000_metadata.csv")) is quick


def known(experiment: Experiment, tmp_path: Path) -> Experiment:
    root = laid_out(tmp_path / "ham", "HAM10000_metadata.csv")
    return locate_data(with_layout_of(experiment, root), root)


def test_a_second_run_remembers_the_data_of_the_first(tmp_path: Path) -> None:
    full = load_experiment("khan2022")
    again = with_first_source_of(full, known(full, tmp_path))
    assert again.data.sources[0].kind is SourceKind.HAM10000
    assert with_first_source_of(again, full).data.sources == full.data.sources
    other = dataclasses.replace(known(full, tmp_path / "b"), name="another")
    assert with_first_source_of(full, other) is full
