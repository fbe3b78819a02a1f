"""`--set` and JSON of configurations."""

from __future__ import annotations

import json

import pytest

from edgekd.config import (
    DataConfig,
    DistillMethod,
    Experiment,
    FitConfig,
    Precision,
    SourceConfig,
    SourceKind,
)
from edgekd.errors import UnknownNameError, UsageError
from edgekd.experiments import EXPERIMENTS, load_experiment
from edgekd.plain import canonical_json, digest, from_plain
from edgekd.settings import apply_settings


@pytest.fixture
def experiment() -> Experiment:
    sources = (
        SourceConfig(name="a", kind=SourceKind.SYNTHETIC, count=5, image_px=64),
        SourceConfig(name="b", kind=SourceKind.FOLDERS, root="/data"),
    )
    return Experiment(name="trial", data=DataConfig(sources=sources))


def test_every_field_type_is_parsed(experiment: Experiment) -> None:
    changed = apply_settings(
        experiment,
        [
            "seed=7",
            "distill.method=dist",
            "teach.fit.learning_rate=0.01",
            "teach.fit.augment.flips=no",
            "bench.threads=1,2,4",
            "export.precisions=int8,fp16",
            "data.sources.b.share=2",
        ],
    )
    assert changed.seed == 7
    assert changed.distill.method is DistillMethod.DIST
    assert changed.teach.fit.learning_rate == 0.01
    assert changed.teach.fit.augment.flips is False
    assert changed.bench.threads == (1, 2, 4)
    assert changed.export.precisions == (Precision.INT8, Precision.FP16)
    assert [source.share for source in changed.data.sources] == [1.0, 2.0]
    assert experiment.seed == 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("distill.methd=none", "did you mean method"),
        ("distill.method=dst", "did you mean dist"),
        ("teach.fit.epochs=many", "expected a whole number"),
        ("teach.fit.epochs=1.5", "expected a whole number"),
        ("teach.fit.learning_rate=nan", "expected a number"),
        ("teach.fit.augment.flips=perhaps", "expected true or false"),
        ("seed", "expected name=value"),
        ("teach=3", "name one of its fields"),
        ("seed.x=3", "single value"),
        ("data.sources.c.share=2", "choose one of a, b"),
        ("data.sources=c", "choose one by name"),
        ("data.sources.a=c", "name a field"),
        ("teach.fit.epochs=0", "expected 1 or more"),
        ("verify.margin=0", "expected between 0 and 1"),
    ],
)
def test_a_bad_setting_is_one_clear_line(experiment: Experiment, setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        apply_settings(experiment, [setting])
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
@pytest.mark.parametrize("quick", [False, True])
def test_experiments_survive_json(name: str, quick: bool) -> None:
    experiment = load_experiment(name, quick=quick)
    again = from_plain(Experiment, json.loads(canonical_json(experiment)))
    assert again == experiment
    assert digest(again) == digest(experiment)


def test_an_unknown_experiment_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match="did you mean quickstart"):
        load_experiment("quickstrt")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"epochs": 3, "epoch": 4}, "did you mean epochs"),
        ({"epochs": "3"}, "expected int, got '3'"),
        ({"epochs": True}, "expected int, got True"),
        ([], "expected an object"),
    ],
)
def test_json_of_the_wrong_shape_is_refused(value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_plain(FitConfig, value)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(UsageError, match="missing name, kind"):
        from_plain(SourceConfig, {"root": "x"})


@pytest.mark.parametrize(
    "make",
    [
        lambda: DataConfig(sources=()),
        lambda: SourceConfig(name="a", kind=SourceKind.SYNTHETIC),
        lambda: SourceConfig(name="a", kind=SourceKind.FOLDERS, share=0),
        lambda: FitConfig(label_smoothing=1.0),
    ],
)
def test_contradictions_are_refused_when_made(make: object) -> None:
    with pytest.raises(UsageError, match="expected|needs"):
        make()  # type: ignore[operator]
