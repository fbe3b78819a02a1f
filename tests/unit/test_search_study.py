"""A search on drawn lesions: what it shares, what it goes on from, what it never sees.

The students are trained, the costs are given: what a file costs is measured in test_search_screen.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from drawn_experiment import BASE
from edgekd import pipeline
from edgekd.config import Experiment
from edgekd.data.table import Split, read_table, write_table
from edgekd.data.withhold import withhold_test
from edgekd.errors import ContractError, UsageError
from edgekd.runs import Run
from edgekd.search import page
from edgekd.search.folders import Folders
from edgekd.search.record import Budget, Question, Screen, SearchRecord, Trial, TrialState, best, front
from edgekd.search.space import parse_axis
from edgekd.settings import apply_settings

optuna = pytest.importorskip("optuna", reason="needs Optuna: the extra search")
pytestmark = pytest.mark.tf

SPACE = (parse_axis("distill.model.width=0.25,4", BASE), parse_axis("distill.temperature=1,4", BASE))
QUESTION = Question(
    experiment="drawn",
    options=(),
    digest="",
    space=SPACE,
    budget=Budget(bytes=1000),
    pruner="median",
    seed=3,
    reference="none",
    reference_sha256="",
    threads=1,
    rounds=1,
)


def cost(experiment: Experiment) -> Screen:
    """A hundred bytes for each tenth of the width, so that width 4 is too much."""
    width = experiment.distill.model.width
    return Screen(
        size_bytes=round(1000 * width),
        parameters=1,
        macs=1,
        latency_ms=width,
        reference_ms=1.0,
        relative_latency=width,
        rounds=1,
        threads=1,
        engine="none",
        noise=(),
    )


def go(
    folders: Folders, wanted: int, seen: list[Sequence[Trial]] | None = None, **changes: Any
) -> list[Trial]:
    from edgekd.search.study import Search

    def resolve(settings: Sequence[str]) -> Experiment:
        changed = apply_settings(BASE, settings)
        cache = str(folders.root / "teacher_cache")
        return dataclasses.replace(changed, distill=dataclasses.replace(changed.distill, cache=cache))

    return Search(
        question=dataclasses.replace(QUESTION, **changes),
        folders=folders,
        resolve=resolve,
        cost=cost,
        teacher=folders.teach(BASE),
        decided=(seen.append if seen is not None else lambda trials: None),
    ).run(wanted)


def told(trials: Sequence[Trial]) -> list[Trial]:
    return [dataclasses.replace(trial, seconds=0.0) for trial in trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folders, list[Trial]]:
    """A search of every student the budget allows, never disturbed."""
    folders = Folders(tmp_path_factory.mktemp("search"))
    return folders, go(folders, 99)


def test_a_finite_space_ends_and_the_dear_ones_were_never_trained(whole: tuple[Folders, list[Trial]]) -> None:
    folders, trials = whole
    assert len({trial.name for trial in trials}) == len(trials) == 4
    refused = [trial for trial in trials if trial.state is TrialState.REFUSED]
    assert sorted(trial.name for trial in refused) == ["width=4,temperature=1", "width=4,temperature=4"]
    for trial in refused:
        assert trial.reason == "4,000 bytes, at most 1,000 are allowed"
        assert not folders.trial(trial.name).root.exists()
    for trial in trials:
        if trial.state is TrialState.COMPLETE:
            assert (trial.epochs, trial.n) == (3, 24)
            assert trial.validation_auc is not None
    assert best(trials)[0].name in front(trials)


def test_every_trial_is_a_run_folder_on_one_teacher_and_one_store(whole: tuple[Folders, list[Trial]]) -> None:
    folders, trials = whole
    trained = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    teachers = {folders.trial(t.name).folder("teach").resolve() for t in trained}
    assert len(teachers) == 1
    assert len(list((folders.root / "teacher_cache").iterdir())) == 1
    for trial in trained:
        run = folders.trial(trial.name)
        experiment = pipeline.open_experiment(run)
        assert f"{experiment.distill.model.width:g}" in trial.name
        record = run.record("distill")
        assert record is not None
        assert record["metrics"]["validation_auc"] == trial.validation_auc.value  # type: ignore[union-attr]


def test_nothing_a_trial_can_reach_knows_a_test_image(whole: tuple[Folders, list[Trial]]) -> None:
    folders, _ = whole
    rows = read_table(folders.root / "prepared" / "32" / "data" / "table.csv")
    hidden = [row.image_id.encode() for row in rows if row.split is Split.TEST]
    assert len(hidden) == 24
    places = [folders.root / name for name in ("shared", "trials", "teacher_cache", "study.log")]
    files = [path for place in places for path in (place, *place.rglob("*")) if path.is_file()]
    assert len(files) > 20
    for path in files:
        data = path.read_bytes()
        assert not any(name in data for name in hidden), path
    assert not list(folders.root.glob("trials/*/distill/predictions.csv"))
    assert not list(folders.root.glob("trials/*/distill/evaluation.json"))


def test_other_test_labels_leave_the_same_data(whole: tuple[Folders, list[Trial]], tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    shutil.copytree(whole[0].root / "prepared" / "32" / "data", prepared)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    withhold_test(prepared, tmp_path / "one")
    rows = read_table(prepared / "table.csv")
    turned = [
        dataclasses.replace(row, diagnosis="nv", malignant=not row.malignant)
        if row.split is Split.TEST
        else row
        for row in rows
    ]
    write_table(prepared / "table.csv", turned)
    shutil.rmtree(prepared / "store" / "test")
    withhold_test(prepared, tmp_path / "two")
    one, two = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()}
        for n in ("one", "two")
    )
    assert one == two
    assert len(one) == 3


@pytest.fixture(scope="module")
def killed(whole: tuple[Folders, list[Trial]], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same search, its process ended in the second epoch of the first student, and begun again."""
    root = tmp_path_factory.mktemp("killed")
    folders = Folders(root, Run(whole[0].root / "shared" / "32"))
    reports = 0
    report = optuna.trial.Trial.report

    def dying(self: Any, value: float, step: int) -> None:
        nonlocal reports
        reports += 1
        report(self, value, step)
        if reports == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optuna.trial.Trial, "report", dying)
        with pytest.raises(KeyboardInterrupt):
            go(folders, 99)
    checkpoints = list(root.glob("trials/*/.distill.tmp/checkpoint/state.npz"))
    (root / "study.log.lock").write_text("")
    with (root / "study.log").open("ab") as journal:
        journal.write(b'{"op_code": 5, "wor')
    seen: list[Sequence[Trial]] = []
    return checkpoints, seen, go(folders, 99, seen), folders


def test_a_killed_search_ends_as_if_it_had_not_been(whole: tuple[Folders, list[Trial]], killed: Any) -> None:
    checkpoints, seen, trials, _ = killed
    assert len(checkpoints) == 1
    assert len(seen) > 1
    assert told(trials) == told(whole[1])


def test_a_training_that_was_under_way_went_on(whole: tuple[Folders, list[Trial]], killed: Any) -> None:
    checkpoints, _, _, folders = killed
    name = checkpoints[0].parents[2].name
    one, two = (f.trial(name).folder("distill") / "metrics.jsonl" for f in (whole[0], folders))
    assert one.read_bytes() == two.read_bytes()
    timing = (two.parent / "timing.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in timing] == [1, 2, 3]


def test_a_student_that_falls_behind_is_stopped_and_leaves_no_checkpoint(
    whole: tuple[Folders, list[Trial]], tmp_path: Path
) -> None:
    from edgekd.search.study import open_study

    study = open_study(QUESTION, tmp_path / "study.log", epochs=3)
    for _ in range(4):
        study.add_trial(optuna.trial.create_trial(value=1.0, intermediate_values={1: 1.0, 2: 1.0, 3: 1.0}))
    folders = Folders(tmp_path, Run(whole[0].root / "shared" / "32"))
    only = (parse_axis("distill.temperature=2", BASE),)
    (trial,) = go(folders, 1, space=only)
    assert (trial.state, trial.epochs) == (TrialState.PRUNED, 2)
    work = folders.trial(trial.name).root / ".distill.tmp"
    assert (work / "metrics.jsonl").is_file()
    assert not (work / "checkpoint").exists()


def test_a_budget_that_allows_nothing_says_what_would_do(
    whole: tuple[Folders, list[Trial]], tmp_path: Path
) -> None:
    folders = Folders(tmp_path, Run(whole[0].root / "shared" / "32"))
    with pytest.raises(ContractError, match="the smallest is 250 bytes, the fastest 0.250 ms"):
        go(folders, 1, budget=Budget(bytes=10))


def test_points_that_cannot_be_built_are_refused_with_the_reason(
    whole: tuple[Folders, list[Trial]], tmp_path: Path
) -> None:
    folders = Folders(tmp_path, Run(whole[0].root / "shared" / "32"))
    space = (parse_axis("distill.model.name=nosuchnet", BASE),)

    with pytest.raises(UsageError, match="no point of the space can be built"):
        from edgekd.search.study import Search

        def absent(experiment: Experiment) -> Screen:
            raise UsageError(f"unknown model {experiment.distill.model.name}")

        Search(
            question=dataclasses.replace(QUESTION, space=space),
            folders=folders,
            resolve=lambda settings: apply_settings(BASE, settings),
            cost=absent,
            teacher=None,
            decided=lambda trials: None,
        ).run(1)


def test_the_page_and_the_picture(whole: tuple[Folders, list[Trial]], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: the extra report")
    trials = whole[1]
    ranked = best(trials)
    record = SearchRecord(
        question=QUESTION,
        device="this one",
        versions={},
        trials=tuple(trials),
        front=front(trials),
        best=ranked[0].name,
        margin=None,
    )
    page.write_results(tmp_path, record)
    text = (tmp_path / "README.md").read_text()
    assert text.count("\n| width=") == len(trials)
    assert text.index(f"| {ranked[0].name} ") < text.index(f"| {ranked[1].name} ")
    assert f"--set {ranked[0].settings[0]}" in text
    assert (tmp_path / "pareto.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((tmp_path / "results.json").read_text())["schema"] == "edgekd.search/1"
