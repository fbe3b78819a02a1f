"""Workers without TensorFlow: their place in TF_CONFIG, every way to get it wrong, and who writes where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekd.config import Strategy
from edgekd.errors import RunBusyError, UsageError
from edgekd.runs import Run, State, Step
from edgekd.training.workers import VARIABLE, own_run, place_among_workers, read_place

TWO = {"worker": ["a:1", "b:1"]}


def set_place(monkeypatch, cluster=TWO, kind="worker", index=0):
    task = {"type": kind, "index": index}
    monkeypatch.setenv(VARIABLE, json.dumps({"cluster": cluster, "task": task}))


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "expected"),
    [
        (TWO, "worker", 0, (0, 2)),
        (TWO, "worker", 1, (1, 2)),
        ({"worker": ["a:1", "b:1"], "chief": ["c:1"]}, "chief", 0, (0, 3)),
        ({"worker": ["a:1", "b:1"], "chief": ["c:1"]}, "worker", 1, (2, 3)),
        ({"worker": ["a:1"]}, "worker", 0, (0, 1)),
    ],
)
def test_the_chief_is_number_zero(monkeypatch, cluster, kind, index, expected):
    set_place(monkeypatch, cluster, kind, index)
    assert read_place() == expected
    assert place_among_workers(Strategy.MULTIWORKER) == expected
    assert place_among_workers(Strategy.MIRRORED) == (0, 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not set"),
        ("worker 0", "is not readable"),
        ("[]", "is not readable"),
        ('{"cluster": {"worker": ["a:1"]}}', "is not readable"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker"}}', "is not readable"),
        ('{"cluster": 7, "task": {"type": "worker", "index": 0}}', "is not readable"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}', "jobs ps, w"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "has no worker 1"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}', "has no worker 0"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": ["worker"], "index": 0}}', "has no"),
        ('{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}', "expected different ones"),
        ('{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}', "as host:port"),
        ('{"cluster": {"worker": [3]}, "task": {"type": "worker", "index": 0}}', "as host:port"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}', "different ones"),
    ],
)
def test_a_wrong_place_is_one_line_with_an_example(monkeypatch, text, reason):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UsageError, match=reason) as caught:
        read_place()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("--strategy multiworker reads TF_CONFIG, which ")
    assert json.loads(message.partition("the like of ")[2])["task"] == {"type": "worker", "index": 0}


def test_without_a_place_this_process_is_alone(monkeypatch):
    """A report of a run that was trained by workers asks for no cluster."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert place_among_workers(Strategy.MULTIWORKER) == (0, 1)


def step(name, text):
    def make(out: Path):
        (out / "made.txt").write_text(text)
        return {"n": 1.0}

    return Step(name=name, make=make, config={"text": text})


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_chief_holds_the_run_folder(monkeypatch, tmp_path):
    set_place(monkeypatch)
    run = Run(tmp_path / "run")
    with own_run(run, Strategy.MULTIWORKER) as own:
        assert own == run
        with pytest.raises(RunBusyError), own_run(run, Strategy.SINGLE):
            pass


def test_a_worker_beside_the_chief_writes_elsewhere(monkeypatch, tmp_path):
    run = Run(tmp_path / "run")
    run.do(step("data", "from the chief"))
    run.do(step("teach", "an older one"))
    before = files(run.root)
    set_place(monkeypatch, index=1)
    with run.locked(), own_run(run, Strategy.MULTIWORKER) as own:
        assert own.root != run.root
        assert own.find(step("data", "from the chief")).state is State.KEPT
        assert own.do(step("teach", "anew"))["metrics"] == {"n": 1.0}
        assert (own.folder("teach") / "made.txt").read_text() == "anew"
    assert not own.root.exists()
    assert {name: data for name, data in files(run.root).items() if name != Path(".lock")} == before


def test_a_worker_that_fails_leaves_nothing(monkeypatch, tmp_path):
    set_place(monkeypatch, index=1)
    run = Run(tmp_path / "run")
    run.do(step("data", "from the chief"))
    with pytest.raises(KeyboardInterrupt), own_run(run, Strategy.MULTIWORKER) as own:
        raise KeyboardInterrupt
    assert not own.root.exists()
    assert (run.folder("data") / "made.txt").read_text() == "from the chief"
