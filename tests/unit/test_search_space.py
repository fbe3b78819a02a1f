"""What a search may change, what it may cost, and who is not beaten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.errors import UnknownNameError, UsageError
from edgekd.experiments import load_experiment
from edgekd.search import page
from edgekd.search.record import Budget, Question, Screen, SearchRecord, Trial, TrialState, best, front
from edgekd.search.space import (
    Axis,
    check_space,
    combinations,
    default_space,
    name_of,
    parse_axis,
    points,
    settings_of,
)
from edgekd.settings import apply_settings

ISIC = load_experiment("isic2017")


def screen(size: int, relative: float) -> Screen:
    return Screen(
        size_bytes=size,
        parameters=1,
        macs=1_000_000,
        latency_ms=relative,
        reference_ms=1.0,
        relative_latency=relative,
        rounds=2,
        threads=1,
        engine="LiteRT",
        noise=(),
    )


TRIALS = st.lists(
    st.builds(
        lambda size, relative, value, state, number: Trial(
            name=str(number), settings=(), state=state, screen=screen(size, relative / 4), value=value / 4
        ),
        st.integers(1, 4),
        st.integers(1, 4),
        st.integers(1, 4),
        st.sampled_from([TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED]),
        st.uuids(),
    ),
    max_size=12,
)


def test_choices_ranges_logarithms_and_steps() -> None:
    width = parse_axis("distill.model.width=0.35, 0.5", ISIC)
    assert width == Axis(field="distill.model.width", choices=("0.35", "0.5"))
    rate = parse_axis("distill.fit.learning_rate=1e-4..1e-2:log", ISIC)
    assert (rate.low, rate.high, rate.log, rate.whole) == (1e-4, 1e-2, True, False)
    weight = parse_axis("distill.teacher_weight=0.3..0.9:0.1", ISIC)
    assert (weight.step, weight.log) == (0.1, False)
    assert parse_axis("distill.model.blocks=4..17", ISIC).whole


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("distill.model.width", "expected field="),
        ("distill.model.width=", "expected field="),
        ("teach.fit.epochs=1,2", "shared by all trials"),
        ("data.train_px=224,256", "shared by all trials"),
        ("distill.model.width=wide,narrow", "expected a number"),
        ("distill.model.blocks=0.5,2", "whole number"),
        ("distill.model.width=0.5..0.35", "low..high"),
        ("distill.fit.learning_rate=0..1:log", "low..high"),
        ("distill.model.width=0.35,0.35", "repeats"),
        ("distill.model.width=0..1", "more than 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_axis(text, ISIC)


@pytest.mark.parametrize("text", ["distill.model.wdith=0.5,1", "distill.model.wdith=0.5..1"])
def test_a_field_that_is_not_there_is_named_with_the_nearest(text: str) -> None:
    with pytest.raises(UnknownNameError, match="width"):
        parse_axis(text, ISIC)


@pytest.mark.parametrize("name", ["isic2017", "quickstart", "khan2022", "folders"])
def test_every_point_of_a_default_space_is_an_experiment(name: str) -> None:
    experiment = load_experiment(name)
    space = default_space(experiment)
    check_space(space, experiment)
    found = list(points(space))
    assert len(found) == combinations(space)
    assert len({name_of(point) for point in found}) == len(found)
    for point in found:
        apply_settings(experiment, settings_of(point))


def test_a_student_nobody_knows_a_space_for_asks_for_one() -> None:
    experiment = apply_settings(ISIC, ["distill.model.name=densenet161", "distill.model.width=1"])
    with pytest.raises(UsageError, match="--space"):
        default_space(experiment)


def test_pictures_are_not_shown_larger_than_they_are_stored() -> None:
    with pytest.raises(UsageError, match="train_px=320"):
        check_space([Axis(field="data.input_px", choices=("224", "320"))], ISIC)
    with pytest.raises(UsageError, match="twice"):
        check_space([Axis(field="distill.alpha", choices=("1",))] * 2, ISIC)


def test_names_of_folders_tell_fields_apart_that_end_alike() -> None:
    point = {"distill.alpha": "1", "distill.model.width": "0.5", "distill.fit.seed": "1", "distill.seed": "2"}
    assert name_of(point) == "alpha=1,width=0.5,distill.fit.seed=1,distill.seed=2"


def test_a_budget_says_what_is_too_much() -> None:
    assert Budget(bytes=1000, ms=1.0, relative_latency=0.5).refusal(screen(1000, 0.5)) == ""
    assert Budget().refusal(screen(10**9, 99.0)) == ""
    said = Budget(bytes=999, relative_latency=0.35).refusal(screen(1000, 0.5))
    assert said == (
        "1,000 bytes, at most 999 are allowed; 0.50 × the reference's latency, at most 0.35 are allowed"
    )


@given(TRIALS)
def test_nobody_on_the_front_is_beaten_and_everybody_else_is(trials: list[Trial]) -> None:
    def costs(trial: Trial) -> tuple[float, float, float]:
        assert trial.screen is not None
        assert trial.value is not None
        return -trial.value, trial.screen.size_bytes, trial.screen.relative_latency

    whole = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    chosen = front(trials)
    for trial in whole:
        better = [
            other
            for other in whole
            if costs(other) != costs(trial)
            and all(a <= b for a, b in zip(costs(other), costs(trial), strict=True))
        ]
        assert (trial.name in chosen) == (not better)
    if whole:
        assert best(trials)[0].name in chosen


def test_a_page_before_anything_is_complete_says_so() -> None:
    question = Question(
        experiment="isic2017",
        options=(),
        digest="",
        space=(),
        budget=Budget(bytes=10),
        pruner="median",
        seed=1,
        reference="MobileNetV2",
        reference_sha256="",
        threads=1,
        rounds=1,
    )
    refused = Trial(name="a", settings=(), state=TrialState.REFUSED, reason="too large", screen=screen(11, 1))
    record = SearchRecord(
        question=question, device="", versions={}, trials=(refused,), front=(), best=None, margin=None
    )
    text = page.page(record)
    assert "no trial is complete yet" in text
    assert "| a | refused |" in text
    assert "`a`: too large" in text
    assert page.command_of(record) == ""
